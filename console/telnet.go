package console

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"
)

// telnetPort is a telnet connection (RFC 854).
type telnetPort struct {
	conn    net.Conn
	buffer  [16 << 10]byte
	pending []byte // decoded, not yet read
	failure error  // of conn, to be returned after pending

	writing sync.Mutex // keeps what goes out whole; taken before state
	state   sync.Mutex
	codec   telnetCodec
}

func dialTelnet(ctx context.Context, spec Spec, _ *slog.Logger) (Port, error) {
	conn, err := connect(ctx, spec.Telnet)
	if err != nil {
		return nil, err
	}
	p := &telnetPort{conn: conn}
	if err := p.offer(); err != nil {
		conn.Close()
		return nil, err
	}
	return p, nil
}

// offer asks for a line without translation and with the far end's echo.
func (p *telnetPort) offer() error {
	return p.transmit(func(c *telnetCodec, b []byte) []byte {
		for _, option := range []byte{optBinary, optSuppressGoAhead} {
			b = c.ask(b, cmdWill, option)
			b = c.ask(b, cmdDo, option)
		}
		return b
	})
}

func (p *telnetPort) Read(b []byte) (int, error) {
	for len(p.pending) == 0 && len(b) > 0 {
		if p.failure != nil {
			return 0, p.failure
		}
		p.fill()
	}
	n := copy(b, p.pending)
	p.pending = p.pending[n:]
	return n, nil
}

// fill reads once from the connection into pending and answers what asks for it.
func (p *telnetPort) fill() {
	n, err := p.conn.Read(p.buffer[:])
	p.state.Lock()
	p.pending = p.codec.decode(p.pending[:0], p.buffer[:n])
	answer := slices.Clone(p.codec.answer)
	p.codec.answer = p.codec.answer[:0]
	p.state.Unlock()
	if len(answer) > 0 {
		failed := p.transmit(func(_ *telnetCodec, b []byte) []byte { return append(b, answer...) })
		if err == nil {
			err = failed
		}
	}
	p.failure = err
}

func (p *telnetPort) Write(b []byte) (int, error) {
	err := p.transmit(func(c *telnetCodec, out []byte) []byte { return c.encode(out, b) })
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

// transmit sends what compose appends.
func (p *telnetPort) transmit(compose func(*telnetCodec, []byte) []byte) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.state.Lock()
	out := compose(&p.codec, nil)
	p.state.Unlock()
	_, err := p.conn.Write(out)
	return err
}

func (p *telnetPort) Close() error { return p.conn.Close() }

// SendBreak sends the telnet break, whose length the server chooses.
func (p *telnetPort) SendBreak(time.Duration) error {
	err := p.transmit(func(_ *telnetCodec, b []byte) []byte { return append(b, cmdIAC, cmdBreak) })
	if err != nil {
		return fmt.Errorf("failed to send a break: %w", err)
	}
	return nil
}
