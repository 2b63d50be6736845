package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCloseUndoes compares what others see of this host before and after, from
// several beginnings.
func TestCloseUndoes(t *testing.T) {
	tests := map[string]struct {
		before   []string
		isolated bool
	}{
		"nothing set up": {},
		"isolated":       {isolated: true},
		"link up":        {before: []string{"ip link set lab0 up"}},
		"address there":  {before: []string{"ip addr add 10.113.0.1/24 dev lab0"}},
		"all there": {before: []string{"ip link set lab0 up", "ip addr add 10.113.0.1/24 dev lab0",
			"sysctl -q -w net.ipv4.conf.lab0.forwarding=1", "sysctl -q -w net.ipv4.conf.up0.forwarding=1"}},
		"other addresses": {before: []string{"ip link set lab0 up", "ip addr add 10.113.0.1/16 dev lab0", "ip addr add 10.113.0.7/24 dev lab0"}},
		"host forwards":   {before: []string{"sysctl -q -w net.ipv4.ip_forward=1"}},
		"one link forwards": {before: []string{"sysctl -q -w net.ipv4.ip_forward=1",
			"sysctl -q -w net.ipv4.conf.lab0.forwarding=0"}},
		"another's table":        {before: []string{"nft add table inet other", "nft add chain inet other forward { type filter hook forward priority 0 ; policy drop ; }"}},
		"another runner's table": {before: []string{"nft add table inet b2c-runner-lab1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := host(t)
			resetAfter(t)
			for _, line := range tt.before {
				words := strings.Fields(line)
				must(t, words[0], words[1:]...)
				if line == "ip link set lab0 up" {
					awaitUp(t, "lab0")
				}
			}
			if tt.isolated {
				cfg.Uplink = ""
			}
			before := snapshot(t)
			h := openNet(t, cfg)
			during := snapshot(t)
			for _, want := range []string{"inet 10.113.0.1/24", "table inet b2c-runner-lab0"} {
				if !strings.Contains(during, want) {
					t.Errorf("%q is not set up:\n%s", want, during)
				}
			}
			if forwards := strings.Contains(during, "conf/lab0/forwarding:1"); forwards == tt.isolated {
				t.Errorf("lab0 forwards: %v", forwards)
			}
			closeNet(t, h)
			if diff := cmp.Diff(before, snapshot(t)); diff != "" {
				t.Errorf("not as before (-before +after):\n%s", diff)
			}
			if left, _ := filepath.Glob(filepath.Join(cfg.StateDir, "*")); len(left) > 0 {
				t.Errorf("files are left: %v", left)
			}
		})
	}
}

// resetAfter puts back what belongs to the whole namespace.
func resetAfter(t *testing.T) {
	t.Cleanup(func() {
		must(t, "nft", "flush", "ruleset")
		must(t, "sysctl", "-q", "-w", "net.ipv4.ip_forward=0")
	})
}

// TestOtherForwardingStays: whoever sets the whole host to forward, meanwhile, finds
// it forwarding afterwards.
func TestOtherForwardingStays(t *testing.T) {
	h := openNet(t, host(t))
	resetAfter(t)
	must(t, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
	closeNet(t, h)
	for _, name := range []string{"all", "lab0", "up0"} {
		if on, err := forwards(name); err != nil || !on {
			t.Errorf("%s forwards: %v, %v", name, on, err)
		}
	}
}

func TestKilledRunnerIsUndone(t *testing.T) {
	cfg := host(t)
	before := snapshot(t)
	holder := hold(t, cfg)
	holder.kill()
	if cmp.Equal(before, snapshot(t)) {
		t.Error("the killed runner has left nothing: the test tests nothing")
	}
	next := cfg
	next.Uplink, next.Address = "", netip.MustParsePrefix("10.114.0.1/24")
	h := openNet(t, next)
	if during := snapshot(t); strings.Contains(during, "10.113.0") || strings.Contains(during, "masquerade") || strings.Contains(during, "lab0/forwarding:1") {
		t.Errorf("not undone at the next start:\n%s", during)
	}
	closeNet(t, h)
	if diff := cmp.Diff(before, snapshot(t)); diff != "" {
		t.Errorf("not as before (-before +after):\n%s", diff)
	}
}

// TestEveryStepIsUndone stops after each step: noted but not made, and made.
func TestEveryStepIsUndone(t *testing.T) {
	cfg := host(t)
	before := snapshot(t)
	steps := func(h *Hostnet) []func() error {
		return []func() error{func() error { return h.raiseLink(t.Context()) }, h.addAddress, h.addTable, h.forward}
	}
	for n := range steps(nil) {
		for _, made := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d %v", n, made), func(t *testing.T) {
				crashed := bare(t, cfg)
				for _, step := range steps(crashed)[:n] {
					if err := step(); err != nil {
						t.Fatal(err)
					}
				}
				if made {
					if err := steps(crashed)[n](); err != nil {
						t.Fatal(err)
					}
				} else {
					noteOnly(t, crashed, n)
				}
				crashed.lock.release()
				closeNet(t, openNet(t, cfg))
				if diff := cmp.Diff(before, snapshot(t)); diff != "" {
					t.Errorf("not as before (-before +after):\n%s", diff)
				}
			})
		}
	}
}

// bare is a Hostnet of which nothing is set up yet.
func bare(t *testing.T, cfg Config) *Hostnet {
	t.Helper()
	j, err := openJournal(cfg.StateDir, cfg.Interface)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.close() })
	l, err := lockInterface(cfg.Interface)
	if err != nil {
		t.Fatal(err)
	}
	return &Hostnet{cfg: cfg, journal: j, lock: l}
}

// noteOnly is a kill between the note of step n and the change.
func noteOnly(t *testing.T, h *Hostnet, n int) {
	t.Helper()
	link, err := findLink(h.cfg.Interface)
	if err != nil {
		t.Fatal(err)
	}
	c := change{
		What: []what{linkRaised, addressAdded, tableAdded, forwardingOn}[n], Link: h.cfg.Interface, Index: link.Attrs().Index,
	}
	if c.What == addressAdded {
		c.Address = h.cfg.Address
	}
	if err := h.journal.do(c, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
}

// TestNewCardIsLeftAlone: the interface was unplugged, and another one, set up by
// somebody else, has its name.
func TestNewCardIsLeftAlone(t *testing.T) {
	replug := func(t *testing.T) {
		must(t, "ip", "link", "del", "lab0")
		must(t, "ip", "link", "add", "lab0", "type", "veth", "peer", "name", "eth0", "netns", "board")
		in(t, "board", "ip", "link", "set", "eth0", "up")
		must(t, "ip", "addr", "add", "10.113.0.1/24", "dev", "lab0")
		must(t, "ip", "link", "set", "lab0", "up")
	}
	tests := map[string]func(*testing.T, Config){
		"while open": func(t *testing.T, cfg Config) {
			h := openNet(t, cfg)
			replug(t)
			closeNet(t, h)
		},
		"after a crash": func(t *testing.T, cfg Config) {
			hold(t, cfg).kill()
			replug(t)
			closeNet(t, openNet(t, cfg))
		},
	}
	for name, run := range tests {
		t.Run(name, func(t *testing.T) {
			run(t, host(t))
			if got := must(t, "ip", "addr", "show", "lab0"); !strings.Contains(got, "10.113.0.1/24") || !strings.Contains(got, ",UP") {
				t.Errorf("the new card was changed:\n%s", got)
			}
		})
	}
}

// hold is another process with the network open.
func hold(t *testing.T, cfg Config) *helper {
	t.Helper()
	h := startHelper(t, task{Do: "hold", Config: cfg})
	if got := h.answer(t); got != "ready" {
		t.Fatal(got)
	}
	return h
}

func TestCanceledOpenChangesNothing(t *testing.T) {
	cfg := host(t)
	before := snapshot(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
	if diff := cmp.Diff(before, snapshot(t)); diff != "" {
		t.Errorf("not as before (-before +after):\n%s", diff)
	}
}

func TestSecondRunnerIsRefused(t *testing.T) {
	cfg := host(t)
	holder := hold(t, cfg)
	during := snapshot(t)
	second := cfg
	second.StateDir = t.TempDir() // as another user's
	_, err := Open(t.Context(), second)
	want := fmt.Sprintf(`failed to set up network interface "lab0": another runner has it: "/proc/self/exe" (pid %d)`, holder.cmd.Process.Pid)
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got error %v, want %s", err, want)
	}
	if diff := cmp.Diff(during, snapshot(t)); diff != "" {
		t.Errorf("the second one changed something (-before +after):\n%s", diff)
	}
	holder.kill()
	openNet(t, cfg)
}
