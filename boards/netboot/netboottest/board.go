// Package netboottest holds boards and networks for the tests of those who serve
// boards.
package netboottest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// Patience is how long a board waits for an answer that must come, and Silence for
// one that must not.
const (
	Patience = 10 * time.Second
	Silence  = 300 * time.Millisecond
)

// Board is a network card with a stack behind it, plugged into a segment.
type Board struct {
	MAC    net.HardwareAddr
	DHCP   chan *dhcpv4.DHCPv4 // replies
	Frames chan []byte         // IPv6, and what is not for this board

	t     testing.TB
	conn  net.Conn
	write sync.Mutex
	stack *stack.Stack
	link  *channel.Endpoint
}

// Plug plugs a board in until the test ends or Unplug.
func Plug(t testing.TB, network Segment, mac net.HardwareAddr) *Board {
	t.Helper()
	b := &Board{
		MAC: mac, t: t, conn: Dial(t, network),
		DHCP:   make(chan *dhcpv4.DHCPv4, 64),
		Frames: make(chan []byte, 64),
		link:   channel.New(1024, 1514, tcpip.LinkAddress(mac)),
		stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
		}),
	}
	if err := b.stack.CreateNIC(1, ethernet.New(b.link)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	loops.Go(b.receive)
	loops.Go(func() { b.transmit(ctx) })
	t.Cleanup(func() {
		b.Unplug()
		cancel()
		loops.Wait()
		b.link.Close()
		b.stack.Destroy()
	})
	return b
}

// Unplug pulls the cable.
func (b *Board) Unplug() { b.conn.Close() }

// Send puts a frame on the wire.
func (b *Board) Send(frame []byte) {
	b.write.Lock()
	defer b.write.Unlock()
	_, _ = b.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
}

func (b *Board) receive() {
	for {
		var head [4]byte
		if _, err := io.ReadFull(b.conn, head[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(b.conn, frame); err != nil {
			return
		}
		b.sort(frame)
	}
}

func (b *Board) sort(frame []byte) {
	eth := header.Ethernet(frame)
	ours := eth.DestinationAddress() == tcpip.LinkAddress(b.MAC) || eth.DestinationAddress() == header.EthernetBroadcastAddress
	if !ours || eth.Type() == header.IPv6ProtocolNumber {
		select {
		case b.Frames <- frame:
		default:
		}
		return
	}
	if m := dhcpReply(frame); m != nil {
		select {
		case b.DHCP <- m:
		default:
		}
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
	b.link.InjectInbound(0, pkt)
	pkt.DecRef()
}

func (b *Board) transmit(ctx context.Context) {
	for {
		pkt := b.link.ReadContext(ctx)
		if pkt == nil {
			return
		}
		var frame []byte
		for _, piece := range pkt.AsSlices() {
			frame = append(frame, piece...)
		}
		pkt.DecRef()
		b.Send(frame)
	}
}

// Use gives the board an address, and a default route if gateway is one.
func (b *Board) Use(addr netip.Prefix, gateway netip.Addr) {
	with := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(addr.Addr().As4()), PrefixLen: addr.Bits()}
	_ = b.stack.AddProtocolAddress(1, tcpip.ProtocolAddress{
		Protocol: ipv4.ProtocolNumber, AddressWithPrefix: with,
	}, stack.AddressProperties{})
	routes := []tcpip.Route{{Destination: with.Subnet(), NIC: 1}}
	if !gateway.IsUnspecified() {
		routes = append(routes, tcpip.Route{
			Destination: header.IPv4EmptySubnet, Gateway: tcpip.AddrFrom4(gateway.As4()), NIC: 1,
		})
	}
	b.stack.SetRouteTable(routes)
}

// DialUDP opens a socket towards to.
func (b *Board) DialUDP(to netip.AddrPort) net.Conn {
	b.t.Helper()
	c, err := gonet.DialUDP(b.stack, nil, full(to), ipv4.ProtocolNumber)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	return c
}

// ListenUDP opens a socket that anybody can answer to.
func (b *Board) ListenUDP() net.PacketConn {
	b.t.Helper()
	c, err := gonet.DialUDP(b.stack, &tcpip.FullAddress{NIC: 1}, nil, ipv4.ProtocolNumber)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	return c
}

// DialTCP opens a connection to to.
func (b *Board) DialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return gonet.DialContextTCP(ctx, b.stack, *full(to), ipv4.ProtocolNumber)
}

// HTTP is a client on the board.
func (b *Board) HTTP() *http.Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			to, err := netip.ParseAddrPort(addr)
			if err != nil {
				return nil, err
			}
			return b.DialTCP(ctx, to)
		},
	}
	b.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func full(a netip.AddrPort) *tcpip.FullAddress {
	return &tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFrom4(a.Addr().As4()), Port: a.Port()}
}
