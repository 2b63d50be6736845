package virtual

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"b2c-runner/boards/netboot"
	"b2c-runner/boards/netboot/netboottest"

	"golang.org/x/sync/errgroup"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

var _ netboot.Network = (*Usernet)(nil)

var (
	boardA = net.HardwareAddr{0x52, 0x54, 0, 0, 0, 0xa}
	boardB = net.HardwareAddr{0x52, 0x54, 0, 0, 0, 0xb}
)

// startUsernet runs a segment until the test ends, and sees that nothing is left of it.
func startUsernet(t *testing.T, cfg UsernetConfig) *Usernet {
	t.Helper()
	u, err := NewUsernet(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var g errgroup.Group
	g.Go(func() error { return u.Run(ctx) })
	g.Go(func() error { return u.ServeRouterAdvertisements(ctx) })
	for !u.segment.advertise.Load() {
		runtime.Gosched()
	}
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Errorf("the segment ended: %v", err)
		}
		u.Close()
		netboottest.ExpectNoGoroutines(t, "virtual.(*Usernet)", "virtual.(*segment)", "virtual.(*port)", "virtual.(*uplink)", "services/dns")
	})
	return u
}

// plug plugs in a board with an address.
func plug(t *testing.T, u *Usernet, mac net.HardwareAddr, addr string) *netboottest.Board {
	t.Helper()
	b := netboottest.Plug(t, u, mac)
	b.Use(netip.MustParsePrefix(addr+"/24"), u.Gateway().Addr())
	return b
}

// echo answers on the gateway's TCP port 7 with what it gets.
func echo(t *testing.T, l net.Listener) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.Close() })()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		conns.Wait()
	})
}

// talk sends data to at and wants it back.
func talk(t *testing.T, b *netboottest.Board, at string, size int) error {
	t.Helper()
	return talkWithin(t, b, at, size, netboottest.Patience)
}

func talkWithin(t *testing.T, b *netboottest.Board, at string, size int, wait time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	c, err := b.DialTCP(ctx, netip.MustParseAddrPort(at))
	if err != nil {
		return err
	}
	defer c.Close()
	data := bytes.Repeat([]byte("frame"), size/5)
	var sender sync.WaitGroup
	defer sender.Wait()
	sender.Go(func() { _, _ = c.Write(data) })
	got := make([]byte, len(data))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, data) {
		t.Errorf("what came back from %s differs", at)
	}
	return nil
}

func TestUsernetCarries(t *testing.T) {
	u := startUsernet(t, UsernetConfig{})
	l, err := u.Listen(7)
	if err != nil {
		t.Fatal(err)
	}
	echo(t, l)
	a, b := plug(t, u, boardA, "10.42.0.10"), plug(t, u, boardB, "10.42.0.11")
	for _, board := range []*netboottest.Board{a, b} {
		if err := talk(t, board, "10.42.0.1:7", 4<<20); err != nil {
			t.Errorf("%s with the gateway: %v", board.MAC, err)
		}
	}
	a.Unplug() // a power cycle
	a = plug(t, u, boardA, "10.42.0.10")
	if err := talk(t, a, "10.42.0.1:7", 1<<20); err != nil {
		t.Errorf("after a power cycle: %v", err)
	}
}

func TestUsernetBetweenBoards(t *testing.T) {
	u := startUsernet(t, UsernetConfig{})
	a, b := netboottest.Plug(t, u, boardA), netboottest.Plug(t, u, boardB)
	frame := func(dst, src net.HardwareAddr, text string) []byte {
		f := append(append([]byte{}, dst...), src...)
		return append(append(f, 0x88, 0xb5), text...)
	}
	multicast := net.HardwareAddr{0x33, 0x33, 0, 0, 0, 9}
	if got := hear(t, b, func() { a.Send(frame(multicast, boardA, "to all")) }); !strings.HasSuffix(got, "to all") {
		t.Errorf("b hears %q", got)
	}
	// Nobody may speak as the gateway, or as a group.
	got := hear(t, a, func() {
		b.Send(frame(multicast, gatewayMAC[:], "forged"))
		b.Send(frame(multicast, multicast, "forged"))
		b.Send(frame(multicast, boardB, "honest"))
	})
	if !strings.HasSuffix(got, "honest") {
		t.Errorf("a hears %q", got)
	}
}

// TestUsernetAttach plugs boards in before, during and after Run.
func TestUsernetAttach(t *testing.T) {
	u, err := NewUsernet(UsernetConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	plugged := func() net.Conn {
		ours, theirs := net.Pipe()
		u.Attach(theirs)
		_ = ours.SetDeadline(time.Now().Add(netboottest.Patience))
		return ours
	}
	before := plugged()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- u.Run(ctx) }()
	frame := append([]byte{0, 0, 0, 14}, bytes.Repeat([]byte{0xff}, 6)...)
	frame = append(frame, 2, 0, 0, 0, 0, 1, 0x88, 0xb5)
	if _, err := before.Write(frame); err != nil {
		t.Fatalf("the board plugged in before Run: %v", err)
	}
	during := plugged()
	if _, err := during.Write(append(frame[:15:15], 2, 0x88, 0xb5)); err != nil {
		t.Fatalf("the board plugged in during Run: %v", err)
	}
	got := make([]byte, len(frame))
	if _, err := io.ReadFull(before, got); err != nil || got[15] != 2 {
		t.Errorf("the first board hears %x, %v", got, err)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	for name, conn := range map[string]net.Conn{"before": before, "during": during, "after": plugged()} {
		if _, err := conn.Read(got); err != io.EOF {
			t.Errorf("the board plugged in %s Run reads %v at the end, want EOF", name, err)
		}
	}
}

// TestUsernetAttachWithoutRun plugs boards into a segment that never ran.
func TestUsernetAttachWithoutRun(t *testing.T) {
	u, err := NewUsernet(UsernetConfig{})
	if err != nil {
		t.Fatal(err)
	}
	before := netboottest.Dial(t, u)
	u.Close()
	for name, conn := range map[string]net.Conn{"before": before, "after": netboottest.Dial(t, u)} {
		_ = conn.SetReadDeadline(time.Now().Add(netboottest.Patience))
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the board plugged in %s Close reads %v, want EOF", name, err)
		}
	}
}

// hear says something, again and again since a board may not be plugged in yet,
// until b hears it.
func hear(t *testing.T, b *netboottest.Board, say func()) string {
	t.Helper()
	deadline := time.After(netboottest.Patience)
	for {
		say()
		select {
		case frame := <-b.Frames:
			return string(frame)
		case <-time.After(netboottest.Silence):
		case <-deadline:
			t.Fatalf("%s hears nothing", b.MAC)
		}
	}
}

func TestUsernetBearsBadBoards(t *testing.T) {
	u := startUsernet(t, UsernetConfig{})
	l, err := u.Listen(7)
	if err != nil {
		t.Fatal(err)
	}
	echo(t, l)
	endless := netboottest.Dial(t, u)
	_, _ = endless.Write([]byte{0xff, 0xff, 0xff, 0xff, 1, 2, 3})
	if _, err := endless.Read(make([]byte, 1)); err == nil {
		t.Error("a board whose frames never end stays plugged in")
	}
	short := netboottest.Dial(t, u)
	for n := range byte(minFrame) {
		_, _ = short.Write(append([]byte{0, 0, 0, n}, make([]byte, n)...))
	}
	forger := netboottest.Dial(t, u)
	for n := range uint32(3 * maxLearned) {
		f := newFrame(60)
		binary.BigEndian.PutUint32(f[frameHeader+8:], n+1)
		_, _ = forger.Write(f)
	}
	// A paused board takes nothing: what is flooded to it must not hold up others.
	netboottest.Dial(t, u)
	a := plug(t, u, boardA, "10.42.0.10")
	for range 3 * usernetQueue {
		a.Send(append(bytes.Repeat([]byte{0xff}, 6), append(boardA, make([]byte, 1400)...)...))
	}
	if err := talk(t, a, "10.42.0.1:7", 1<<20); err != nil {
		t.Errorf("among bad boards: %v", err)
	}
	hello := append(append([]byte{0, 0, 0, 60}, boardA...), make([]byte, 54)...)
	hello[frameHeader+6], hello[frameHeader+12] = 2, 0x86
	hello[frameHeader+13] = 0xdd // IPv6, which the board does not take for its own
	hear(t, a, func() { _, _ = short.Write(hello) })
	u.segment.mu.Lock()
	defer u.segment.mu.Unlock()
	if n := len(u.segment.table); n > maxLearned+2 {
		t.Errorf("a forger made the segment learn %d addresses", n)
	}
}

func TestUsernetRefuses(t *testing.T) {
	for want, cfg := range map[string]UsernetConfig{
		"IPv4 prefix": {Prefix: netip.MustParsePrefix("fd00::/64")},
		"29 bits":     {Prefix: netip.MustParsePrefix("10.0.0.0/30")},
	} {
		if u, err := NewUsernet(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, error %v; want %q", cfg, u, err, want)
		}
	}
}

// FuzzFrames throws frames at a segment with a stack behind it.
func FuzzFrames(f *testing.F) {
	f.Add(solicitation(header.IPv6Any, nil))
	arp, _ := hex.DecodeString("ffffffffffff52540000000a08060001080006040001525400000" + "00a0a2a000a0000000000000a2a0001")
	f.Add(arp)
	f.Add(make([]byte, minFrame))
	f.Fuzz(func(t *testing.T, frame []byte) {
		u, err := NewUsernet(UsernetConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		u.segment.advertise.Store(true)
		here, there := net.Pipe()
		go func() {
			_, _ = there.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
			there.Close()
		}()
		p := &port{out: make(chan []byte, 8)}
		u.segment.read(p, here)
		here.Close()
	})
}
