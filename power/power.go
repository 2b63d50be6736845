// Package power switches what feeds a board. It knows nothing of jobs, consoles
// or networks.
package power

import "context"

// State of a supply.
type State string

// The states. A supply that cannot be read back is Unknown, never guessed.
const (
	Unknown State = "unknown"
	Off     State = "off"
	On      State = "on"
)

// Supply feeds one board. Both methods are idempotent, may be called from
// several goroutines, and return only when the switch has happened or has failed.
type Supply interface {
	On(ctx context.Context) error
	Off(ctx context.Context) error
}

// Stater is a Supply whose state can be read back from the device.
type Stater interface {
	State(ctx context.Context) (State, error)
}

// Meter is a Supply that measures the power its board draws now, in watts.
type Meter interface {
	Watts(ctx context.Context) (float64, error)
}

// EnergyMeter is a Meter whose device also counts energy: Joules is what it has
// counted since some moment of its own, so that only differences mean something.
type EnergyMeter interface {
	Meter
	Joules(ctx context.Context) (float64, error)
}

// Cycle switches s off and on again. A supply from Open keeps the board off for
// its minimum off time in between.
func Cycle(ctx context.Context, s Supply) error {
	if err := s.Off(ctx); err != nil {
		return err
	}
	return s.On(ctx)
}
