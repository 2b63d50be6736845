package netboot

import (
	"net"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b2c-runner/boards/netboot/netboottest"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

var testMAC = net.HardwareAddr{0x52, 0x54, 0, 0, 0, 1}

func testServer(t testing.TB) *Server {
	t.Helper()
	s := New(Config{Network: &netboottest.Loopback{}, Uplink: true})
	o := Offer{MAC: testMAC, Name: "x", Addr: netip.MustParseAddr("127.0.0.1"), Boot: Boot{Kernel: File{Data: []byte("kernel")}}}
	if err := s.Add(o); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAddRefuses(t *testing.T) {
	s := testServer(t)
	other := net.HardwareAddr{0x52, 0x54, 0, 0, 0, 2}
	missing := File{Path: filepath.Join(t.TempDir(), "none")}
	addr := netip.MustParseAddr
	for _, tc := range []struct {
		want string
		o    Offer
	}{
		{"6 bytes", Offer{MAC: net.HardwareAddr{1, 2}}},
		{"host name", Offer{MAC: other, Name: "a.b"}},
		{"host name", Offer{MAC: other, Name: "-a"}},
		{"host name", Offer{MAC: other, Name: strings.Repeat("a", 64)}},
		{"it has one", Offer{MAC: testMAC}},
		{"another board's", Offer{MAC: other, Addr: addr("127.0.0.1")}},
		{"not an address for boards", Offer{MAC: other, Addr: addr("127.0.0.2")}},
		{"not an address for boards", Offer{MAC: other, Addr: addr("127.0.0.0")}},
		{"not an address for boards", Offer{MAC: other, Addr: addr("127.255.255.255")}},
		{"not an address for boards", Offer{MAC: other, Addr: addr("10.0.0.1")}},
		{"not an address for boards", Offer{MAC: other, Addr: addr("::1")}},
		{`"boot.ipxe"`, Offer{MAC: other, Boot: Boot{Cmdline: "a\n"}}},
		{`"kernel"`, Offer{MAC: other, Boot: Boot{Kernel: missing}}},
		{`"kernel"`, Offer{MAC: other, Boot: Boot{Kernel: File{Path: t.TempDir()}}}},
		{`"initramfs"`, Offer{MAC: other, Boot: Boot{Initramfs: []File{{}, missing}}}},
		{`"dtb"`, Offer{MAC: other, Boot: Boot{DTB: &missing}}},
	} {
		if err := s.Add(tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want %q", tc.o, err, tc.want)
		}
	}
	if err := s.Add(Offer{MAC: other}); err != nil {
		t.Errorf("a good offer is refused: %v", err)
	}
}

func TestPool(t *testing.T) {
	gateway := netip.MustParsePrefix("10.0.0.1/29")
	p := newPool(gateway, netip.Addr{})
	held := map[string]bool{"a": true, "b": true, "c": true, "d": true, "e": true}
	isHeld := func(mac string) bool { return held[mac] }
	for mac, want := range map[string]string{"a": "10.0.0.2"} {
		if got, err := p.assign(mac, netip.Addr{}, isHeld); err != nil || got.String() != want {
			t.Fatalf("%s gets %v, %v", mac, got, err)
		}
	}
	for _, mac := range []string{"b", "c", "d", "e"} {
		if _, err := p.assign(mac, netip.Addr{}, isHeld); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := p.assign("f", netip.Addr{}, isHeld); err == nil {
		t.Fatalf("a sixth board gets %v of five addresses", got)
	}
	delete(held, "c")
	if got, err := p.assign("f", netip.Addr{}, isHeld); err != nil || got.String() != "10.0.0.4" {
		t.Fatalf("the address that is free again goes to nobody: %v, %v", got, err)
	}
	if got := newPool(netip.MustParsePrefix("10.1.0.1/16"), netip.Addr{}).first.String(); got != "10.1.0.100" {
		t.Errorf("a wide pool begins at %s", got)
	}
}

// TestEventsComeAlone runs a server whose Events would race otherwise, and checks
// the time is filled in.
func TestEventsComeAlone(t *testing.T) {
	var got []Event
	s := New(Config{Network: &netboottest.Loopback{}, Events: func(e Event) { got = append(got, e) }})
	done := make(chan struct{})
	for range 8 {
		go func() { s.emit(Event{Kind: NTP}); done <- struct{}{} }()
	}
	for range 8 {
		<-done
	}
	if len(got) != 8 || got[0].Time.IsZero() {
		t.Errorf("the events are %+v", got)
	}
}

func TestNTPPackets(t *testing.T) {
	received := time.Date(2026, 11, 22, 12, 0, 0, 500_000_000, time.UTC)
	now := func() time.Time { return received.Add(time.Millisecond) }
	request := make([]byte, 48)
	request[0], request[47] = 4<<3|3, 9
	r := answerNTP(request, received, now)
	if len(r) != 48 || r[0] != 4<<3|4 || r[31] != 9 || r[36] != 0x80 {
		t.Fatalf("the reply is %x", r)
	}
	if got := ntpTime(time.Unix(0, 0)); got != 2208988800<<32 {
		t.Errorf("1970 is %x", got)
	}
	for _, bad := range [][]byte{nil, request[:47], append([]byte{4<<3 | 4}, request[1:]...), append([]byte{3}, request[1:]...), append([]byte{7<<3 | 3}, request[1:]...)} {
		if r := answerNTP(bad, received, now); r != nil {
			t.Errorf("%x is answered with %x", bad, r)
		}
	}
}

// FuzzDHCP: whatever comes, only the board's own messages are answered, with its
// own address, from 127.0.0.2, and without a panic.
func FuzzDHCP(f *testing.F) {
	for _, mods := range [][]dhcpv4.Modifier{
		nil,
		{dhcpv4.WithGeneric(dhcpv4.OptionEtherboot, []byte{19, 1, 1})},
		{dhcpv4.WithUserClass("iPXE", true), dhcpv4.WithGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{0, 7, 0})},
		{dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IP{127, 0, 0, 1}))},
		{dhcpv4.WithMessageType(dhcpv4.MessageTypeInform), dhcpv4.WithClientIP(net.IP{1, 2, 3, 4})},
	} {
		m, err := dhcpv4.NewDiscovery(testMAC, mods...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.ToBytes())
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		s := testServer(t)
		reply, to := s.answerDHCP(packet)
		if reply == nil {
			return
		}
		m, err := dhcpv4.FromBytes(reply)
		if err != nil {
			t.Fatalf("the reply %x: %v", reply, err)
		}
		if m.OpCode != dhcpv4.OpcodeBootReply || m.ClientHWAddr.String() != testMAC.String() || to.Port != 68 {
			t.Errorf("the reply to %v is %v", to, m)
		}
		if !m.YourIPAddr.IsUnspecified() && !m.YourIPAddr.Equal(net.IP{127, 0, 0, 1}) {
			t.Errorf("the board is offered %v", m.YourIPAddr)
		}
		if !m.ServerIdentifier().Equal(net.IP{127, 0, 0, 2}) {
			t.Errorf("the server calls itself %v", m.ServerIdentifier())
		}
	})
}

// FuzzNames: only the four names are served, to HTTP and TFTP alike.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"kernel", "boot.ipxe", "dtb", "../kernel", "/etc/passwd", "//kernel", "kernel/.", "%6bernel", "a%2fb", "?x", "*", "/v2/../kernel"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		s := testServer(t)
		b := s.boardByMAC(testMAC)
		content, err := b.lookup(name, s.base())
		if err != nil || (content != nil) != (name == "kernel" || name == "boot.ipxe") {
			t.Fatalf("%q is %v, %v", name, content, err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "127.0.0.1:1234"
		r.URL.Path = "/" + name
		w := httptest.NewRecorder()
		s.answerHTTP(w, r)
		if w.Code == 200 && name != "kernel" && name != "boot.ipxe" {
			t.Errorf("GET %q is answered with %q", r.URL.Path, w.Body)
		}
	})
}
