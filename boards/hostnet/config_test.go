package hostnet

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConfigIsChecked(t *testing.T) {
	cfg := host(t)
	before := snapshot(t)
	tests := map[string]struct {
		change func(*Config)
		want   string
	}{
		"no such interface": {func(c *Config) { c.Interface = "eth7" }, "there is no such interface (try: one of lo, "},
		"no name":           {func(c *Config) { c.Interface = "../lab0" }, "not a name of an interface"},
		"no such uplink":    {func(c *Config) { c.Uplink = "wlan7" }, `uplink "wlan7": there is no such interface`},
		"own uplink":        {func(c *Config) { c.Uplink = "lab0" }, "it cannot be its own uplink"},
		"loopback":          {func(c *Config) { c.Interface = "lo" }, "no board can be on the loopback interface"},
		"overlap":           {func(c *Config) { c.Address = netip.MustParsePrefix("198.51.100.9/24") }, "its address 198.51.100.9/24 overlaps with 198.51.100.1/24 of up0"},
		"IPv6":              {func(c *Config) { c.Address = netip.MustParsePrefix("fd00::1/64") }, "not an IPv4 address"},
		"network address":   {func(c *Config) { c.Address = netip.MustParsePrefix("10.1.0.0/24") }, "(try: 10.1.0.1/24)"},
		"broadcast":         {func(c *Config) { c.Address = netip.MustParsePrefix("10.1.0.255/24") }, "(try: 10.1.0.1/24)"},
		"no address":        {func(c *Config) { c.Address = netip.MustParsePrefix("10.1.0.1/32") }, "not an IPv4 address with a prefix of 8 to 30 bits"},
		"no state":          {func(c *Config) { c.StateDir = "" }, "no directory to keep the undo journal in"},
		"state is a file":   {func(c *Config) { c.StateDir = aFile(t) }, "failed to make the undo journal's directory"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bad := cfg
			tt.change(&bad)
			h, err := Open(t.Context(), bad)
			if err == nil {
				closeNet(t, h)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want %q", err, tt.want)
			}
		})
	}
	if diff := cmp.Diff(before, snapshot(t)); diff != "" {
		t.Errorf("something was changed (-before +after):\n%s", diff)
	}
}

func aFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBridgePortIsRefused(t *testing.T) {
	cfg := host(t)
	must(t, "ip", "link", "add", "br0", "type", "bridge")
	t.Cleanup(func() { must(t, "ip", "link", "del", "br0") })
	must(t, "ip", "link", "set", "lab0", "master", "br0")
	if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), `it is a port of "br0"`) {
		t.Errorf("got error %v", err)
	}
}
