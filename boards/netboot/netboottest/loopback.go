package netboottest

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// Loopback is a network on this host's loopback, on whatever ports are free. Its
// gateway is 127.0.0.2, so that an ordinary client, which is 127.0.0.1, is a board.
type Loopback struct {
	mu    sync.Mutex
	ports map[uint16]netip.AddrPort
}

// At is where port is served.
func (l *Loopback) At(port uint16) netip.AddrPort {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ports[port]
}

// Gateway implements netboot.Network.
func (l *Loopback) Gateway() netip.Prefix { return netip.MustParsePrefix("127.0.0.2/8") }

// ListenPacket implements netboot.Network.
func (l *Loopback) ListenPacket(port uint16) (net.PacketConn, error) {
	c, err := net.ListenPacket("udp4", "127.0.0.2:0")
	if err != nil {
		return nil, err
	}
	l.note(port, c.LocalAddr())
	return c, nil
}

// ListenBroadcast implements netboot.Network.
func (l *Loopback) ListenBroadcast(port uint16) (net.PacketConn, error) {
	return l.ListenPacket(port)
}

// Listen implements netboot.Network.
func (l *Loopback) Listen(port uint16) (net.Listener, error) {
	s, err := net.Listen("tcp4", "127.0.0.2:0")
	if err != nil {
		return nil, err
	}
	l.note(port, s.Addr())
	return s, nil
}

// ServeRouterAdvertisements implements netboot.Network.
func (l *Loopback) ServeRouterAdvertisements(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (l *Loopback) note(port uint16, at net.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ports == nil {
		l.ports = make(map[uint16]netip.AddrPort)
	}
	l.ports[port] = netip.MustParseAddrPort(at.String())
}
