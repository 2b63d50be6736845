package power

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/stmcginnis/gofish"
	"github.com/stmcginnis/gofish/common"
	"github.com/stmcginnis/gofish/redfish"
)

// Redfish is a machine behind a Redfish service (DMTF DSP0266). Off is ForceOff,
// without asking the operating system.
type Redfish struct {
	URL      string `yaml:"url" strict:"required"` // https://10.0.0.9
	User     string `yaml:"user"`
	Password Secret `yaml:"password"`
	// System is the Id of the computer system, such as 437XR1138R2. It may be left
	// out where the service has one system only.
	System   string `yaml:"system"`
	Basic    bool   `yaml:"basic"`    // basic authentication instead of a session
	Insecure bool   `yaml:"insecure"` // accept any TLS certificate
}

func (c *Redfish) check() error      { return checkURL(c.URL, "https", "http") }
func (c *Redfish) device() string    { return strings.TrimSuffix(plainURL(c.URL), "/") + "#" + c.System }
func (c *Redfish) secrets() []string { return secretsOf(c.User, c.Password) }

func (c *Redfish) open(Options) (outlet, error) { return &redfishOutlet{*c}, nil }

type redfishOutlet struct{ Redfish }

// system calls f with the computer system, in a session of its own.
func (r *redfishOutlet) system(ctx context.Context, f func(*redfish.ComputerSystem) error) error {
	client, err := gofish.ConnectContext(ctx, gofish.ClientConfig{
		Endpoint: strings.TrimSuffix(r.URL, "/"), Username: r.User, Password: string(r.Password),
		BasicAuth: r.Basic, HTTPClient: httpClient(r.Insecure),
	})
	if err != nil {
		return redfishError(err)
	}
	if !r.Basic {
		defer client.Logout()
	}
	systems, err := client.GetService().Systems()
	if err != nil {
		return redfishError(err)
	}
	var ids []string
	for _, s := range systems {
		if s.ID == r.System || r.System == "" && len(systems) == 1 {
			return redfishError(f(s))
		}
		ids = append(ids, s.ID)
	}
	return refused{fmt.Errorf("the service has no system %q (try: system: one of %s)", r.System, strings.Join(ids, ", "))}
}

// redfishError recognises what another attempt would not change.
func redfishError(err error) error {
	if list, ok := errors.AsType[*common.CollectionError](err); ok {
		err = errors.Join(slices.Collect(maps.Values(list.Failures))...)
	}
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*common.Error](err); ok {
		switch e.HTTPReturnedStatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return refused{fmt.Errorf("%w (try: check user and password)", err)}
		}
	}
	return bareError(err)
}

func (r *redfishOutlet) set(ctx context.Context, on bool) error {
	reset := redfish.ForceOffResetType
	if on {
		reset = redfish.OnResetType
	}
	return r.system(ctx, func(s *redfish.ComputerSystem) error { return s.Reset(reset) })
}

// state takes PoweringOn and PoweringOff for what they come from, so that the
// conduct goes on looking.
func (r *redfishOutlet) state(ctx context.Context) (State, error) {
	state := Unknown
	err := r.system(ctx, func(s *redfish.ComputerSystem) error {
		switch s.PowerState {
		case redfish.OnPowerState, redfish.PoweringOffPowerState, redfish.PausedPowerState:
			state = On
		case redfish.OffPowerState, redfish.PoweringOnPowerState:
			state = Off
		default:
			return fmt.Errorf("system %q has power state %q", s.ID, s.PowerState)
		}
		return nil
	})
	if err != nil {
		return Unknown, err
	}
	return state, nil
}
