package power

import (
	"context"
	"fmt"
	"strconv"
)

// Shelly is a Shelly plug or relay on its local HTTP API, of the first
// generation (https://shelly-api-docs.shelly.cloud/gen1/) or any later one
// (https://shelly-api-docs.shelly.cloud/gen2/); it is asked which.
type Shelly struct {
	Host     string `yaml:"host" strict:"required"` // HOST or HOST:PORT
	Channel  int    `yaml:"channel"`                // of a device with several, from 0
	User     string `yaml:"user"`                   // admin if a password is given without one
	Password Secret `yaml:"password"`
}

func (c *Shelly) check() error {
	if c.Channel < 0 || c.Channel > 15 {
		return fmt.Errorf("bad channel %d: want 0 to 15", c.Channel)
	}
	return checkHost(c.Host)
}

func (c *Shelly) device() string    { return c.Host + "/" + strconv.Itoa(c.Channel) }
func (c *Shelly) secrets() []string { return secretsOf(c.user(), c.Password) }

func (c *Shelly) user() string {
	if c.User == "" && c.Password != "" {
		return "admin"
	}
	return c.User
}

func (c *Shelly) open(Options) (outlet, error) {
	return &shelly{Shelly: *c, web: newWeb(c.user(), c.Password, false)}, nil
}

type shelly struct {
	Shelly
	web        *web
	generation int // 0 until it was asked
}

// shellySwitch is what both generations say, each in its own words. A missing
// state must not read as off.
type shellySwitch struct {
	IsOn   *bool    `json:"ison"`   // 1
	Output *bool    `json:"output"` // 2
	APower *float64 `json:"apower"` // 2; W
	Energy struct {
		Total *float64 `json:"total"` // Wh
	} `json:"aenergy"` // 2
}

func (s *shelly) url(format string, args ...any) string {
	return "http://" + s.Host + fmt.Sprintf(format, args...)
}

// identify asks who is there; /shelly needs no password in either generation.
func (s *shelly) identify(ctx context.Context) error {
	if s.generation > 0 {
		return nil
	}
	var info struct {
		Gen  int    `json:"gen"`
		Type string `json:"type"` // generation 1 only
	}
	if err := s.web.getJSON(ctx, s.url("/shelly"), &info); err != nil {
		return err
	}
	switch {
	case info.Gen >= 2:
		s.generation = 2
	case info.Type != "":
		s.generation = 1
	default:
		return fmt.Errorf("%s does not say that it is a shelly", s.Host)
	}
	return nil
}

func (s *shelly) set(ctx context.Context, on bool) error {
	if err := s.identify(ctx); err != nil {
		return err
	}
	if s.generation >= 2 {
		_, err := s.web.get(ctx, s.url("/rpc/Switch.Set?id=%d&on=%t", s.Channel, on))
		return err
	}
	_, err := s.web.get(ctx, s.url("/relay/%d?turn=%s", s.Channel, stateOf(on)))
	return err
}

func (s *shelly) state(ctx context.Context) (State, error) {
	if err := s.identify(ctx); err != nil {
		return Unknown, err
	}
	sw, err := s.read(ctx)
	if err != nil {
		return Unknown, err
	}
	on := sw.Output
	if s.generation == 1 {
		on = sw.IsOn
	}
	if on == nil {
		return Unknown, fmt.Errorf("the shelly does not say whether channel %d is on", s.Channel)
	}
	return stateOf(*on), nil
}

func (s *shelly) read(ctx context.Context) (sw shellySwitch, err error) {
	if s.generation >= 2 {
		return sw, s.web.getJSON(ctx, s.url("/rpc/Switch.GetStatus?id=%d", s.Channel), &sw)
	}
	return sw, s.web.getJSON(ctx, s.url("/relay/%d", s.Channel), &sw)
}

// meter returns W and J. Generation 1 counts watt-minutes, generation 2
// watt-hours.
func (s *shelly) meter(ctx context.Context) (watts, joules float64, err error) {
	if err := s.identify(ctx); err != nil {
		return 0, 0, err
	}
	var w, total *float64
	perUnit := 3600.0
	if s.generation >= 2 {
		sw, err := s.read(ctx)
		if err != nil {
			return 0, 0, err
		}
		w, total = sw.APower, sw.Energy.Total
	} else {
		var m struct {
			Power *float64 `json:"power"`
			Total *float64 `json:"total"`
		}
		if err := s.web.getJSON(ctx, s.url("/meter/%d", s.Channel), &m); err != nil {
			return 0, 0, err
		}
		w, total, perUnit = m.Power, m.Total, 60
	}
	if w == nil || total == nil {
		return 0, 0, refused{fmt.Errorf("channel %d of this shelly has no meter", s.Channel)}
	}
	return *w, *total * perUnit, nil
}

func (s *shelly) watts(ctx context.Context) (float64, error) {
	watts, _, err := s.meter(ctx)
	return watts, err
}

func (s *shelly) joules(ctx context.Context) (float64, error) {
	_, joules, err := s.meter(ctx)
	return joules, err
}

func stateOf(on bool) State {
	if on {
		return On
	}
	return Off
}
