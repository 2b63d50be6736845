package netboot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Config is what a Server serves on, and to whom it tells what happens.
type Config struct {
	Network Network
	// Uplink says that the gateway leads to the outside: only then is it given
	// to boards as their router and DNS server.
	Uplink bool
	// DNS are the servers given with Uplink; empty: the gateway.
	DNS []netip.Addr
	// PoolStart is the first address given to boards that have no fixed one;
	// zero: the 100th of the prefix, or the second of a small one.
	PoolStart netip.Addr
	// Events is called for each event, one call at a time; it must not block.
	Events func(Event)
	Logger *slog.Logger // nil: discard
}

// Server is the network of the boards that have an offer. Nobody else is answered.
type Server struct {
	cfg   Config
	log   *slog.Logger
	ready chan struct{}
	mux   *http.ServeMux

	mu     sync.Mutex
	boards map[string]*board // by the bytes of the MAC
	pool   pool
	seen   map[string]bool // MACs without an offer, told about once

	eventMu sync.Mutex
}

// board is an offer that stands.
type board struct {
	Offer
	ctx    context.Context // ends when the offer is withdrawn
	cancel context.CancelFunc
}

// maxStrangers bounds how many boards without an offer are told about.
const maxStrangers = 256

// New makes a server; Run serves.
func New(cfg Config) *Server {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Server{
		cfg:    cfg,
		log:    log,
		ready:  make(chan struct{}),
		mux:    http.NewServeMux(),
		boards: make(map[string]*board),
		pool:   newPool(cfg.Network.Gateway(), cfg.PoolStart),
		seen:   make(map[string]bool),
	}
}

// Ready is closed when every server has its socket.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Add makes an offer stand: from now on its board is answered. Every file of it
// is opened once, to fail now and not in the middle of a boot.
func (s *Server) Add(o Offer) error {
	if err := o.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.boards[string(o.MAC)]; ok {
		return fmt.Errorf("failed to offer a boot to %s: it has one (try: wait for the other job on this board)", o.MAC)
	}
	held := func(mac string) bool { return s.boards[mac] != nil }
	addr, err := s.pool.assign(string(o.MAC), o.Addr, held)
	if err != nil {
		return fmt.Errorf("failed to find an address for %s: %w", o.MAC, err)
	}
	o.Addr = addr
	b := &board{Offer: o}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	s.boards[string(o.MAC)] = b
	return nil
}

// Remove withdraws the offer to a board, and ends its transfers.
func (s *Server) Remove(mac net.HardwareAddr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.boards[string(mac)]; b != nil {
		b.cancel()
		delete(s.boards, string(mac))
	}
}

// Handle serves pattern (of http.ServeMux) over HTTP to every board that has an
// offer. Paths that are not clean never reach h.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// Run binds every server, closes Ready, and serves until ctx ends, which is no
// error. It is called once.
func (s *Server) Run(ctx context.Context) error {
	sockets, err := s.listen()
	if err != nil {
		return err
	}
	defer sockets.close()
	defer s.removeAll()
	close(s.ready)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.serveDHCP(ctx, sockets.dhcp) })
	g.Go(func() error { return s.serveTFTP(ctx, sockets.tftp) })
	g.Go(func() error { return s.serveHTTP(ctx, sockets.http) })
	g.Go(func() error { return s.serveNTP(ctx, sockets.ntp) })
	g.Go(func() error { return s.cfg.Network.ServeRouterAdvertisements(ctx) })
	context.AfterFunc(ctx, s.removeAll)
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// sockets are the four that a Server serves on.
type sockets struct {
	dhcp, tftp, ntp net.PacketConn
	http            net.Listener
}

// The well-known ports (RFC 2131, RFC 1350, RFC 9110, RFC 4330).
const (
	dhcpPort       = 67
	dhcpClientPort = 68
	tftpPort       = 69
	HTTPPort       = 80
	ntpPort        = 123
)

func (s *Server) listen() (*sockets, error) {
	var (
		sk   sockets
		errs [4]error
	)
	sk.dhcp, errs[0] = s.cfg.Network.ListenBroadcast(dhcpPort)
	sk.tftp, errs[1] = s.cfg.Network.ListenPacket(tftpPort)
	sk.http, errs[2] = s.cfg.Network.Listen(HTTPPort)
	sk.ntp, errs[3] = s.cfg.Network.ListenPacket(ntpPort)
	if err := errors.Join(errs[:]...); err != nil {
		sk.close()
		return nil, fmt.Errorf("failed to serve on %s: %w", s.cfg.Network.Gateway(), err)
	}
	return &sk, nil
}

func (sk *sockets) close() {
	for _, c := range []net.PacketConn{sk.dhcp, sk.tftp, sk.ntp} {
		if c != nil {
			c.Close()
		}
	}
	if sk.http != nil {
		sk.http.Close()
	}
}

func (s *Server) removeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for mac, b := range s.boards {
		b.cancel()
		delete(s.boards, mac)
	}
}

func (s *Server) boardByMAC(mac net.HardwareAddr) *board {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.boards[string(mac)]
}

// boardAt finds the board that sent something from addr, "address:port".
func (s *Server) boardAt(addr string) *board {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil
	}
	a := ap.Addr().Unmap()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.boards {
		if b.Addr == a {
			return b
		}
	}
	return nil
}

// isStranger reports whether mac is seen for the first time without an offer.
func (s *Server) isStranger(mac net.HardwareAddr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[string(mac)] || len(s.seen) >= maxStrangers {
		return false
	}
	s.seen[string(mac)] = true
	return true
}

// pause waits a little after a socket's error, so that a broken socket does not
// spin; it reports whether to go on.
func pause(ctx context.Context) bool {
	t := time.NewTimer(100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
