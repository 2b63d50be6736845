package power

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"
)

// Spec is a board's `power:` entry of the lab file; exactly one of its driver
// keys (all but the last two) is set.
type Spec struct {
	USBHub        *USBHub        `yaml:"usbhub"`
	GPIO          *GPIO          `yaml:"gpio"`
	SerialRelay   *SerialRelay   `yaml:"serial-relay"`
	SNMP          *SNMP          `yaml:"snmp"`
	Shelly        *Shelly        `yaml:"shelly"`
	Tasmota       *Tasmota       `yaml:"tasmota"`
	MQTT          *MQTT          `yaml:"mqtt"`
	HTTP          *HTTP          `yaml:"http"`
	PDUDaemon     *PDUDaemon     `yaml:"pdudaemon"`
	HomeAssistant *HomeAssistant `yaml:"homeassistant"`
	Redfish       *Redfish       `yaml:"redfish"`
	IPMI          *IPMI          `yaml:"ipmi"`
	Exec          *Exec          `yaml:"exec"`
	Manual        *Manual        `yaml:"manual"`

	// OffTime is how long the board stays off at least before it is switched on.
	// 0 is what Options say; below 0 is not at all.
	OffTime time.Duration `yaml:"off_time"`
	// Settle is how long On and Off wait after the switch has happened, for
	// devices that cannot be read back or are slow to act. 0 is what Options say;
	// below 0 is not at all.
	Settle time.Duration `yaml:"settle"`
}

// Options are what a Supply needs beside the lab file's words.
type Options struct {
	Logger *slog.Logger // nil discards
	// StateDir is a directory for the moment of the last switch-off, so that the
	// minimum off time holds across processes. It is made if missing; "" keeps
	// the moment in memory only.
	StateDir string
	// OffTime and Settle stand where the Spec says none, as in Spec. OffTime 0 is
	// the driver's own: 10 s for usbhub, none for manual, 5 s for any other.
	OffTime time.Duration
	Settle  time.Duration
	// Ask asks the person at the bench to do something and returns nil when that
	// is done. Only manual needs it.
	Ask func(ctx context.Context, question string) error
}

// maxWait bounds off_time and settle.
const maxWait = time.Hour

// Check reports every mistake of s that shows without touching a device.
func (s Spec) Check() error {
	var errs []error
	set := s.set()
	for _, d := range set {
		if err := d.config(s).check(); err != nil {
			errs = append(errs, fmt.Errorf("bad power %s: %w", d.key, err))
		}
	}
	if len(set) != 1 {
		what := "no driver"
		if len(set) > 1 {
			what = "more than one driver: " + strings.Join(keys(set), ", ")
		}
		errs = append(errs, fmt.Errorf("power has %s (want exactly one of %s)", what, strings.Join(keys(drivers), ", ")))
	}
	if s.OffTime > maxWait {
		errs = append(errs, fmt.Errorf("bad power off_time %s: want at most %s", s.OffTime, maxWait))
	}
	if s.Settle > maxWait {
		errs = append(errs, fmt.Errorf("bad power settle %s: want at most %s", s.Settle, maxWait))
	}
	return errors.Join(errs...)
}

// Device names the port that feeds the board: two boards with the same name
// share one port, which is a mistake. It is stable, holds nothing secret, and is
// "" for a manual supply without a name.
func (s Spec) Device() string {
	if set := s.set(); len(set) > 0 {
		if name := set[0].config(s).device(); name != "" {
			return set[0].key + ":" + name
		}
	}
	return ""
}

// Open returns the supply that spec describes. It does not switch anything, and
// most devices are first talked to when they are used. The supply is a Stater,
// may be a Meter or an EnergyMeter, and is an io.Closer: Close gives up what the
// driver holds and leaves the board as it is.
func Open(spec Spec, opts Options) (Supply, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.StateDir != "" {
		if err := os.MkdirAll(opts.StateDir, 0o755); err != nil {
			return nil, fmt.Errorf("failed to make power state directory: %w", err)
		}
	}
	d := spec.set()[0]
	cfg := d.config(spec)
	out, err := cfg.open(opts)
	if err != nil {
		return nil, sealed(fmt.Errorf("failed to open %s supply: %w", d.key, err), cfg.secrets())
	}
	device := spec.Device()
	c := &conduct{
		name: device, outlet: out, traits: d.traits, secrets: cfg.secrets(),
		logger: opts.Logger, record: newRecord(opts.StateDir, device), turn: make(chan struct{}, 1), pause: firstPause,
	}
	if c.name == "" {
		c.name = d.key
	}
	c.offTime = firstSet(spec.OffTime, opts.OffTime, d.offTime)
	c.settle = firstSet(spec.Settle, opts.Settle, d.settle)
	switch m := out.(type) {
	case energyMeter:
		return &energyConduct{meteredConduct{c, m}, m}, nil
	case meter:
		return &meteredConduct{c, m}, nil
	}
	return c, nil
}

// firstSet is the first of the durations that is not 0, and 0 for one below.
func firstSet(durations ...time.Duration) time.Duration {
	for _, d := range durations {
		if d != 0 {
			return min(max(d, 0), maxWait)
		}
	}
	return 0
}

func (s Spec) set() []driver {
	var set []driver
	for _, d := range drivers {
		if d.config(s) != nil {
			set = append(set, d)
		}
	}
	return set
}

func keys(drivers []driver) []string {
	names := make([]string, len(drivers))
	for i, d := range drivers {
		names[i] = d.key
	}
	return names
}
