package power

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
)

// SerialRelay is a channel of a relay board on a serial device.
type SerialRelay struct {
	Device   string `yaml:"device" strict:"required"` // device node; best one of /dev/serial/by-id
	Protocol string `yaml:"protocol"`                 // lcus (if left out), lcus-status or numato
	Channel  int    `yaml:"channel"`                  // lcus: from 1, 1 if left out; numato: from 0
	Baud     int    `yaml:"baud"`                     // bit/s, 8N1; 9600 if left out
	// NormallyClosed is for a board wired to the NC contact: it is on when the
	// relay is off.
	NormallyClosed bool `yaml:"normally_closed"`
	// IDDigits is how many digits the numato board writes a channel with: 2 for
	// the one with 64 channels, else left out.
	IDDigits int `yaml:"id_digits"`
}

// relayProtocol is what one kind of relay board speaks.
type relayProtocol struct {
	set func(r *SerialRelay, line io.ReadWriter, closed bool) error
	get func(r *SerialRelay, line io.ReadWriter) (closed bool, err error) // nil cannot be read back
}

// relayProtocols are, by vendor:
//   - lcus: LCUS-1 and compatible; the boards with one channel have no query;
//   - lcus-status: those with more, which answer the query FF with a line such as
//     "CH1: ON" for each channel;
//   - numato: https://numato.com/docs/16-channel-usb-relay-module/#the-command-set-23
var relayProtocols = map[string]relayProtocol{
	"lcus":        {set: setLCUS},
	"lcus-status": {set: setLCUS, get: getLCUS},
	"numato":      {set: setNumato, get: getNumato},
}

func (c *SerialRelay) protocol() string { return cmp.Or(c.Protocol, "lcus") }

func (c *SerialRelay) check() error {
	var errs []error
	if c.Device == "" {
		errs = append(errs, errors.New("device is empty"))
	}
	if _, ok := relayProtocols[c.protocol()]; !ok {
		errs = append(errs, fmt.Errorf("bad protocol %q: want one of %s", c.Protocol, strings.Join(sortedKeys(relayProtocols), ", ")))
	}
	if most := map[bool]int{true: 63, false: 255}[c.Protocol == "numato"]; c.Channel < 0 || c.Channel > most {
		errs = append(errs, fmt.Errorf("bad channel %d: want at most %d", c.Channel, most))
	}
	if c.Baud < 0 || c.Baud > 4_000_000 {
		errs = append(errs, fmt.Errorf("bad baud %d: want 1 to 4000000 bit/s", c.Baud))
	}
	if c.IDDigits < 0 || c.IDDigits > 2 || c.IDDigits != 0 && c.Protocol != "numato" {
		errs = append(errs, fmt.Errorf("bad id_digits %d: want 1 or 2, with numato", c.IDDigits))
	}
	return errors.Join(errs...)
}

func (c *SerialRelay) channel() int {
	if c.Protocol == "numato" {
		return c.Channel
	}
	return max(c.Channel, 1)
}

// device names a board that is plugged in by its device node, any other as it is
// written.
func (c *SerialRelay) device() string {
	node := c.Device
	if real, err := filepath.EvalSymlinks(node); err == nil {
		node = real
	}
	return fmt.Sprintf("%s/%d", node, c.channel())
}

func (c *SerialRelay) secrets() []string { return nil }

func (c *SerialRelay) open(Options) (outlet, error) {
	return &serialRelay{*c, relayProtocols[c.protocol()]}, nil
}

type serialRelay struct {
	SerialRelay
	protocol relayProtocol
}

func (r *serialRelay) set(ctx context.Context, on bool) error {
	return withRelayLine(ctx, r.Device, r.Baud, func(line io.ReadWriter) error {
		return r.protocol.set(&r.SerialRelay, line, on != r.NormallyClosed)
	})
}

func (r *serialRelay) state(ctx context.Context) (State, error) {
	if r.protocol.get == nil {
		return Unknown, nil
	}
	closed := false
	err := withRelayLine(ctx, r.Device, r.Baud, func(line io.ReadWriter) (err error) {
		closed, err = r.protocol.get(&r.SerialRelay, line)
		return err
	})
	if err != nil {
		return Unknown, err
	}
	return stateOf(closed != r.NormallyClosed), nil
}

// setLCUS sends A0, the channel, 1 or 0, and the sum of these.
func setLCUS(r *SerialRelay, line io.ReadWriter, closed bool) error {
	frame := []byte{0xA0, byte(r.channel()), 0, 0}
	if closed {
		frame[2] = 1
	}
	frame[3] = frame[0] + frame[1] + frame[2]
	_, err := line.Write(frame)
	return err
}

func getLCUS(r *SerialRelay, line io.ReadWriter) (bool, error) {
	if _, err := line.Write([]byte{0xFF}); err != nil {
		return false, err
	}
	status := regexp.MustCompile(fmt.Sprintf(`(?i)\bCH%d: ?(ON|OFF)\b\s`, r.channel()))
	said, err := readUntil(line, status.Match)
	if err != nil {
		return false, err
	}
	return strings.EqualFold(string(status.FindSubmatch(said)[1]), "on"), nil
}

// numatoID writes channels above 9 as letters, but on the board with 64.
func (r *SerialRelay) numatoID() string {
	if r.IDDigits == 2 {
		return fmt.Sprintf("%02d", r.Channel)
	}
	return string("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[min(r.Channel, 35)])
}

func setNumato(r *SerialRelay, line io.ReadWriter, closed bool) error {
	_, err := numato(line, "relay "+string(stateOf(closed))+" "+r.numatoID())
	return err
}

func getNumato(r *SerialRelay, line io.ReadWriter) (bool, error) {
	answer, err := numato(line, "relay read "+r.numatoID())
	if err != nil {
		return false, err
	}
	switch answer {
	case "on":
		return true, nil
	case "off":
		return false, nil
	}
	return false, fmt.Errorf("the board answers neither on nor off: %s", excerpt([]byte(answer)))
}

// numato gets a prompt, sends a command, and returns what is between the echo and
// the next prompt.
func numato(line io.ReadWriter, command string) (string, error) {
	prompt := func(said []byte) bool { return bytes.HasSuffix(said, []byte(">")) }
	for _, text := range []string{"", command} {
		if _, err := line.Write([]byte(text + "\r")); err != nil {
			return "", err
		}
		said, err := readUntil(line, prompt)
		if err != nil {
			return "", err
		}
		if text == command {
			answer, echoed := strings.CutPrefix(strings.TrimSpace(strings.TrimSuffix(string(said), ">")), command)
			if !echoed {
				return "", fmt.Errorf("the board does not echo %q: %s", command, excerpt(said))
			}
			return strings.TrimSpace(answer), nil
		}
	}
	return "", nil
}
