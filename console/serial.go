package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// How long re-opening waits between two tries.
const (
	firstRetry = 20 * time.Millisecond
	lastRetry  = 500 * time.Millisecond
)

// serialPort is a serial device that is looked up and opened again after an
// unplug, by whoever is reading.
type serialPort struct {
	spec    Spec
	bus     serialBus
	logger  *slog.Logger
	closing chan struct{}

	mu      sync.Mutex
	line    *serialLine // nil while the adapter is away
	adapter *Adapter    // what was opened, when it is on USB
	lost    error       // why it will not come back
	closed  bool
}

func dialSerial(_ context.Context, spec Spec, logger *slog.Logger) (Port, error) {
	return openSerial(spec, hostBus(), logger)
}

func openSerial(spec Spec, bus serialBus, logger *slog.Logger) (*serialPort, error) {
	p := &serialPort{spec: spec, bus: bus, logger: logger, closing: make(chan struct{})}
	if err := p.open(); err != nil {
		return nil, err
	}
	return p, nil
}

// open looks the device up and opens it. An adapter on USB that was open before
// must be the same one: another one could have taken over its name.
func (p *serialPort) open() error {
	node, adapter, err := p.bus.find(p.spec, p.adapter)
	if err != nil {
		return err
	}
	line, err := openLine(node, p.spec)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.Join(os.ErrClosed, line.close())
	}
	p.line, p.adapter = line, adapter
	return nil
}

// Read returns a *GapError once after the adapter came back, os.ErrClosed after
// Close, and any other error when it stayed away too long.
func (p *serialPort) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	line, err := p.current()
	if line == nil {
		return 0, err
	}
	n, err := line.Read(b)
	if n > 0 {
		return n, nil
	}
	return 0, p.reopen(line, err)
}

// current is the open line, or nil and why there is none.
func (p *serialPort) current() (*serialLine, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, os.ErrClosed
	case p.lost != nil:
		return nil, p.lost
	case p.line == nil:
		return nil, errors.New("the serial adapter is unplugged")
	}
	return p.line, nil
}

// reopen waits for the adapter after the line failed with cause; a Linux tty
// that hung up reads as EOF or EIO. It never returns nil.
func (p *serialPort) reopen(line *serialLine, cause error) error {
	since := time.Now()
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return os.ErrClosed
	}
	p.line = nil
	p.mu.Unlock()
	if err := line.close(); err != nil {
		p.logger.Debug("closing an unplugged console", "console", p.name(), "error", err)
	}
	if errors.Is(cause, io.EOF) {
		cause = errors.New("hung up")
	}
	patience := p.spec.Reopen
	if patience == 0 {
		patience = defaultReopen
	}
	p.logger.Warn("console unplugged", "console", p.name(), "cause", cause, "patience", max(patience, 0))

	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for pause := firstRetry; patience > 0; pause = min(2*pause, lastRetry) {
		err := p.open()
		if err == nil {
			return &GapError{Since: since, For: time.Since(since)}
		}
		cause = err
		retry := time.NewTimer(pause)
		select {
		case <-retry.C:
			continue
		case <-p.closing:
			retry.Stop()
			return os.ErrClosed
		case <-deadline.C:
			retry.Stop()
		}
		break
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = fmt.Errorf("serial console %q was unplugged and did not come back within %s: %w", p.name(), max(patience, 0), cause)
	return p.lost
}

// Write fails while the adapter is away.
func (p *serialPort) Write(b []byte) (int, error) {
	line, err := p.current()
	if line == nil {
		return 0, fmt.Errorf("failed to write to console %q: %w", p.name(), err)
	}
	return line.Write(b)
}

// Close ends a blocked Read and the wait for an unplugged adapter.
func (p *serialPort) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	close(p.closing)
	if p.line == nil {
		return nil
	}
	return p.line.close()
}

func (p *serialPort) SendBreak(d time.Duration) error {
	return p.control("send a break to", func(line *serialLine) error { return line.sendBreak(d, p.closing) })
}

func (p *serialPort) SetDTR(on bool) error {
	return p.control("set DTR of", func(line *serialLine) error { return line.setDTR(on) })
}

func (p *serialPort) SetRTS(on bool) error {
	return p.control("set RTS of", func(line *serialLine) error { return line.setRTS(on) })
}

func (p *serialPort) Purge() error {
	return p.control("purge", (*serialLine).purge)
}

func (p *serialPort) control(verb string, f func(*serialLine) error) error {
	line, err := p.current()
	if line != nil {
		err = f(line)
	}
	if err != nil {
		return fmt.Errorf("failed to %s console %q: %w", verb, p.name(), err)
	}
	return nil
}

func (p *serialPort) name() string {
	if p.spec.USB != "" {
		return p.spec.USB
	}
	return p.spec.Serial
}
