package hostnet

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"b2c-runner/boards/netboot"
	"b2c-runner/boards/netboot/netboottest"
)

// serveBoard runs the netboot servers on h, with a kernel for the board. It returns
// the kernel, and who was answered so far.
func serveBoard(t *testing.T, h *Hostnet) (kernel []byte, acks func() int) {
	t.Helper()
	kernel = make([]byte, 3<<20+123)
	if _, err := rand.NewChaCha8([32]byte{}).Read(kernel); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	acked := 0
	s := netboot.New(netboot.Config{Network: h, Uplink: true, Events: func(e netboot.Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Kind == netboot.DHCPAck {
			acked++
		}
	}})
	mac, err := net.ParseMAC(boardMAC)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Add(netboot.Offer{
		Name: "desk-3", MAC: mac, Addr: netip.MustParseAddr("10.113.0.10"),
		Boot: netboot.Boot{Kernel: netboot.File{Data: kernel}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
		netboottest.ExpectNoGoroutines(t, "boards/netboot.", "boards/hostnet.(*")
	})
	select {
	case <-s.Ready():
	case err := <-done:
		t.Fatalf("the server ended with %v", err)
	case <-time.After(netboottest.Patience):
		t.Fatal("the server is not ready")
	}
	return kernel, func() int {
		mu.Lock()
		defer mu.Unlock()
		return acked
	}
}

// leaseScript is what udhcpc and dhclient call with what they got.
const leaseScript = `#!/bin/sh
addr=${ip:-$new_ip_address}
case ${1:-$reason} in
bound|renew|BOUND|RENEW|REBOOT) ip addr replace "$addr/24" dev eth0; ip route replace default via "${router:-$new_routers}" ;;
esac
`

func TestDHCPClients(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte(leaseScript), 0o755); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		tool  string
		get   []string
		stays bool // until it is killed
	}{
		"udhcpc": {tool: "busybox", get: []string{"busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "1", "-s", script}},
		"udhcpc with broadcast flag": {tool: "busybox",
			get: []string{"busybox", "udhcpc", "-B", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "1", "-s", script}},
		"dhclient": {tool: "dhclient",
			get:   []string{"dhclient", "-4", "-d", "-cf", "/dev/null", "-sf", script, "-lf", filepath.Join(dir, "leases"), "--no-pid", "eth0"},
			stays: true},
		"dhcpcd": {tool: "dhcpcd",
			get: []string{"dhcpcd", "-4", "-1", "-B", "-A", "-t", "20", "-f", "/dev/null", "-c", "/bin/true", "eth0"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			needTools(t, tt.tool)
			_, acks := serveBoard(t, openNet(t, host(t)))
			if tt.stays {
				start(t, "board", tt.get...)
				await(t, "default via", func() string { return in(t, "board", "ip", "route") })
			} else {
				in(t, "board", tt.get...)
			}
			if got := in(t, "board", "ip", "addr", "show", "eth0"); !strings.Contains(got, "inet 10.113.0.10/24") {
				t.Errorf("the board's address is another:\n%s", got)
			}
			if got := in(t, "board", "ip", "route"); !strings.Contains(got, "default via "+runnerIP) {
				t.Errorf("the board's routes are others:\n%s", got)
			}
			if acks() == 0 {
				t.Error("the lease was not acknowledged")
			}
		})
	}
}

// TestFileClients fetches the kernel with real clients. Blocks that fill more than
// a frame are negotiated down.
func TestFileClients(t *testing.T) {
	clients := map[string]struct {
		tool  string
		fetch func(block, to string) []string
	}{
		"busybox tftp": {"busybox", func(block, to string) []string {
			return []string{"busybox", "tftp", "-g", "-b", block, "-r", "kernel", "-l", to, runnerIP}
		}},
		"curl tftp": {"curl", func(block, to string) []string {
			return []string{"curl", "-sS", "--tftp-blksize", block, "-o", to, "tftp://" + runnerIP + "/kernel"}
		}},
		"atftp": {"atftp", func(block, to string) []string {
			return []string{"atftp", "--option", "blksize " + block, "-g", "-r", "kernel", "-l", to, runnerIP}
		}},
	}
	blocks := []string{"512", "1428", "1468", "8192"}
	plain := map[string]struct {
		tool  string
		fetch []string
	}{
		"tftp-hpa": {"tftp", []string{"tftp", "-4", "-m", "binary", runnerIP, "-c", "get", "kernel"}},
		"curl":     {"curl", []string{"curl", "-sSf", "http://" + runnerIP + "/kernel", "-o"}},
		"curl, resumed": {"curl", []string{"sh", "-c", `curl -sSf -r 0-999999 -o "$0" http://` + runnerIP + `/kernel && ` +
			`curl -sSf -C - -o "$0" http://` + runnerIP + `/kernel`}},
	}
	kernel, _ := serveBoard(t, openNet(t, host(t)))
	plugIn(t)
	for name, c := range clients {
		for _, block := range blocks {
			t.Run(name+" "+block, func(t *testing.T) {
				needTools(t, c.tool)
				to := filepath.Join(t.TempDir(), "kernel")
				in(t, "board", c.fetch(block, to)...)
				expectFile(t, to, kernel)
			})
		}
	}
	for name, c := range plain {
		t.Run(name, func(t *testing.T) {
			needTools(t, c.tool)
			to := filepath.Join(t.TempDir(), "kernel")
			in(t, "board", append(c.fetch, to)...)
			expectFile(t, to, kernel)
		})
	}
}

func expectFile(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes came, and not the %d that are served", len(got), len(want))
	}
}
