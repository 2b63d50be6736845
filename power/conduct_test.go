package power

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// plug is an outlet made of its fields.
type plug struct {
	on     bool
	mute   bool   // the state cannot be asked
	stuck  bool   // it says yes and does nothing
	asked  int    // calls of state
	told   []bool // calls of set
	at     []time.Time
	setErr func(try int) error
	askErr error
	delay  time.Duration // until a switch happens
	moment time.Time
	before bool
	hang   chan struct{} // closed when a call hangs until its context ends
}

func (p *plug) set(ctx context.Context, on bool) error {
	p.told, p.at = append(p.told, on), append(p.at, time.Now())
	if p.hang != nil {
		close(p.hang)
		<-ctx.Done()
		return ctx.Err()
	}
	if p.setErr != nil {
		if err := p.setErr(len(p.told)); err != nil {
			return err
		}
	}
	if !p.stuck {
		p.before, p.on, p.moment = p.on, on, time.Now()
	}
	return nil
}

func (p *plug) state(context.Context) (State, error) {
	p.asked++
	switch {
	case p.askErr != nil:
		return Unknown, p.askErr
	case p.mute:
		return Unknown, nil
	case time.Since(p.moment) < p.delay:
		return stateOf(p.before), nil
	}
	return stateOf(p.on), nil
}

func newTestConduct(p *plug, dir string) *conduct {
	return &conduct{
		name: "test:plug", outlet: p, logger: slog.New(slog.DiscardHandler), pause: firstPause,
		traits: traits{tries: 1, timeout: 5 * time.Second, confirm: 2 * time.Second, offTime: 10 * time.Second},
		record: newRecord(dir, "test:plug"), turn: make(chan struct{}, 1),
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q, want one with %q", err, part)
		}
	}
}

func since(start time.Time) time.Duration { return time.Since(start).Round(time.Millisecond) }

func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestConduct(&plug{}, "")
		c.settle = 3 * time.Second
		for _, f := range []func(context.Context) error{c.On, c.Off} {
			start := time.Now()
			must(t, f(t.Context()))
			if got := since(start); got != 3*time.Second {
				t.Errorf("settled for %s, want 3s", got)
			}
		}
		start := time.Now()
		must(t, c.Off(t.Context()))
		if got := since(start); got != 0 {
			t.Errorf("off that was off settled for %s", got)
		}
	})
}

func TestReadBack(t *testing.T) {
	for name, test := range map[string]struct {
		plug  plug
		tries int
		err   []string
		told  int
		took  [2]time.Duration
	}{
		"at once":                 {told: 1, tries: 1},
		"late":                    {plug: plug{delay: 1500 * time.Millisecond}, told: 1, tries: 1, took: [2]time.Duration{1500 * time.Millisecond, 2 * time.Second}},
		"later than the patience": {plug: plug{delay: time.Minute}, tries: 1, told: 1, took: [2]time.Duration{2 * time.Second, 5 * time.Second}, err: []string{"told to switch on, still says off"}},
		"stuck, local device":     {plug: plug{stuck: true}, tries: 1, told: 1, took: [2]time.Duration{2 * time.Second, 5 * time.Second}, err: []string{"told to switch on, still says off"}},
		"stuck, network device":   {plug: plug{stuck: true}, tries: 3, told: 3, took: [2]time.Duration{6 * time.Second, 12 * time.Second}, err: []string{"told to switch on, still says off"}},
		"cannot be read":          {plug: plug{mute: true, stuck: true}, tries: 3, told: 1},
		"state is an error":       {plug: plug{askErr: errors.New("hiccup")}, tries: 1, err: []string{"its state cannot be read: hiccup"}},
		"refused":                 {plug: plug{setErr: func(int) error { return refused{errors.New("who are you")} }}, tries: 3, told: 1, err: []string{"who are you"}},
		"fails twice":             {plug: plug{setErr: func(try int) error { return map[bool]error{true: errors.New("hiccup")}[try < 3] }}, tries: 3, told: 3, took: [2]time.Duration{300 * time.Millisecond, 900 * time.Millisecond}},
		"fails three times":       {plug: plug{setErr: func(int) error { return errors.New("hiccup") }}, tries: 3, told: 3, took: [2]time.Duration{300 * time.Millisecond, 900 * time.Millisecond}, err: []string{`failed to switch on supply "test:plug": hiccup`}},
		"fails, local device":     {plug: plug{setErr: func(int) error { return errors.New("hiccup") }}, tries: 1, told: 1, err: []string{"hiccup"}},
		"panics":                  {plug: plug{setErr: func(int) error { panic("index out of range") }}, tries: 1, told: 1, err: []string{"the driver gave up: index out of range"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTestConduct(&test.plug, "")
				c.tries = test.tries
				start := time.Now()
				err := c.On(t.Context())
				if len(test.err) > 0 {
					wantError(t, err, test.err...)
				} else {
					must(t, err)
				}
				if got := len(test.plug.told); got != test.told {
					t.Errorf("told %d times, want %d", got, test.told)
				}
				if got := since(start); got < test.took[0] || got > test.took[1] {
					t.Errorf("took %s, want %s to %s", got, test.took[0], test.took[1])
				}
			})
		})
	}
}

// The pauses must not be the same each time, so that boards of one rack do not
// ask their PDU in step.
func TestRetriesHaveJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pauses []time.Duration
		for range 8 {
			p := &plug{setErr: func(int) error { return errors.New("hiccup") }}
			c := newTestConduct(p, "")
			c.tries = 2
			wantError(t, c.On(t.Context()), "hiccup")
			pauses = append(pauses, p.at[1].Sub(p.at[0]))
		}
		slices.Sort(pauses)
		if len(slices.Compact(pauses)) < 2 {
			t.Errorf("all pauses are alike: %s", pauses)
		}
	})
}

func TestOffWithoutState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plug{on: true, askErr: errors.New("hiccup")}
		c := newTestConduct(p, "")
		wantError(t, c.Off(t.Context()), "told to switch off, its state cannot be read: hiccup")
		if p.on {
			t.Error("it was not even told to switch off")
		}
	})
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestConduct(&plug{hang: make(chan struct{})}, "")
		start := time.Now()
		err := c.On(t.Context())
		wantError(t, err, "no answer within 5s")
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Error("the device's silence looks like the end of the caller's context")
		}
		if got := since(start); got != 5*time.Second {
			t.Errorf("took %s, want 5s", got)
		}
	})
}

func TestCancel(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, c *conduct, p *plug, cancel context.CancelFunc){
		"before": func(_ *testing.T, _ *conduct, _ *plug, cancel context.CancelFunc) { cancel() },
		"in the off time": func(t *testing.T, c *conduct, p *plug, cancel context.CancelFunc) {
			p.on = true
			must(t, c.Off(t.Context()))
			p.told = nil
			time.AfterFunc(time.Second, cancel)
		},
		"waiting for its turn": func(_ *testing.T, c *conduct, _ *plug, cancel context.CancelFunc) {
			c.turn <- struct{}{}
			time.AfterFunc(time.Second, cancel)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &plug{}
				c := newTestConduct(p, "")
				c.tries = 3
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				run(t, c, p, cancel)
				start := time.Now()
				err := c.On(ctx)
				if !errors.Is(err, context.Canceled) {
					t.Errorf("error %v, want context.Canceled", err)
				}
				if len(p.told) > 0 || p.on {
					t.Error("it was switched all the same")
				}
				if got := since(start); got > time.Second {
					t.Errorf("took %s", got)
				}
			})
		})
	}
	t.Run("in a call", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := &plug{hang: make(chan struct{})}
			c := newTestConduct(p, "")
			c.tries = 3
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-p.hang; cancel() }()
			if err := c.On(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want context.Canceled", err)
			}
			if len(p.told) != 1 {
				t.Errorf("told %d times, want once", len(p.told))
			}
		})
	})
}

func TestSecretsStayInside(t *testing.T) {
	const password = "p&ss w/rd"
	for _, text := range []string{
		"GET http://u:p&ss w/rd@host/: refused", "GET /cm?password=p%26ss+w%2Frd", "GET /p&ss%20w%2Frd",
		"Authorization: Basic dTpwJnNzIHcvcmQ=", "got p&ss w/rd",
	} {
		var log strings.Builder
		c := newTestConduct(&plug{setErr: func(int) error { return errors.New(text) }}, "")
		c.tries, c.pause, c.secrets = 2, time.Nanosecond, secretsOf("u", password)
		c.logger = slog.New(slog.NewTextHandler(&log, nil))
		err := c.On(t.Context())
		wantError(t, err, mask)
		for _, leak := range []string{"w/rd", "w%2Frd", "dTpwJnNzIHcvcmQ="} {
			if said := err.Error() + log.String() + fmt.Sprintf("%+v %#v", err, err.Error()); strings.Contains(said, leak) {
				t.Errorf("%q leaks: %s", leak, said)
			}
		}
	}
	var log strings.Builder
	spec := Shelly{Host: "h", Password: password}
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "spec", spec, "password", spec.Password)
	if said := fmt.Sprintf("%v %+v %#v %s", spec, spec, spec, spec.Password) + log.String(); strings.Contains(said, "w/rd") {
		t.Errorf("a printed configuration leaks: %s", said)
	}
}
