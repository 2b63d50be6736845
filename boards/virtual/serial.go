package virtual

import (
	"errors"
	"io"
	"net"
	"sync"
)

// serial is a virtual board's serial console. Like a real adapter it stays open
// while the board is switched off and on; only a machine that goes away without
// having been switched off loses it.
type serial struct {
	mu     sync.Mutex
	change *sync.Cond
	conn   net.Conn // to the running machine; nil while the board is off
	lost   bool
	closed bool
}

func newSerial() *serial {
	p := &serial{}
	p.change = sync.NewCond(&p.mu)
	return p
}

// plug connects the port to a machine that starts.
func (p *serial) plug(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn, p.lost = conn, false
	p.change.Broadcast()
}

// unplug disconnects the port from a machine that is switched off.
func (p *serial) unplug() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

func (p *serial) Read(b []byte) (int, error) {
	for {
		conn, err := p.wait()
		if err != nil {
			return 0, err
		}
		n, err := conn.Read(b)
		if n > 0 || err == nil {
			return n, nil
		}
		p.ended(conn)
	}
}

// wait blocks until there is a machine to read from.
func (p *serial) wait() (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.conn == nil && !p.lost && !p.closed {
		p.change.Wait()
	}
	switch {
	case p.closed:
		return nil, net.ErrClosed
	case p.lost:
		return nil, io.EOF
	default:
		return p.conn, nil
	}
}

// ended notes that conn gives no more: the machine died if it was still plugged.
func (p *serial) ended(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == conn {
		conn.Close()
		p.conn, p.lost = nil, true
	}
}

// Write sends to the machine; a board that is off swallows it, as a real one does.
func (p *serial) Write(b []byte) (int, error) {
	p.mu.Lock()
	conn, closed := p.conn, p.closed
	p.mu.Unlock()
	switch {
	case closed:
		return 0, net.ErrClosed
	case conn == nil:
		return len(b), nil
	}
	n, err := conn.Write(b)
	if err != nil && errors.Is(err, net.ErrClosed) {
		return len(b), nil
	}
	return n, err
}

// Close ends the reader; the board stays as it is.
func (p *serial) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.conn != nil {
		p.conn.Close()
	}
	p.change.Broadcast()
	return nil
}
