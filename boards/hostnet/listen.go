package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// ListenPacket implements netboot.Network.
func (h *Hostnet) ListenPacket(port uint16) (net.PacketConn, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: h.cfg.Address.Addr().AsSlice(), Port: int(port)})
	if err != nil {
		return nil, h.refused("udp", port, err)
	}
	return c, nil
}

// Listen implements netboot.Network.
func (h *Hostnet) Listen(port uint16) (net.Listener, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: h.cfg.Address.Addr().AsSlice(), Port: int(port)})
	if err != nil {
		return nil, h.refused("tcp", port, err)
	}
	return l, nil
}

// ListenBroadcast implements netboot.Network. The port is not shared: a second
// server on it, ours or another's, is refused.
func (h *Hostnet) ListenBroadcast(port uint16) (net.PacketConn, error) {
	cfg := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		ctlErr := raw.Control(func(fd uintptr) {
			err = errors.Join(
				unix.BindToDevice(int(fd), h.cfg.Interface),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1))
		})
		return errors.Join(ctlErr, err)
	}}
	c, err := cfg.ListenPacket(context.Background(), "udp4", fmt.Sprintf("0.0.0.0:%d", port))
	if err != nil {
		return nil, h.refused("udp", port, err)
	}
	source := unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: h.cfg.Address.Addr().As4()})
	return &broadcastConn{UDPConn: c.(*net.UDPConn), source: source}, nil
}

// broadcastConn sends from the gateway's address, even if the interface has others.
type broadcastConn struct {
	*net.UDPConn
	source []byte // control message (ip(7), IP_PKTINFO)
}

// WriteTo implements net.PacketConn.
func (c *broadcastConn) WriteTo(p []byte, to net.Addr) (int, error) {
	addr, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, fmt.Errorf("failed to send to %v: not a UDP address", to)
	}
	n, _, err := c.WriteMsgUDP(p, c.source, addr)
	return n, err
}

func (h *Hostnet) refused(proto string, port uint16, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("failed to open %s port %d on %q: it is taken by %s (try: stop it, or keep it off this interface)",
			proto, port, h.cfg.Interface, portHolders(proto, port))
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("failed to open %s port %d on %q: its address %s is gone (try: make NetworkManager or whoever removes it leave it alone)",
			proto, port, h.cfg.Interface, h.cfg.Address)
	default:
		return fmt.Errorf("failed to open %s port %d on %q: %w", proto, port, h.cfg.Interface, advised(err))
	}
}
