package power

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"
)

// firstPause is the pause before a second look, and the mean pause before a
// second attempt. It doubles from one to the next, up to ten times its length.
const firstPause = 200 * time.Millisecond

// conduct makes a Supply of an outlet. All rules of good conduct are here, for
// every driver alike: one call at a time, each with a deadline; what was switched
// is read back; the board stays off for a minimum; network devices get a bounded
// number of attempts; secrets stay out of errors.
type conduct struct {
	name    string // for messages
	outlet  outlet
	traits  // offTime and settle are those of the board
	secrets []string
	logger  *slog.Logger
	record  *record
	turn    chan struct{} // held by the caller whose turn it is
	pause   time.Duration // firstPause
}

func (c *conduct) On(ctx context.Context) error {
	return c.run(ctx, "switch on", func() error {
		state, err := c.look(ctx)
		if err != nil {
			return err
		}
		if left := c.record.wait(state, c.offTime); left > 0 {
			c.logger.Info("waiting for the minimum off time", "supply", c.name, "left", left)
			if err := sleep(ctx, left); err != nil {
				return err
			}
		}
		c.note(On) // before it is, so that it is never on with an old switch-off on record
		if state == On {
			return nil
		}
		return c.change(ctx, On)
	})
}

func (c *conduct) Off(ctx context.Context) error {
	return c.run(ctx, "switch off", func() error {
		// A device that cannot say what it does is switched off all the same.
		if state, err := c.ask(ctx); err == nil && state == Off {
			if c.record.load().State != Off {
				c.note(Off)
			}
			return nil
		}
		return c.change(ctx, Off)
	})
}

// State reads the device. It is Unknown, without an error, where the device
// cannot be asked.
func (c *conduct) State(ctx context.Context) (State, error) {
	state := Unknown
	err := c.run(ctx, "read the state of", func() (err error) {
		state, err = c.look(ctx)
		return err
	})
	return state, err
}

// Close gives up what the driver holds, and leaves the board as it is.
func (c *conduct) Close() error {
	if closer, ok := c.outlet.(io.Closer); ok {
		return c.run(context.Background(), "close", closer.Close)
	}
	return nil
}

// run waits for its turn and names what failed.
func (c *conduct) run(ctx context.Context, verb string, f func() error) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return fmt.Errorf("failed to %s supply %q: %w", verb, c.name, context.Cause(ctx))
	}
	if err := f(); err != nil {
		return sealed(fmt.Errorf("failed to %s supply %q: %w", verb, c.name, err), c.secrets)
	}
	return nil
}

// change switches, looks, and waits for the board to settle.
func (c *conduct) change(ctx context.Context, want State) error {
	told := false // an attempt got through to the device
	err := c.attempt(ctx, func() error {
		err := c.call(ctx, func(ctx context.Context) error { return c.outlet.set(ctx, want == On) })
		if err == nil {
			told = true
			err = c.confirmed(ctx, want)
		}
		return err
	})
	if err != nil && told {
		err = fmt.Errorf("told to switch %s, %w", want, err)
	}
	if err != nil {
		return err
	}
	if want == Off {
		c.note(Off)
	}
	return sleep(ctx, c.settle)
}

// confirmed looks until the device says what it was told.
func (c *conduct) confirmed(ctx context.Context, want State) error {
	deadline := time.Now().Add(c.confirm)
	for pause := c.pause; ; pause = min(2*pause, 10*c.pause) {
		state, err := c.ask(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("its state cannot be read: %w", err)
		case state == Unknown:
			c.logger.Debug("switched, cannot be read back", "supply", c.name, "state", want)
			return nil
		case state == want:
			return nil
		case !time.Now().Before(deadline):
			return fmt.Errorf("still says %s", state)
		}
		if err := sleep(ctx, min(pause, time.Until(deadline))); err != nil {
			return err
		}
	}
}

// look asks for the state, with all attempts that the device is worth.
func (c *conduct) look(ctx context.Context) (State, error) {
	state := Unknown
	err := c.attempt(ctx, func() (err error) {
		state, err = c.ask(ctx)
		return err
	})
	if err != nil {
		return Unknown, fmt.Errorf("its state cannot be read: %w", err)
	}
	return state, nil
}

// ask asks for the state once.
func (c *conduct) ask(ctx context.Context) (State, error) {
	state := Unknown
	err := c.call(ctx, func(ctx context.Context) (err error) {
		state, err = c.outlet.state(ctx)
		return err
	})
	return state, err
}

// attempt runs f, and again for network devices when it has failed.
func (c *conduct) attempt(ctx context.Context, f func() error) error {
	for try, pause := 1, c.pause; ; try, pause = try+1, min(2*pause, 10*c.pause) {
		err := f()
		var final refused
		if err == nil || try >= c.tries || ctx.Err() != nil || errors.As(err, &final) {
			return err
		}
		c.logger.Warn("trying again", "supply", c.name, "attempt", try, "of", c.tries, "error", sealed(err, c.secrets))
		if sleepErr := sleep(ctx, pause/2+rand.N(pause)); sleepErr != nil {
			return errors.Join(sleepErr, err)
		}
	}
}

// call makes one call of a driver with a deadline. The libraries below may panic
// at what a device sends.
func (c *conduct) call(ctx context.Context, f func(context.Context) error) (err error) {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	deadline, _ := limited.Deadline()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the driver gave up: %v", r)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			err = fmt.Errorf("%w (%v)", context.Cause(ctx), err)
		case time.Until(deadline) < c.timeout/20 || timedOut(err):
			err = fmt.Errorf("no answer within %s (%v)", c.timeout, err)
		}
	}()
	return f(limited)
}

// timedOut recognises the deadline of a library that gave up before its context
// did.
func timedOut(err error) bool {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && timeout.Timeout()
}

// note puts a switch on record. That a file cannot be written does not undo it.
func (c *conduct) note(state State) {
	if err := c.record.note(state); err != nil {
		c.logger.Warn("the off time will not outlive this process", "supply", c.name, "error", err)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
