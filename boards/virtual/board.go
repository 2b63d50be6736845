// Package virtual makes boards of QEMU: an ordinary supply, console and network,
// without hardware and without privileges.
package virtual

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"b2c-runner/boards"
	"b2c-runner/console"
	"b2c-runner/power"
)

// Plug is where the machine's network cable goes: one connection a power cycle,
// each frame behind its length (4 bytes, big endian).
type Plug interface {
	Attach(conn net.Conn)
}

// New makes a virtual board of a model that has a machine, plugged into network.
func New(model *boards.Model, network Plug) *boards.Board {
	mac := net.HardwareAddr{0x52, 0x54, 0x00, 0, 0, 0} // QEMU's prefix
	_, _ = rand.Read(mac[3:])                          // never fails (crypto/rand)
	s := &supply{model: model, mac: mac.String(), network: network, console: newSerial()}
	return &boards.Board{
		Name:    model.Name,
		Model:   model,
		MAC:     mac,
		Supply:  s,
		Console: s.openConsole,
	}
}

// supply starts and ends the machine.
type supply struct {
	model   *boards.Model
	mac     string
	network Plug

	mu      sync.Mutex
	console *serial
	machine *machine
}

func (s *supply) openConsole(context.Context) (console.Port, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running() {
		return nil, errors.New("failed to open the console of a virtual board: it is switched on")
	}
	s.console = newSerial()
	return s.console, nil
}

// On starts the machine. The context does not bound its life.
func (s *supply) On(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.running() {
		return nil
	}
	line, lineFile, err := socketPair()
	if err != nil {
		return err
	}
	defer lineFile.Close()
	cable, cableFile, err := socketPair()
	if err != nil {
		line.Close()
		return err
	}
	defer cableFile.Close()
	m, err := start(s.model, s.mac, lineFile, cableFile)
	if err != nil {
		line.Close()
		cable.Close()
		return err
	}
	s.machine = m
	s.console.plug(line)
	s.network.Attach(cable)
	return nil
}

// Off ends the machine, as pulling the plug does.
func (s *supply) Off(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.console.unplug()
	if s.machine != nil {
		s.machine.stop()
		s.machine = nil
	}
	return nil
}

// State says whether the machine runs; one that died by itself is an error that
// carries its last words.
func (s *supply) State(context.Context) (power.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.machine == nil:
		return power.Off, nil
	case s.running():
		return power.On, nil
	default:
		return power.Off, fmt.Errorf("the emulator ended by itself: %s %s", s.machine.cmd.ProcessState, strings.TrimSpace(s.machine.stderr.String()))
	}
}

func (s *supply) running() bool {
	if s.machine == nil {
		return false
	}
	select {
	case <-s.machine.exited:
		return false
	default:
		return true
	}
}

// socketPair returns our end, and the end that a child process inherits.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("failed to make a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "socketpair"), os.NewFile(uintptr(fds[1]), "socketpair")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("failed to use a socket pair: %w", err)
	}
	return conn, theirs, nil
}
