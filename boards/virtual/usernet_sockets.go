package virtual

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Gateway implements netboot.Network.
func (u *Usernet) Gateway() netip.Prefix { return u.gateway }

// ListenPacket implements netboot.Network.
func (u *Usernet) ListenPacket(port uint16) (net.PacketConn, error) {
	return u.bind(tcpip.FullAddress{NIC: usernetNIC, Addr: u.address().Addr, Port: port})
}

// ListenBroadcast implements netboot.Network.
func (u *Usernet) ListenBroadcast(port uint16) (net.PacketConn, error) {
	return u.bind(tcpip.FullAddress{NIC: usernetNIC, Port: port})
}

func (u *Usernet) bind(at tcpip.FullAddress) (net.PacketConn, error) {
	var queue waiter.Queue
	ep, err := u.stack.NewEndpoint(udp.ProtocolNumber, ipv4.ProtocolNumber, &queue)
	if err != nil {
		return nil, fmt.Errorf("failed to open UDP port %d: %s", at.Port, err)
	}
	ep.SocketOptions().SetBroadcast(true)
	if err := ep.Bind(at); err != nil {
		ep.Close()
		return nil, fmt.Errorf("failed to open UDP port %d: %s", at.Port, err)
	}
	return gonet.NewUDPConn(&queue, ep), nil
}

// Listen implements netboot.Network.
func (u *Usernet) Listen(port uint16) (net.Listener, error) {
	at := u.address()
	at.Port = port
	l, err := gonet.ListenTCP(u.stack, at, ipv4.ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("failed to open TCP port %d: %w", port, err)
	}
	return l, nil
}

// ServeRouterAdvertisements implements netboot.Network.
func (u *Usernet) ServeRouterAdvertisements(ctx context.Context) error {
	u.segment.advertise.Store(true)
	defer u.segment.advertise.Store(false)
	<-ctx.Done()
	return nil
}

func (u *Usernet) address() tcpip.FullAddress {
	return tcpip.FullAddress{NIC: usernetNIC, Addr: tcpip.AddrFrom4(u.gateway.Addr().As4())}
}
