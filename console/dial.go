package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"
)

// DefaultBaud is the rate of a serial console that names none.
const DefaultBaud = 115200

// defaultReopen bounds how long an unplugged adapter may stay away.
const defaultReopen = 30 * time.Second

// connectTimeout bounds a connect, name look-up and RFC 2217 negotiation included.
const connectTimeout = 10 * time.Second

// Spec is a board's `console:` entry of the lab file; exactly one of its driver
// keys (the first seven) is set.
type Spec struct {
	Serial  string   `yaml:"serial"`  // device node; best one of /dev/serial/by-id
	USB     string   `yaml:"usb"`     // VID:PID[:SERIAL[:INTERFACE]]
	TCP     string   `yaml:"tcp"`     // HOST:PORT, raw bytes
	Telnet  string   `yaml:"telnet"`  // HOST:PORT, RFC 854
	RFC2217 string   `yaml:"rfc2217"` // HOST:PORT, telnet with com-port control
	Unix    string   `yaml:"unix"`    // path of a stream socket
	Exec    []string `yaml:"exec"`    // a command whose stdin and stdout are the console

	// Baud is the line rate in bit/s of serial, usb and rfc2217, 8N1. 0 is
	// DefaultBaud, but with rfc2217 the rate that the server is configured for.
	Baud int `yaml:"baud"`
	// DTR and RTS are the levels held while the console is open (serial, usb,
	// rfc2217); nil leaves what the driver does, which on Linux is to raise both.
	DTR *bool `yaml:"dtr"`
	RTS *bool `yaml:"rts"`
	// Reopen is how long an unplugged adapter (serial, usb) may stay away before
	// the console is lost. 0 is 30 s; below 0 the console is lost at once.
	Reopen time.Duration `yaml:"reopen"`
}

// Breaker is a Port that can send a break, the line held at space for d; Linux
// takes it as the magic SysRq key.
type Breaker interface {
	SendBreak(d time.Duration) error
}

// ModemLines is a Port whose DTR and RTS can be set; some boards wire them to
// reset and boot mode.
type ModemLines interface {
	SetDTR(on bool) error
	SetRTS(on bool) error
}

// Purger is a Port that can drop what is queued in both directions.
type Purger interface {
	Purge() error
}

type driver struct {
	key    string
	value  func(Spec) string // what the lab file says; "" is not set
	check  func(value string) error
	device func(Spec) string
	dial   func(context.Context, Spec, *slog.Logger) (Port, error)
}

var drivers = []driver{
	{"serial", func(s Spec) string { return s.Serial }, checkAny, serialDevice, dialSerial},
	{"usb", func(s Spec) string { return s.USB }, checkUSB, serialDevice, dialSerial},
	{"tcp", func(s Spec) string { return s.TCP }, checkAddress, func(s Spec) string { return netDevice(s.TCP) }, dialTCP},
	{"telnet", func(s Spec) string { return s.Telnet }, checkAddress, func(s Spec) string { return netDevice(s.Telnet) }, dialTelnet},
	{"rfc2217", func(s Spec) string { return s.RFC2217 }, checkAddress, func(s Spec) string { return netDevice(s.RFC2217) }, dialRFC2217},
	{"unix", func(s Spec) string { return s.Unix }, checkAny, unixDevice, dialUnix},
	{"exec", func(s Spec) string { return strings.Join(s.Exec, " ") }, checkAny, execDevice, dialExec},
}

// Check reports every mistake of s that shows without touching a device.
func (s Spec) Check() error {
	var set []string
	var errs []error
	for _, d := range drivers {
		value := d.value(s)
		if value == "" {
			continue
		}
		set = append(set, d.key)
		if err := d.check(value); err != nil {
			errs = append(errs, fmt.Errorf("bad console %s %q: %w", d.key, value, err))
		}
	}
	if len(set) != 1 {
		what := "no driver"
		if len(set) > 1 {
			what = "more than one driver: " + strings.Join(set, ", ")
		}
		errs = append(errs, fmt.Errorf("console has %s (want exactly one of %s)", what, strings.Join(driverKeys(), ", ")))
	}
	if len(s.Exec) > 0 && s.Exec[0] == "" {
		errs = append(errs, errors.New("bad console exec: its command is empty"))
	}
	if s.Baud < 0 || s.Baud > 50_000_000 {
		errs = append(errs, fmt.Errorf("bad console baud %d: want 1 to 50000000 bit/s", s.Baud))
	}
	if (s.DTR != nil || s.RTS != nil) && s.Serial+s.USB+s.RFC2217 == "" {
		errs = append(errs, errors.New("bad console dtr or rts: only serial, usb and rfc2217 have these lines"))
	}
	return errors.Join(errs...)
}

// Dial opens the console. ctx bounds the opening only: the port lives until
// Close. Beside the methods of Port it may be a Breaker, ModemLines or Purger.
//
// The Read of a serial port may return a *GapError; any other error of Read is
// final. The ports have no reader of their own: they need one that never stops,
// as Stream is.
func Dial(ctx context.Context, spec Spec, logger *slog.Logger) (Port, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	d := spec.driver()
	port, err := d.dial(ctx, spec, logger)
	if err != nil {
		return nil, fmt.Errorf("failed to open %s console %q: %w", d.key, d.value(spec), err)
	}
	return port, nil
}

// Device names the console behind s, whichever way s says it: two boards whose
// devices are equal share one console, which is a mistake. A serial device that
// is plugged in is named by its device node, any other by its selector.
func (s Spec) Device() string {
	if d := s.driver(); d != nil {
		return d.device(s)
	}
	return ""
}

func (s Spec) driver() *driver {
	for i := range drivers {
		if drivers[i].value(s) != "" {
			return &drivers[i]
		}
	}
	return nil
}

func driverKeys() []string {
	keys := make([]string, len(drivers))
	for i, d := range drivers {
		keys[i] = d.key
	}
	return keys
}

func checkAny(string) error { return nil }

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" {
		return errors.New("want HOST:PORT")
	}
	return nil
}
