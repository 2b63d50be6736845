package power

import (
	"context"
	"time"
)

// driver is a row of the table: a key of the lab file and how its kind of device
// is dealt with.
type driver struct {
	key    string
	config func(Spec) config // nil when the key is not set
	traits
}

// config is what a lab file says to a driver.
type config interface {
	// check reports every mistake that shows without touching the device.
	check() error
	// device names the port, without anything secret; "" when it has no name.
	device() string
	// secrets are the strings that must not show in an error.
	secrets() []string
	// open does not touch the device.
	open(Options) (outlet, error)
}

// outlet is one port of a device. Its methods make one attempt each, in the
// caller's goroutine, and end soon after ctx does. The conduct serialises them.
type outlet interface {
	set(ctx context.Context, on bool) error
	// state is Unknown where the device cannot be asked.
	state(ctx context.Context) (State, error)
}

// meter and energyMeter are abilities of an outlet.
type meter interface {
	watts(ctx context.Context) (float64, error)
}

type energyMeter interface {
	meter
	joules(ctx context.Context) (float64, error)
}

// traits are what is particular to a kind of device.
type traits struct {
	tries   int           // attempts of a call; more than one for network devices only
	timeout time.Duration // of one call
	confirm time.Duration // until the device must say what it was told; 0 is at once
	offTime time.Duration // the minimum, where neither lab file nor model says one
	settle  time.Duration // where the lab file says none
}

var drivers = []driver{
	row("usbhub", func(s Spec) *USBHub { return s.USBHub },
		traits{tries: 1, timeout: 10 * time.Second, confirm: 2 * time.Second, offTime: 10 * time.Second}),
	row("gpio", func(s Spec) *GPIO { return s.GPIO },
		traits{tries: 1, timeout: 2 * time.Second, offTime: 5 * time.Second}),
	row("serial-relay", func(s Spec) *SerialRelay { return s.SerialRelay },
		traits{tries: 1, timeout: 5 * time.Second, confirm: time.Second, offTime: 5 * time.Second}),
	row("snmp", func(s Spec) *SNMP { return s.SNMP },
		traits{tries: 3, timeout: 5 * time.Second, confirm: 10 * time.Second, offTime: 5 * time.Second}),
	row("shelly", func(s Spec) *Shelly { return s.Shelly },
		traits{tries: 3, timeout: 5 * time.Second, confirm: 2 * time.Second, offTime: 5 * time.Second}),
	row("tasmota", func(s Spec) *Tasmota { return s.Tasmota },
		traits{tries: 3, timeout: 5 * time.Second, confirm: 2 * time.Second, offTime: 5 * time.Second}),
	row("mqtt", func(s Spec) *MQTT { return s.MQTT },
		traits{tries: 3, timeout: 8 * time.Second, confirm: 5 * time.Second, offTime: 5 * time.Second}),
	row("http", func(s Spec) *HTTP { return s.HTTP },
		traits{tries: 3, timeout: 10 * time.Second, confirm: 5 * time.Second, offTime: 5 * time.Second}),
	row("pdudaemon", func(s Spec) *PDUDaemon { return s.PDUDaemon },
		traits{tries: 3, timeout: 30 * time.Second, offTime: 5 * time.Second, settle: time.Second}),
	row("homeassistant", func(s Spec) *HomeAssistant { return s.HomeAssistant },
		traits{tries: 3, timeout: 10 * time.Second, confirm: 10 * time.Second, offTime: 5 * time.Second}),
	row("redfish", func(s Spec) *Redfish { return s.Redfish },
		traits{tries: 3, timeout: 30 * time.Second, confirm: 30 * time.Second, offTime: 5 * time.Second}),
	row("ipmi", func(s Spec) *IPMI { return s.IPMI },
		traits{tries: 3, timeout: 20 * time.Second, confirm: 30 * time.Second, offTime: 5 * time.Second}),
	row("exec", func(s Spec) *Exec { return s.Exec },
		traits{tries: 1, timeout: time.Minute, confirm: 2 * time.Second, offTime: 5 * time.Second}),
	row("manual", func(s Spec) *Manual { return s.Manual },
		traits{tries: 1, timeout: time.Hour}),
}

// row hides the type of a driver's configuration.
func row[C any, P interface {
	*C
	config
}](key string, get func(Spec) P, t traits) driver {
	return driver{key: key, traits: t, config: func(s Spec) config {
		if c := get(s); c != nil {
			return c
		}
		return nil
	}}
}
