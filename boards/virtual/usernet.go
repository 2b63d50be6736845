package virtual

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// UsernetConfig says what a Usernet looks like.
type UsernetConfig struct {
	// Prefix is the segment's; its first address is the gateway's. Zero: 10.42.0.0/24.
	Prefix netip.Prefix
	// Uplink forwards TCP and UDP to the outside, and serves DNS on the gateway.
	Uplink bool
	Logger *slog.Logger // nil: discard
}

// Usernet is an Ethernet segment in this process, a netboot.Network without
// privileges: gVisor's network stack is the gateway, and boards plug in by Attach.
type Usernet struct {
	cfg     UsernetConfig
	log     *slog.Logger
	gateway netip.Prefix
	stack   *stack.Stack
	link    *channel.Endpoint
	segment *segment
	uplink  *uplink // nil: isolated

	mu      sync.Mutex
	ctx     context.Context // of Run; nil before
	waiting []net.Conn      // plugged in before Run
	ended   bool
	ports   sync.WaitGroup

	closeOnce sync.Once
}

const (
	usernetNIC = 1
	usernetMTU = 1500
	// usernetQueue is how many frames may wait between the stack and the
	// segment, and for each board; more are lost, as on a wire.
	usernetQueue = 2048
)

// gatewayMAC is a locally administered address.
var gatewayMAC = [6]byte{0x02, 0xb2, 0xc0, 0x00, 0x00, 0x01}

// NewUsernet makes a segment. Nothing passes until Run.
func NewUsernet(cfg UsernetConfig) (*Usernet, error) {
	if !cfg.Prefix.IsValid() {
		cfg.Prefix = netip.MustParsePrefix("10.42.0.0/24")
	}
	if !cfg.Prefix.Addr().Is4() || cfg.Prefix.Bits() > 29 {
		return nil, fmt.Errorf("failed to make a user-space network %s: it wants an IPv4 prefix of at most 29 bits", cfg.Prefix)
	}
	u := &Usernet{
		cfg:     cfg,
		log:     cfg.Logger,
		gateway: netip.PrefixFrom(cfg.Prefix.Masked().Addr().Next(), cfg.Prefix.Bits()),
	}
	if u.log == nil {
		u.log = slog.New(slog.DiscardHandler)
	}
	if err := u.makeStack(); err != nil {
		u.Close()
		return nil, err
	}
	return u, nil
}

func (u *Usernet) makeStack() error {
	u.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	u.link = channel.New(usernetQueue, usernetMTU+14, tcpip.LinkAddress(gatewayMAC[:]))
	u.segment = newSegment(u.log, func(frame []byte) { inject(u.link, frame) })
	sack := tcpip.TCPSACKEnabled(true)
	subnet := tcpip.AddressWithPrefix{
		Address:   tcpip.AddrFrom4(u.gateway.Addr().As4()),
		PrefixLen: u.gateway.Bits(),
	}
	for _, err := range []tcpip.Error{
		u.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &sack),
		u.stack.CreateNIC(usernetNIC, ethernet.New(u.link)),
		u.stack.AddProtocolAddress(usernetNIC, tcpip.ProtocolAddress{
			Protocol: ipv4.ProtocolNumber, AddressWithPrefix: subnet,
		}, stack.AddressProperties{}),
	} {
		if err != nil {
			return fmt.Errorf("failed to make the network stack of %s: %s", u.gateway, err)
		}
	}
	u.stack.SetRouteTable([]tcpip.Route{{Destination: subnet.Subnet(), NIC: usernetNIC}})
	if u.cfg.Uplink {
		u.uplink = newUplink(u.stack, u.gateway, u.log)
	}
	return nil
}

// Run carries frames until ctx ends, which is no error. Boards may plug in and
// out all the time. It is called once.
func (u *Usernet) Run(ctx context.Context) error {
	var carrying sync.WaitGroup
	defer carrying.Wait()
	if u.uplink != nil {
		if err := u.uplink.open(ctx, u); err != nil {
			return err
		}
		carrying.Go(func() { u.uplink.run(ctx) })
	}
	u.begin(ctx)
	defer u.end()
	u.pump(ctx)
	return nil
}

// begin plugs in who waits.
func (u *Usernet) begin(ctx context.Context) {
	u.mu.Lock()
	u.ctx = ctx
	waiting := u.waiting
	u.waiting = nil
	u.mu.Unlock()
	for _, conn := range waiting {
		u.Attach(conn)
	}
}

// end returns when every board is unplugged, and lets no more in.
func (u *Usernet) end() {
	u.mu.Lock()
	u.ended = true
	for _, conn := range u.waiting {
		conn.Close()
	}
	u.waiting = nil
	u.mu.Unlock()
	u.ports.Wait()
}

// Attach plugs in a board, by a stream on which each frame stands behind its
// length (4 bytes, big endian): QEMU's -netdev socket,fd=…. The board is
// unplugged when conn ends. Attach does not block; it closes conn if Run is over.
func (u *Usernet) Attach(conn net.Conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch ctx := u.ctx; {
	case u.ended:
		conn.Close()
	case ctx == nil:
		u.waiting = append(u.waiting, conn)
	default:
		u.ports.Go(func() { u.segment.serve(ctx, conn) })
	}
}

// pump carries what the stack sends to the segment.
func (u *Usernet) pump(ctx context.Context) {
	for {
		pkt := u.link.ReadContext(ctx)
		if pkt == nil {
			return
		}
		frame := newFrame(pkt.Size())
		at := frameHeader
		for _, piece := range pkt.AsSlices() {
			at += copy(frame[at:], piece)
		}
		pkt.DecRef()
		u.segment.forward(nil, frame)
	}
}

// Close ends the stack, with every socket on it. It is called after Run has
// returned.
func (u *Usernet) Close() {
	u.closeOnce.Do(func() {
		u.end()
		u.link.Close()
		u.stack.Destroy()
	})
}
