package hostnet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// plugIn gives the board an address, with the runner as its router.
func plugIn(t *testing.T) {
	t.Helper()
	in(t, "board", "ip", "addr", "add", "10.113.0.10/24", "dev", "eth0")
	in(t, "board", "ip", "route", "add", "default", "via", runnerIP)
}

// serveFile runs a web server in a namespace, with one file on it.
func serveFile(t *testing.T, ns, text string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, ns, "busybox", "httpd", "-f", "-p", "0.0.0.0:80", "-h", dir)
	awaitPort(t, ns, "tcp", 80)
}

// reach fetches the file from another namespace.
func reach(t *testing.T, ns, addr string) (string, error) {
	t.Helper()
	return command(t.Context(), "ip", "netns", "exec", ns, "curl", "-sS", "--max-time", "1", "http://"+addr+"/file")
}

// TestUplink: the outside knows no way back to the boards' segment, so that an
// answer proves address translation.
func TestUplink(t *testing.T) {
	needTools(t, "busybox", "curl")
	tests := map[string]struct {
		uplink      string
		hostForward bool
		reaches     bool
	}{
		"with":                          {uplink: "up0", reaches: true},
		"without":                       {},
		"without on a host that routes": {hostForward: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := host(t)
			resetAfter(t)
			cfg.Uplink = tt.uplink
			if tt.hostForward {
				must(t, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
				in(t, "outside", "ip", "route", "add", "10.113.0.0/24", "via", "198.51.100.1")
			}
			h := openNet(t, cfg)
			plugIn(t)
			serveFile(t, "outside", "from outside")
			got, err := reach(t, "board", outside)
			if reaches := err == nil && got == "from outside"; reaches != tt.reaches {
				t.Errorf("the board reaches the outside: %v (%q, %v)", reaches, got, err)
			}
			closeNet(t, h)
			if _, err := reach(t, "board", outside); err == nil && !tt.hostForward {
				t.Error("the board still reaches the outside after Close")
			}
		})
	}
}

// TestNobodyCallsIn: the outside knows the way to the boards, and may not use it.
func TestNobodyCallsIn(t *testing.T) {
	needTools(t, "busybox", "curl")
	cfg := host(t)
	openNet(t, cfg)
	plugIn(t)
	serveFile(t, "board", "from the board")
	in(t, "outside", "ip", "route", "add", "10.113.0.0/24", "via", "198.51.100.1")
	if got, err := reach(t, "outside", "10.113.0.10"); err == nil {
		t.Errorf("the outside reaches the board: %q", got)
	}
	must(t, "nft", "delete", "table", "inet", "b2c-runner-lab0")
	if _, err := reach(t, "outside", "10.113.0.10"); err != nil {
		t.Errorf("without our table it is not reached either, so that the test proves nothing: %v", err)
	}
}

// TestForeignSourceStaysIn: a board with an address of its own invention gets no
// further than the runner.
func TestForeignSourceStaysIn(t *testing.T) {
	needTools(t, "busybox", "curl")
	openNet(t, host(t))
	in(t, "board", "ip", "addr", "add", "10.99.0.10/24", "dev", "eth0")
	in(t, "board", "ip", "route", "add", "default", "via", runnerIP, "dev", "eth0", "onlink")
	must(t, "ip", "route", "add", "10.99.0.0/24", "dev", "lab0")
	in(t, "outside", "ip", "route", "add", "10.99.0.0/24", "via", "198.51.100.1")
	serveFile(t, "outside", "from outside")
	if got, err := reach(t, "board", outside); err == nil {
		t.Errorf("it reaches the outside: %q", got)
	}
	must(t, "nft", "delete", "table", "inet", "b2c-runner-lab0")
	if _, err := reach(t, "board", outside); err != nil {
		t.Errorf("without our table it does not either, so that the test proves nothing: %v", err)
	}
}

func TestFirewallIsTold(t *testing.T) {
	cfg := host(t)
	resetAfter(t)
	must(t, "nft", "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0 ; policy drop ; }")
	var log logBuffer
	cfg.Logger = log.logger()
	openNet(t, cfg)
	if want := `chains="filter FORWARD"`; !strings.Contains(log.String(), want) {
		t.Errorf("the log does not have %s:\n%s", want, log.String())
	}
}
