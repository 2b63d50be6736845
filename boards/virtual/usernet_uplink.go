package virtual

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/containers/gvisor-tap-vsock/pkg/services/dns"
	"golang.org/x/sync/errgroup"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	dnsPort        = 53
	uplinkDialTime = 10 * time.Second
	uplinkUDPIdle  = 2 * time.Minute // no less (RFC 4787, section 4.3)
	uplinkFlows    = 512             // at a time, of each protocol
)

// uplink carries the boards' connections to the outside through sockets of this
// host, as a NAT would.
type uplink struct {
	gateway netip.Prefix
	log     *slog.Logger

	tcp, udp chan struct{} // slots for flows

	mu      sync.Mutex
	ctx     context.Context // of run; nil before
	ended   bool
	packets net.PacketConn // DNS
	streams net.Listener   // DNS
	flows   sync.WaitGroup
}

func newUplink(s *stack.Stack, gateway netip.Prefix, log *slog.Logger) *uplink {
	u := &uplink{
		gateway: gateway,
		log:     log,
		tcp:     make(chan struct{}, uplinkFlows),
		udp:     make(chan struct{}, uplinkFlows),
	}
	s.SetPromiscuousMode(usernetNIC, true)
	s.SetSpoofing(usernetNIC, true)
	forwardTCP := tcp.NewForwarder(s, 0, uplinkFlows, u.carryTCP)
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		return u.allows(id.LocalAddress) && forwardTCP.HandlePacket(id, pkt)
	})
	forwardUDP := udp.NewForwarder(s, u.carryUDP)
	s.SetTransportProtocolHandler(udp.ProtocolNumber, func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		return u.allows(id.LocalAddress) && forwardUDP.HandlePacket(id, pkt)
	})
	return u
}

// allows reports whether a board may reach addr. This host itself, by whatever
// address, is reached as the gateway or not at all.
func (u *uplink) allows(addr tcpip.Address) bool {
	a, ok := netip.AddrFromSlice(addr.AsSlice())
	if !ok || !a.Is4() || a.IsUnspecified() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() ||
		a.As4()[0] == 0 || a.As4()[0] >= 240 || u.gateway.Contains(a) {
		return false
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		u.log.Error("failed to list this host's addresses, forwarding nothing", "error", err)
		return false
	}
	for _, o := range own {
		if n, ok := o.(*net.IPNet); ok && n.IP.Equal(a.AsSlice()) {
			return false
		}
	}
	return true
}

// open lets connections through until ctx ends, and listens for DNS queries.
func (u *uplink) open(ctx context.Context, n *Usernet) error {
	packets, err := n.ListenPacket(dnsPort)
	if err != nil {
		return err
	}
	streams, err := n.Listen(dnsPort)
	if err != nil {
		packets.Close()
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ctx, u.packets, u.streams = ctx, packets, streams
	return nil
}

// run serves DNS on the gateway until ctx ends and no connection is left.
func (u *uplink) run(ctx context.Context) {
	var servers errgroup.Group
	resolver, err := dns.NewWithUpstreamResolver(u.packets, u.streams, nil, hostResolver{&net.Resolver{PreferGo: true}})
	if err == nil {
		servers.Go(resolver.Serve)
		servers.Go(resolver.ServeTCP)
	}
	<-ctx.Done()
	u.packets.Close()
	u.streams.Close()
	if err = errors.Join(err, servers.Wait()); err != nil {
		u.log.Debug("DNS server ended", "error", err)
	}
	u.mu.Lock()
	u.ended = true
	u.mu.Unlock()
	u.flows.Wait()
}

// hostResolver resolves as this host does.
type hostResolver struct{ *net.Resolver }

// LookupIPAddr finds names of one label in /etc/hosts too, where net.Resolver
// does not find them with a dot at their end.
func (r hostResolver) LookupIPAddr(ctx context.Context, name string) ([]net.IPAddr, error) {
	if label, ok := strings.CutSuffix(name, "."); ok && !strings.Contains(label, ".") {
		name = label
	}
	return r.Resolver.LookupIPAddr(ctx, name)
}

// begin takes a slot for a flow; end gives it back. The context is nil if there
// is none, or the uplink does not run.
func (u *uplink) begin(slots chan struct{}) (ctx context.Context, end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ctx == nil || u.ended {
		return nil, nil
	}
	select {
	case slots <- struct{}{}:
		u.flows.Add(1)
		return u.ctx, func() { <-slots; u.flows.Done() }
	default:
		return nil, nil
	}
}

// carryTCP is called in a goroutine of its own for each connection.
func (u *uplink) carryTCP(r *tcp.ForwarderRequest) {
	ctx, end := u.begin(u.tcp)
	if ctx == nil {
		r.Complete(true)
		return
	}
	defer end()
	dialer := net.Dialer{Timeout: uplinkDialTime}
	outside, err := dialer.DialContext(ctx, "tcp4", destination(r.ID()))
	if err != nil {
		r.Complete(true)
		return
	}
	defer outside.Close()
	var queue waiter.Queue
	ep, terr := r.CreateEndpoint(&queue)
	r.Complete(terr != nil)
	if terr != nil {
		return
	}
	inside := gonet.NewTCPConn(&queue, ep)
	defer inside.Close()
	defer context.AfterFunc(ctx, func() { inside.Close(); outside.Close() })()
	var up sync.WaitGroup
	up.Go(func() { copyHalf(outside, inside) })
	copyHalf(inside, outside)
	up.Wait()
}

// copyHalf copies one direction, and passes its end on.
func copyHalf(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// carryUDP is called for the first packet of each flow, while the stack waits.
func (u *uplink) carryUDP(r *udp.ForwarderRequest) {
	ctx, end := u.begin(u.udp)
	if ctx == nil {
		return
	}
	var queue waiter.Queue
	ep, terr := r.CreateEndpoint(&queue)
	if terr != nil {
		end()
		return
	}
	inside := gonet.NewUDPConn(&queue, ep)
	go func() {
		defer end()
		defer inside.Close()
		outside, err := (&net.Dialer{}).DialContext(ctx, "udp4", destination(r.ID()))
		if err != nil {
			return
		}
		defer outside.Close()
		defer context.AfterFunc(ctx, func() { inside.Close(); outside.Close() })()
		var up sync.WaitGroup
		up.Go(func() { copyPackets(outside, inside) })
		copyPackets(inside, outside)
		inside.Close()
		outside.Close()
		up.Wait()
	}()
}

// copyPackets copies one direction until it has been silent for uplinkUDPIdle.
func copyPackets(to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		_ = from.SetReadDeadline(time.Now().Add(uplinkUDPIdle))
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

func destination(id stack.TransportEndpointID) string {
	a, _ := netip.AddrFromSlice(id.LocalAddress.AsSlice())
	return netip.AddrPortFrom(a, id.LocalPort).String()
}
