package netboot_test

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"b2c-runner/boards/netboot"
	"b2c-runner/boards/netboot/netboottest"
	"b2c-runner/boards/virtual"

	"golang.org/x/sync/errgroup"
)

type labConfig struct {
	events func(netboot.Event)
	uplink bool
	prefix netip.Prefix
	wrap   func(netboot.Network) netboot.Network
}

// lab is a server on a segment, both running.
type lab struct {
	net    *virtual.Usernet
	server *netboot.Server
	stop   func() // ends both, and waits
}

func startLab(t *testing.T, cfg labConfig) *lab {
	t.Helper()
	n, err := virtual.NewUsernet(virtual.UsernetConfig{Prefix: cfg.prefix})
	if err != nil {
		t.Fatal(err)
	}
	var network netboot.Network = n
	if cfg.wrap != nil {
		network = cfg.wrap(n)
	}
	l := &lab{net: n, server: netboot.New(netboot.Config{Network: network, Events: cfg.events, Uplink: cfg.uplink})}
	ctx, cancel := context.WithCancel(context.Background())
	var g errgroup.Group
	g.Go(func() error { return n.Run(ctx) })
	g.Go(func() error { return l.server.Run(ctx) })
	l.stop = sync.OnceFunc(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Errorf("the lab ended: %v", err)
		}
		n.Close()
		netboottest.ExpectNoGoroutines(t, "boards/netboot.", "boards/virtual.", "pin/tftp")
	})
	t.Cleanup(l.stop)
	select {
	case <-l.server.Ready():
	case <-time.After(netboottest.Patience):
		t.Fatal("the server is not ready")
	}
	return l
}

// events collects what a server tells.
type events struct {
	mu      sync.Mutex
	all     []netboot.Event
	changed chan struct{}
}

func newEvents() *events { return &events{changed: make(chan struct{}, 1)} }

func (e *events) add(x netboot.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, x)
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

func (e *events) wait(t *testing.T, kind netboot.Kind) netboot.Event {
	t.Helper()
	return e.waitFor(t, func(x netboot.Event) bool { return x.Kind == kind })
}

func (e *events) waitFor(t *testing.T, is func(netboot.Event) bool) netboot.Event {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		e.mu.Lock()
		i := slices.IndexFunc(e.all, is)
		var found netboot.Event
		if i >= 0 {
			found = e.all[i]
		}
		e.mu.Unlock()
		if i >= 0 {
			return found
		}
		select {
		case <-e.changed:
		case <-deadline:
			e.mu.Lock()
			defer e.mu.Unlock()
			t.Fatalf("the event did not come; there were %+v", e.all)
		}
	}
}

func (e *events) clear() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = nil
}

func (e *events) count(kind netboot.Kind) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, x := range e.all {
		if x.Kind == kind {
			n++
		}
	}
	return n
}

// runServer runs a server until the test ends.
func runServer(t *testing.T, s *netboot.Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var g errgroup.Group
	g.Go(func() error { return s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Errorf("the server ended: %v", err)
		}
	})
	select {
	case <-s.Ready():
	case <-time.After(netboottest.Patience):
		t.Fatal("the server is not ready")
	}
}
