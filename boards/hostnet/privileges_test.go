package hostnet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPowersThatSuffice runs as nobody: with the three capabilities everything
// works, and without any of them the error says which, and how to give it.
func TestPowersThatSuffice(t *testing.T) {
	needTools(t, "setpriv")
	all := []string{"net_admin", "net_raw", "net_bind_service"}
	tests := map[string]struct {
		caps []string
		want string
	}{
		"all":                 {all, "ready"},
		"none":                {nil, `error: failed to set up network interface "lab0": needs CAP_NET_ADMIN and CAP_NET_RAW and CAP_NET_BIND_SERVICE ` + capabilityAdvice},
		"no net_admin":        {all[1:], `error: failed to set up network interface "lab0": needs CAP_NET_ADMIN ` + capabilityAdvice},
		"no net_raw":          {[]string{all[0], all[2]}, `error: failed to set up network interface "lab0": needs CAP_NET_RAW ` + capabilityAdvice},
		"no net_bind_service": {all[:2], `error: failed to set up network interface "lab0": needs CAP_NET_BIND_SERVICE ` + capabilityAdvice},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := host(t)
			before := snapshot(t)
			cfg.StateDir = openToNobody(t)
			nobody := []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}
			if len(tt.caps) > 0 {
				caps := "+" + strings.Join(tt.caps, ",+")
				nobody = append(nobody, "--inh-caps="+caps, "--ambient-caps="+caps)
			}
			helper := startHelper(t, task{Do: "serve", Config: cfg}, append(nobody, copyOfSelf(t))...)
			if got := helper.answer(t); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if diff := cmp.Diff(before, snapshot(t)); diff != "" {
				t.Errorf("not as before (-before +after):\n%s", diff)
			}
		})
	}
}

// TestSetcapAdvice does what the advice says: with file capabilities the kernel lets
// a process look at less of itself than with inherited ones.
func TestSetcapAdvice(t *testing.T) {
	needTools(t, "setpriv", "setcap")
	cfg := host(t)
	before := snapshot(t)
	cfg.StateDir = openToNobody(t)
	self := copyOfSelf(t)
	_, advice, _ := strings.Cut(capabilityAdvice, "setcap ")
	caps, _, _ := strings.Cut(advice, " ")
	if _, err := command(t.Context(), "setcap", caps, self); err != nil {
		t.Skipf("needs file capabilities: %v", err)
	}
	helper := startHelper(t, task{Do: "serve", Config: cfg}, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", self)
	if got := helper.answer(t); got != "ready" {
		t.Error(got)
	}
	if diff := cmp.Diff(before, snapshot(t)); diff != "" {
		t.Errorf("not as before (-before +after):\n%s", diff)
	}
}

func openToNobody(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hostnet-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	return dir
}

// copyOfSelf is this binary where nobody may run it.
func copyOfSelf(t *testing.T) string {
	t.Helper()
	binary, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(openToNobody(t), "self")
	if err := os.WriteFile(path, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
