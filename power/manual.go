package power

import (
	"context"
	"errors"
)

// Manual asks the person at the bench to work the switch.
type Manual struct {
	Switch string `yaml:"switch"` // what to work, such as "the left plug"; "the board" if left out
}

func (c *Manual) check() error      { return nil }
func (c *Manual) device() string    { return c.Switch }
func (c *Manual) secrets() []string { return nil }

func (c *Manual) open(opts Options) (outlet, error) {
	if opts.Ask == nil {
		return nil, errors.New("there is nobody to ask (try: run on a terminal)")
	}
	return &manual{*c, opts.Ask}, nil
}

type manual struct {
	Manual
	ask func(ctx context.Context, question string) error
}

func (m *manual) set(ctx context.Context, on bool) error {
	what := m.Switch
	if what == "" {
		what = "the board"
	}
	return m.ask(ctx, "Switch "+what+" "+string(stateOf(on))+".")
}

func (m *manual) state(context.Context) (State, error) { return Unknown, nil }
