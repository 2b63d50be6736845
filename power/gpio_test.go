package power

import (
	"errors"
	"syscall"
	"testing"
)

// fakeGPIO is one line that keeps its level when it is let go.
type fakeGPIO struct {
	output, busy bool
	level        int
	held         bool
	err          error
}

func (g *fakeGPIO) find(chip, line string) (string, int, error) {
	if line != "RELAY3" {
		return "", 0, errors.New("not found")
	}
	return "/dev/gpiochip0", 17, g.err
}

func (g *fakeGPIO) look(chip string, line int) (bool, int, error) {
	if chip != "/dev/gpiochip0" || line != 17 {
		return false, 0, errors.New("another line")
	}
	return g.output, g.level, g.err
}

func (g *fakeGPIO) drive(chip string, line, level int) (gpioLine, error) {
	if g.held || g.busy {
		return nil, syscall.EBUSY
	}
	g.held, g.output, g.level = true, true, level
	return g, g.err
}

func (g *fakeGPIO) SetValue(level int) error { g.level = level; return g.err }
func (g *fakeGPIO) Value() (int, error)      { return g.level, g.err }
func (g *fakeGPIO) Close() error             { g.held = false; return nil }

func gpioRig(t *testing.T) *rig    { return gpioLine17(GPIO{Chip: "/dev/gpiochip0", Line: "17"}) }
func gpioLowRig(t *testing.T) *rig { return gpioLine17(GPIO{Line: "RELAY3", ActiveLow: true}) }

func gpioLine17(cfg GPIO) *rig {
	line := &fakeGPIO{output: true}
	return &rig{
		spec:    Spec{GPIO: &cfg},
		prepare: func(o outlet) { line.held = false; o.(*gpio).bench = line },
		isOn:    func() bool { return (line.level == 1) != cfg.ActiveLow },
		faults:  map[fault]func(){gone: func() { line.err = syscall.ENODEV }},
	}
}

func TestGPIOLine(t *testing.T) {
	line := &fakeGPIO{}
	g := &gpio{GPIO: GPIO{Chip: "/dev/gpiochip0", Line: "17"}, bench: line}
	if state, err := g.state(t.Context()); state != Unknown || err != nil {
		t.Errorf("an input is %s, %v; want unknown", state, err)
	}
	line.busy = true
	wantError(t, g.set(t.Context(), true), "held by another program")
	line.busy = false
	must(t, g.set(t.Context(), true))
	if !line.held {
		t.Error("the line is not held")
	}
	must(t, g.Close())
	if line.held || line.level != 1 {
		t.Errorf("after close the line is held: %t, at %d; want free, at 1", line.held, line.level)
	}
}
