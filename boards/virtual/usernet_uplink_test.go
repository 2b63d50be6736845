package virtual

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"b2c-runner/boards/netboot/netboottest"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"gvisor.dev/gvisor/pkg/tcpip"
)

// TestUplinkForwards has its outside in a network namespace behind a veth pair.
func TestUplinkForwards(t *testing.T) {
	outside := makeOutside(t)
	t.Run("with", func(t *testing.T) {
		u := startUsernet(t, UsernetConfig{Uplink: true})
		a := plug(t, u, boardA, "10.42.0.10")
		if err := talk(t, a, outside+":7", 2<<20); err != nil {
			t.Errorf("TCP to the outside: %v", err)
		}
		c := a.DialUDP(netip.MustParseAddrPort(outside + ":7"))
		for _, text := range []string{"one", "two"} {
			if _, err := c.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(netboottest.Patience))
			buf := make([]byte, 100)
			if n, err := c.Read(buf); err != nil || string(buf[:n]) != text {
				t.Errorf("UDP to the outside: %q, %v", buf[:n], err)
			}
		}
	})
	t.Run("without", func(t *testing.T) {
		a := plug(t, startUsernet(t, UsernetConfig{}), boardA, "10.42.0.10")
		if err := talkWithin(t, a, outside+":7", 5, netboottest.Silence); err == nil {
			t.Error("the board reaches the outside")
		}
	})
}

func TestUplinkResolves(t *testing.T) {
	u := startUsernet(t, UsernetConfig{Uplink: true})
	a := plug(t, u, boardA, "10.42.0.10")
	c := a.DialUDP(netip.MustParseAddrPort("10.42.0.1:53"))
	query := "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09localhost\x00\x00\x01\x00\x01"
	if _, err := c.Write([]byte(query)); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(netboottest.Patience))
	buf := make([]byte, 512)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(buf[:n]), "\x7f\x00\x00\x01") {
		t.Errorf("localhost is answered with %x", buf[:n])
	}
}

func TestUsernetIsIsolated(t *testing.T) {
	outside, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	echo(t, outside)
	port := outside.Addr().(*net.TCPAddr).AddrPort().Port()
	own := "127.0.0.1"
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
				own = n.IP.String()
			}
		}
	}
	wide, err := net.Listen("tcp4", netip.AddrPortFrom(netip.MustParseAddr(own), port).String())
	if err == nil {
		echo(t, wide)
	}
	for _, uplink := range []bool{false, true} {
		t.Run(fmt.Sprintf("uplink %t", uplink), func(t *testing.T) {
			u := startUsernet(t, UsernetConfig{Uplink: uplink})
			a := plug(t, u, boardA, "10.42.0.10")
			for _, host := range []string{"127.0.0.1", own, "10.42.0.1", "169.254.169.254", "0.0.0.0"} {
				at := netip.AddrPortFrom(netip.MustParseAddr(host), port).String()
				if err := talkWithin(t, a, at, 5, netboottest.Silence); err == nil {
					t.Errorf("the board reaches %s of this host", host)
				}
			}
		})
	}
}

func TestUplinkAllows(t *testing.T) {
	up := &uplink{gateway: netip.MustParsePrefix("10.42.0.1/24"), log: slog.New(slog.DiscardHandler)}
	for addr, want := range map[string]bool{
		"192.0.2.1": true, "10.43.0.1": true, "8.8.8.8": true,
		"127.0.0.1": false, "127.9.9.9": false, "0.0.0.0": false, "0.1.2.3": false, "169.254.169.254": false,
		"224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false, "10.42.0.1": false, "10.42.0.77": false,
	} {
		if got := up.allows(tcpip.AddrFrom4(netip.MustParseAddr(addr).As4())); got != want {
			t.Errorf("%s: %t, want %t", addr, got, want)
		}
	}
}

// makeOutside makes a host that echoes TCP and UDP on port 7, and returns its address.
func makeOutside(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a network namespace")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Skipf("needs network namespaces: %v", err)
	}
	defer home.Close()
	away, err := netns.New()
	if err != nil {
		t.Skipf("needs network namespaces: %v", err)
	}
	t.Cleanup(func() { away.Close() })
	back := func() {
		if err := netns.Set(home); err != nil {
			t.Fatalf("failed to come home: %v", err)
		}
	}
	back()
	const host, guest, prefix = "b2ctest0", "b2ctest1", "/30"
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: host}, PeerName: guest}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Skipf("needs veth pairs: %v", err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(veth) })
	peer, err := netlink.LinkByName(guest)
	if err == nil {
		err = netlink.LinkSetNsFd(peer, int(away))
	}
	if err != nil {
		t.Fatal(err)
	}
	raise(t, host, "198.51.100.1"+prefix)
	if err := netns.Set(away); err != nil {
		t.Fatal(err)
	}
	defer back()
	raise(t, guest, "198.51.100.2"+prefix)
	l, err := net.Listen("tcp4", "198.51.100.2:7")
	if err != nil {
		t.Fatal(err)
	}
	echo(t, l)
	p, err := net.ListenPacket("udp4", "198.51.100.2:7")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = p.WriteTo(buf[:n], from)
		}
	}()
	return "198.51.100.2"
}

func raise(t *testing.T, name, addr string) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	a, err := netlink.ParseAddr(addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(link, a); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
}
