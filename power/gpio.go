package power

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/warthog618/go-gpiocdev"
)

// GPIO is a relay or transistor on a line of a GPIO chip of this host.
//
// The line is held from the first switch to Close. What becomes of it afterwards
// is up to the chip: most keep the level, some turn the line into an input.
type GPIO struct {
	Chip      string `yaml:"chip"`                   // /dev/gpiochip0; may be left out if line is a name
	Line      string `yaml:"line" strict:"required"` // its number on the chip, or its name
	ActiveLow bool   `yaml:"active_low"`             // the board is on when the line is low
}

func (c *GPIO) check() error {
	number, err := strconv.Atoi(c.Line)
	switch {
	case c.Line == "":
		return errors.New("line is empty")
	case err == nil && number < 0:
		return fmt.Errorf("bad line %d", number)
	case err == nil && c.Chip == "":
		return errors.New("a line number needs a chip (try: gpioinfo)")
	}
	return nil
}

// device is the line as it is written, and its chip by the device node.
func (c *GPIO) device() string {
	chip := c.Chip
	if node, err := filepath.EvalSymlinks(chip); err == nil {
		chip = node
	}
	return chip + "/" + c.Line
}

func (c *GPIO) secrets() []string { return nil }

func (c *GPIO) open(Options) (outlet, error) { return &gpio{GPIO: *c, bench: gpioBench{}}, nil }

// gpioChips are the GPIO chips of a host.
type gpioChips interface {
	// find resolves the name of a line, on one chip or on all for "".
	find(chip, line string) (string, int, error)
	// look reads the direction of a line that somebody may hold, and its level
	// if nobody does.
	look(chip string, line int) (output bool, level int, err error)
	// drive takes a line and makes it an output of this level.
	drive(chip string, line, level int) (gpioLine, error)
}

type gpioLine interface {
	SetValue(level int) error
	Value() (int, error)
	Close() error
}

type gpio struct {
	GPIO
	bench gpioChips
	held  gpioLine
}

func (g *gpio) level(on bool) int {
	if on != g.ActiveLow {
		return 1
	}
	return 0
}

func (g *gpio) find() (string, int, error) {
	if number, err := strconv.Atoi(g.Line); err == nil {
		return g.Chip, number, nil
	}
	chip, line, err := g.bench.find(g.Chip, g.Line)
	if err != nil {
		return "", 0, fmt.Errorf("failed to find GPIO line %q: %w (try: gpioinfo)", g.Line, err)
	}
	return chip, line, nil
}

func (g *gpio) set(_ context.Context, on bool) error {
	if g.held != nil {
		return g.held.SetValue(g.level(on))
	}
	chip, line, err := g.find()
	if err != nil {
		return err
	}
	held, err := g.bench.drive(chip, line, g.level(on))
	if err != nil {
		return explainGPIO(chip, line, err)
	}
	g.held = held
	return nil
}

// state is Unknown for a line that nothing drives.
func (g *gpio) state(context.Context) (State, error) {
	if g.held != nil {
		level, err := g.held.Value()
		if err != nil {
			return Unknown, err
		}
		return stateOf(level == g.level(true)), nil
	}
	chip, line, err := g.find()
	if err != nil {
		return Unknown, err
	}
	output, level, err := g.bench.look(chip, line)
	if err != nil {
		return Unknown, explainGPIO(chip, line, err)
	}
	if !output {
		return Unknown, nil
	}
	return stateOf(level == g.level(true)), nil
}

func (g *gpio) Close() error {
	if g.held == nil {
		return nil
	}
	held := g.held
	g.held = nil
	return held.Close()
}

func explainGPIO(chip string, line int, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s line %d: %w (try: sudo usermod -aG gpio $USER, then log in again)", chip, line, err)
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("%s line %d is held by another program (try: gpioinfo)", chip, line)
	}
	return fmt.Errorf("%s line %d: %w", chip, line, err)
}

// gpioBench is the chips by the kernel's character devices.
type gpioBench struct{}

func (gpioBench) find(chip, line string) (string, int, error) {
	if chip == "" {
		return gpiocdev.FindLine(line)
	}
	c, err := openChip(chip)
	if err != nil {
		return "", 0, err
	}
	defer c.Close()
	offset, err := c.FindLine(line)
	return chip, offset, err
}

func (gpioBench) look(chip string, line int) (output bool, level int, err error) {
	c, err := openChip(chip)
	if err != nil {
		return false, 0, err
	}
	defer c.Close()
	info, err := c.LineInfo(line)
	if err != nil || info.Config.Direction != gpiocdev.LineDirectionOutput {
		return false, 0, err
	}
	l, err := c.RequestLine(line, gpiocdev.AsIs, gpiocdev.WithConsumer(consumer))
	if err != nil {
		return false, 0, err
	}
	defer l.Close()
	level, err = l.Value()
	return true, level, err
}

func (gpioBench) drive(chip string, line, level int) (gpioLine, error) {
	c, err := openChip(chip)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.RequestLine(line, gpiocdev.AsOutput(level), gpiocdev.WithConsumer(consumer))
}

const consumer = "b2c-runner"

// openChip also takes a symlink, which the library does not.
func openChip(chip string) (*gpiocdev.Chip, error) {
	if node, err := filepath.EvalSymlinks(chip); err == nil {
		chip = node
	}
	return gpiocdev.NewChip(chip)
}
