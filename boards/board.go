package boards

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"b2c-runner/console"
	"b2c-runner/power"
)

// Board is a board that is ready to be used: what feeds it, what it says, and
// how its network knows it.
type Board struct {
	Name   string
	Model  *Model
	MAC    net.HardwareAddr
	Tags   []string
	Supply power.Supply
	// Console opens the board's serial port, to be closed by the caller. It can
	// be opened while the board is off, once at a time.
	Console func(ctx context.Context) (console.Port, error)
}

// Options are what opening a board needs beside the lab file.
type Options struct {
	// StateDir keeps when boards were switched off, across processes.
	StateDir string
	// Ask asks the person at the bench to do something, for power: manual.
	Ask    func(ctx context.Context, question string) error
	Logger *slog.Logger // nil: discard
}

// Open opens a board of the lab. Nothing is switched.
func (l *Lab) Open(e *Entry, opts Options) (*Board, error) {
	model, err := l.Model(e.Model)
	if err != nil {
		return nil, err
	}
	mac, err := net.ParseMAC(e.MAC)
	if err != nil {
		return nil, fmt.Errorf("failed to open board %q: %w", e.Name, err)
	}
	supply, err := power.Open(e.Power, power.Options{
		Logger: opts.Logger, StateDir: opts.StateDir, OffTime: model.OffTime, Ask: opts.Ask,
	})
	if err != nil {
		return nil, fmt.Errorf("failed to open the power supply of board %q: %w", e.Name, err)
	}
	spec := e.Console
	if spec.Baud == 0 {
		spec.Baud = model.Baud
	}
	return &Board{
		Name: e.Name, Model: model, MAC: mac, Tags: e.Tags, Supply: supply,
		Console: func(ctx context.Context) (console.Port, error) { return console.Dial(ctx, spec, opts.Logger) },
	}, nil
}
