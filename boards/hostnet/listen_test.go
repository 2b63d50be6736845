package hostnet

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"b2c-runner/boards/netboot"
	"b2c-runner/boards/netboot/netboottest"
)

var _ netboot.Network = (*Hostnet)(nil)

func TestTakenPortsAreNamed(t *testing.T) {
	needTools(t, "dnsmasq", "busybox")
	h := openNet(t, host(t))
	dnsmasq := start(t, "", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--log-facility=-", "--user=root",
		"--pid-file=", "--leasefile-ro", "--interface=lab0", "--dhcp-range=10.113.0.100,10.113.0.150,1h")
	awaitPort(t, "", "udp", 67)
	httpd := start(t, "", "busybox", "httpd", "-f", "-p", "80", "-h", t.TempDir())
	for listening := false; !listening; runtime.Gosched() {
		conn, err := net.DialTimeout("tcp", runnerIP+":80", time.Second)
		if listening = err == nil; listening {
			conn.Close()
		}
	}
	_, errUDP := h.ListenBroadcast(67)
	_, errTCP := h.Listen(80)
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errUDP, fmt.Sprintf(`failed to open udp port 67 on "lab0": it is taken by dnsmasq (pid %d)`, dnsmasq.Process.Pid)},
		{errTCP, fmt.Sprintf(`failed to open tcp port 80 on "lab0": it is taken by busybox (pid %d)`, httpd.Process.Pid)},
	} {
		if tt.err == nil || !strings.HasPrefix(tt.err.Error(), tt.want) {
			t.Errorf("got error %v, want %s", tt.err, tt.want)
		}
	}
}

// TestPortIsNotShared: two DHCP servers on one port would share packets at random.
func TestPortIsNotShared(t *testing.T) {
	h := openNet(t, host(t))
	c, err := h.ListenBroadcast(67)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := fmt.Sprintf("it is taken by %s (pid %d)", ownName(t), os.Getpid())
	if _, err := h.ListenBroadcast(67); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func ownName(t *testing.T) string {
	t.Helper()
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(name))
}

// TestBroadcastsComeFromTheGateway, on an interface that has had another address
// before: that one would be the source by default.
func TestBroadcastsComeFromTheGateway(t *testing.T) {
	cfg := host(t)
	must(t, "ip", "addr", "add", "192.168.50.1/24", "dev", "lab0")
	h := openNet(t, cfg)
	c, err := h.ListenBroadcast(67)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in(t, "board", "ip", "addr", "add", "10.113.0.10/24", "dev", "eth0")
	receiver := startHelper(t, task{Do: "receive"}, "ip", "netns", "exec", "board", copyOfSelf(t))
	awaitPort(t, "board", "udp", 68)
	if _, err := c.WriteTo([]byte("hello"), &net.UDPAddr{IP: net.IPv4bcast, Port: 68}); err != nil {
		t.Fatal(err)
	}
	if got, want := receiver.answer(t), runnerIP+":67"; got != want {
		t.Errorf("the broadcast comes from %s, want %s", got, want)
	}
}

// TestBroadcastsOfOthersAreNotHeard: a client on the uplink asks before the board.
func TestBroadcastsOfOthersAreNotHeard(t *testing.T) {
	needTools(t, "busybox")
	c, err := openNet(t, host(t)).ListenBroadcast(67)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, ns := range []string{"outside", "board"} {
		_, _ = command(t.Context(), "ip", "netns", "exec", ns, "busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "1", "-T", "1", "-s", "/bin/true")
	}
	buf := make([]byte, 1500)
	n, _, err := c.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	m, err := dhcpv4.FromBytes(buf[:n])
	if err != nil || m.ClientHWAddr.String() != boardMAC {
		t.Errorf("heard %v, %v", m, err)
	}
}

func TestLostAddressIsTold(t *testing.T) {
	h := openNet(t, host(t))
	must(t, "ip", "addr", "flush", "dev", "lab0")
	_, err := h.ListenPacket(69)
	if want := `failed to open udp port 69 on "lab0": its address 10.113.0.1/24 is gone`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func TestRouterSolicitationIsAnswered(t *testing.T) {
	needTools(t, "rdisc6")
	h := openNet(t, host(t))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.ServeRouterAdvertisements(ctx) }()
	in(t, "board", "rdisc6", "-1", "-r", "10", "-w", "1000", "eth0")
	sent := advertisements(t)
	if got := startHelper(t, task{Do: "solicit"}, "ip", "netns", "exec", "board", copyOfSelf(t)).answer(t); got != "ready" {
		t.Fatal(got)
	}
	out := in(t, "board", "rdisc6", "-1", "-r", "10", "-w", "1000", "eth0")
	for _, want := range []string{
		"Router lifetime           :            0 (0x00000000)",
		"Stateful address conf.    :           No",
		"Stateful other conf.      :           No",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the advertisement has no %q", want)
		}
	}
	if strings.Contains(out, "Prefix") || t.Failed() {
		t.Errorf("wrong advertisement:\n%s", out)
	}
	if got := advertisements(t); got != sent+1 {
		t.Errorf("%d advertisements were sent for one solicitation and one from another segment", got-sent)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("ended with %v", err)
	}
	netboottest.ExpectNoGoroutines(t, "hostnet.(*Hostnet)")
}

// advertisements is how many this host has ever sent.
func advertisements(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(strings.Fields(must(t, "grep", "Icmp6OutRouterAdvertisements", "/proc/net/snmp6"))[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAdvertisingWaitsForIPv6: the address comes after the server.
func TestAdvertisingWaitsForIPv6(t *testing.T) {
	needTools(t, "rdisc6")
	cfg := host(t)
	const off = "/proc/sys/net/ipv6/conf/lab0/disable_ipv6"
	if err := os.WriteFile(off, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	told := make(chan struct{}, 1)
	cfg.Logger = whenLogged("no router advertisements yet", told)
	h := openNet(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.ServeRouterAdvertisements(ctx) }()
	<-told
	if err := os.WriteFile(off, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	in(t, "board", "rdisc6", "-1", "-r", "10", "-w", "1000", "eth0")
	cancel()
	if err := <-done; err != nil {
		t.Errorf("ended with %v", err)
	}
}
