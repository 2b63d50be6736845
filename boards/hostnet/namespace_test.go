package hostnet

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// The tests run in a network namespace of their own, which is the host with the
// runner: TestMain runs this binary again in it. Two more namespaces are the board
// and the outside:
//
//	board: eth0 ─── lab0 [host] up0 ─── eth0 :outside
const (
	insideEnv = "HOSTNET_TEST_INSIDE"
	helperEnv = "HOSTNET_TEST_HELPER" // see helper_test.go
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(helperEnv) != "":
		help(os.Getenv(helperEnv))
	case os.Getenv(insideEnv) != "":
		if err := furnish(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	case os.Geteuid() == 0:
		os.Exit(runInside(m))
	default:
		os.Exit(m.Run())
	}
}

func runInside(m *testing.M) int {
	runtime.LockOSThread() // Pdeathsig is of the thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return m.Run() // and skip
	}
	if err := cmd.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// furnish gives the namespaces a /proc of their own, a place for names of network
// namespaces, and IPv6 addresses that are there at once.
func furnish() error {
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	for _, mount := range []struct {
		from, at, kind string
		flags          uintptr
	}{
		{"none", "/", "", syscall.MS_REC | syscall.MS_PRIVATE},
		{"proc", "/proc", "proc", 0},
		{"none", "/run/netns", "tmpfs", 0},
	} {
		if err := syscall.Mount(mount.from, mount.at, mount.kind, mount.flags, ""); err != nil {
			return fmt.Errorf("failed to mount %q: %w", mount.at, err)
		}
	}
	return os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0)
}

const (
	boardMAC = "52:54:00:b2:c0:01"
	runnerIP = "10.113.0.1"
	outside  = "198.51.100.2"
)

// host makes the cables, with nothing set up on lab0, and returns a Config for it.
func host(t *testing.T) Config {
	t.Helper()
	if os.Getenv(insideEnv) == "" {
		t.Skip("needs root, for network namespaces")
	}
	needTools(t, "ip", "nft")
	for _, ns := range []string{"board", "outside"} {
		must(t, "ip", "netns", "add", ns)
		t.Cleanup(func() { must(t, "ip", "netns", "del", ns) })
		in(t, ns, "ip", "link", "set", "lo", "up")
		in(t, ns, "sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad")
	}
	must(t, "ip", "link", "set", "lo", "up")
	must(t, "ip", "link", "add", "lab0", "type", "veth", "peer", "name", "eth0", "address", boardMAC, "netns", "board")
	must(t, "ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", "outside")
	t.Cleanup(func() {
		for _, name := range []string{"lab0", "up0"} {
			must(t, "ip", "link", "del", name)
		}
	})
	in(t, "board", "ip", "link", "set", "eth0", "up")
	in(t, "outside", "ip", "addr", "add", outside+"/24", "dev", "eth0")
	in(t, "outside", "ip", "link", "set", "eth0", "up")
	must(t, "ip", "addr", "add", "198.51.100.1/24", "dev", "up0")
	must(t, "ip", "link", "set", "up0", "up")
	// A link that has never been up shows so for ever after it has been.
	must(t, "ip", "link", "set", "lab0", "up")
	must(t, "ip", "link", "set", "lab0", "down")
	awaitUp(t, "up0")
	return Config{
		Interface: "lab0", Address: netip.MustParsePrefix(runnerIP + "/24"), Uplink: "up0",
		StateDir: t.TempDir(), AllowForeignDHCP: true,
	}
}

// snapshot is all that a Hostnet may change, as others see it.
func snapshot(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, command := range []string{
		"nft list ruleset", "ip addr", "ip -o link", "ip route", "ip -6 route",
		"grep -H . /proc/sys/net/ipv4/ip_forward", "grep -rH . /proc/sys/net/ipv4/conf --include=forwarding",
	} {
		words := strings.Fields(command)
		fmt.Fprintf(&b, "# %s\n%s", command, must(t, words[0], words[1:]...))
	}
	return b.String()
}

func openNet(t *testing.T, cfg Config) *Hostnet {
	t.Helper()
	h, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNet(t, h) })
	return h
}

func closeNet(t *testing.T, h *Hostnet) {
	t.Helper()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

func lookUpMAC(t *testing.T, ns, link string) string {
	t.Helper()
	var links []struct {
		Address string `json:"address"`
	}
	if err := json.Unmarshal([]byte(in(t, ns, "ip", "-j", "link", "show", link)), &links); err != nil || len(links) != 1 {
		t.Fatalf("no address of %s: %v", link, err)
	}
	if _, err := net.ParseMAC(links[0].Address); err != nil {
		t.Fatal(err)
	}
	return links[0].Address
}
