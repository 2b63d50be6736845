package console

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"sync"
	"time"
)

// Com-port commands of a client (RFC 2217, section 3); the server answers with
// 100 more.
const (
	comSetBaud       = 1
	comSetDataSize   = 2
	comSetParity     = 3
	comSetStopSize   = 4
	comSetControl    = 5
	comLineState     = 6
	comLineStateMask = 10
	comModemMask     = 11
	comPurge         = 12
	comAnswer        = 100
)

// Values of these commands.
const (
	comEightBits    = 8
	comNoParity     = 1
	comOneStop      = 1
	comNoFlow       = 1
	comBreakOn      = 5
	comBreakOff     = 6
	comDTROn        = 8
	comDTROff       = 9
	comRTSOn        = 11
	comRTSOff       = 12
	comPurgeBoth    = 3
	comOverrun      = 1 << 1
	comFramingError = 1 << 3
)

// setupTimeout bounds the wait for a server that may not speak RFC 2217 at all.
const setupTimeout = 5 * time.Second

// rfc2217Port is a telnet connection to a serial port that is controlled from
// here (RFC 2217). The server's requests to pause are left to TCP.
type rfc2217Port struct {
	telnetPort
	logger  *slog.Logger
	closing chan struct{}
	once    sync.Once // closes closing

	// Guarded by state.
	answers map[byte]uint32 // what the server last answered to a command
	lossy   uint64          // reports of line errors
}

func dialRFC2217(ctx context.Context, spec Spec, logger *slog.Logger) (Port, error) {
	conn, err := connect(ctx, spec.RFC2217)
	if err != nil {
		return nil, err
	}
	p := newRFC2217Port(conn, logger)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = p.setUp(spec, setupTimeout)
	if !stop() {
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func newRFC2217Port(conn net.Conn, logger *slog.Logger) *rfc2217Port {
	p := &rfc2217Port{logger: logger, closing: make(chan struct{}), answers: make(map[byte]uint32)}
	p.conn = conn
	p.codec.comPort = true
	p.codec.onSub = p.heed
	return p
}

// setUp negotiates the option and sets the line; what the board says meanwhile
// stays in pending.
func (p *rfc2217Port) setUp(spec Spec, timeout time.Duration) error {
	if err := p.offer(); err != nil {
		return err
	}
	err := p.transmit(func(c *telnetCodec, b []byte) []byte { return c.ask(b, cmdWill, optComPort) })
	if err != nil {
		return err
	}
	if err := p.conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if err := p.await(func() bool { return p.codec.ours[optComPort] != asked }); err != nil {
		return fmt.Errorf("the server does not answer as RFC 2217 asks (try: telnet or tcp instead): %w", err)
	}
	if p.codec.ours[optComPort] != agreed {
		return errors.New("the server refuses RFC 2217 (try: telnet instead, or for ser2net telnet(rfc2217) in its accepter)")
	}

	settings := []comSetting{
		{"8 data bits", comSetDataSize, comEightBits},
		{"no parity", comSetParity, comNoParity},
		{"1 stop bit", comSetStopSize, comOneStop},
		{"no flow control", comSetControl, comNoFlow},
	}
	if spec.Baud != 0 {
		settings = append(settings, comSetting{"baud", comSetBaud, uint32(spec.Baud)})
	}
	for _, s := range append(settings, reports[:]...) {
		if err := p.command(s.command, s.value); err != nil {
			return err
		}
	}
	for _, s := range settings {
		if err := p.verify(s); err != nil {
			return err
		}
	}
	if spec.DTR != nil {
		if err := p.SetDTR(*spec.DTR); err != nil {
			return err
		}
	}
	if spec.RTS != nil {
		if err := p.SetRTS(*spec.RTS); err != nil {
			return err
		}
	}
	return p.conn.SetReadDeadline(time.Time{})
}

type comSetting struct {
	name    string
	command byte
	value   uint32
}

// reports is what the server is to say by itself; ser2net does not answer these.
var reports = [...]comSetting{
	{"line errors", comLineStateMask, comOverrun | comFramingError},
	{"no modem state", comModemMask, 0},
}

// verify waits for the answer to s. Only the baud rate must be answered: some
// servers leave out the rest, and there the board shows soon enough.
func (p *rfc2217Port) verify(s comSetting) error {
	err := p.await(func() bool { _, ok := p.answers[s.command]; return ok })
	if err != nil && (s.command == comSetBaud || !errors.Is(err, os.ErrDeadlineExceeded)) {
		return fmt.Errorf("the server does not answer to %s: %w", s.name, err)
	}
	p.failure = nil
	p.state.Lock()
	got, answered := p.answers[s.command]
	p.state.Unlock()
	switch {
	case !answered:
		p.logger.Warn("the console server does not answer", "to", s.name)
	case s.command == comSetBaud && math.Abs(float64(got)/float64(s.value)-1) > maxSkew:
		return fmt.Errorf("the server refuses %d baud, it stays at %d (try: that rate, or the server's own settings)", s.value, got)
	case s.command < comSetControl && s.command != comSetBaud && got != s.value:
		return fmt.Errorf("the server refuses %s, it stays at %d", s.name, got)
	}
	return nil
}

// await reads until done; the data that comes is kept.
func (p *rfc2217Port) await(done func() bool) error {
	for {
		p.state.Lock()
		ok := done()
		p.state.Unlock()
		if ok {
			return nil
		}
		kept := p.pending
		p.pending = nil
		p.fill()
		p.pending = append(kept, p.pending...)
		if p.failure != nil {
			return p.failure
		}
		if len(p.pending) > maxEarly {
			return fmt.Errorf("the server sent %d bytes instead", len(p.pending))
		}
	}
}

// maxEarly bounds what a board may say during set-up.
const maxEarly = 4 << 20

// heed takes a subnegotiation; state is held.
func (p *rfc2217Port) heed(option byte, value []byte) {
	if option != optComPort || len(value) < 2 {
		return
	}
	command, value := value[0]-comAnswer, value[1:]
	switch {
	case command == comLineState:
		if value[0]&(comOverrun|comFramingError) == 0 {
			return
		}
		p.lossy++
		if p.lossy&(p.lossy-1) == 0 { // each time it doubled
			p.logger.Warn("the console server lost characters", "times", p.lossy, "overrun", value[0]&comOverrun != 0, "framing", value[0]&comFramingError != 0)
		}
	case command == comSetBaud && len(value) >= 4:
		p.answers[command] = binary.BigEndian.Uint32(value)
	case command > comSetBaud && command <= comPurge:
		p.answers[command] = uint32(value[0])
	}
}

func (p *rfc2217Port) command(command byte, value uint32) error {
	return p.transmit(func(_ *telnetCodec, b []byte) []byte {
		if command == comSetBaud {
			return encodeSub(b, optComPort, binary.BigEndian.AppendUint32([]byte{command}, value)...)
		}
		return encodeSub(b, optComPort, command, byte(value))
	})
}

func (p *rfc2217Port) Close() error {
	p.once.Do(func() { close(p.closing) })
	return p.telnetPort.Close()
}

func (p *rfc2217Port) SendBreak(d time.Duration) error {
	if err := p.command(comSetControl, comBreakOn); err != nil {
		return fmt.Errorf("failed to start a break: %w", err)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.closing:
	}
	if err := p.command(comSetControl, comBreakOff); err != nil {
		return fmt.Errorf("failed to end a break: %w", err)
	}
	return nil
}

func (p *rfc2217Port) SetDTR(on bool) error { return p.setControl("DTR", on, comDTROn, comDTROff) }
func (p *rfc2217Port) SetRTS(on bool) error { return p.setControl("RTS", on, comRTSOn, comRTSOff) }

func (p *rfc2217Port) setControl(name string, on bool, yes, no uint32) error {
	value := no
	if on {
		value = yes
	}
	if err := p.command(comSetControl, value); err != nil {
		return fmt.Errorf("failed to set %s: %w", name, err)
	}
	return nil
}

func (p *rfc2217Port) Purge() error {
	if err := p.command(comPurge, comPurgeBoth); err != nil {
		return fmt.Errorf("failed to purge: %w", err)
	}
	return nil
}
