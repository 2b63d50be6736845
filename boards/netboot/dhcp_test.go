package netboot_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"b2c-runner/boards/netboot"
	"b2c-runner/boards/netboot/netboottest"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

var (
	macA    = net.HardwareAddr{0x52, 0x54, 0, 0, 0, 0xa}
	macB    = net.HardwareAddr{0x52, 0x54, 0, 0, 0, 0xb}
	gateway = netip.MustParseAddr("10.42.0.1")
)

func offer(mac net.HardwareAddr) netboot.Offer {
	return netboot.Offer{Name: "desk-3", MAC: mac, Boot: netboot.Boot{Kernel: netboot.File{Data: []byte("kernel")}}}
}

func add(t *testing.T, l *lab, o netboot.Offer) {
	t.Helper()
	if err := l.server.Add(o); err != nil {
		t.Fatal(err)
	}
}

// ipxeOption is option 175 of an iPXE with the sub-options given.
func ipxeOption(sub ...byte) dhcpv4.Modifier {
	return dhcpv4.WithGeneric(dhcpv4.OptionEtherboot, sub)
}

func TestDHCPClients(t *testing.T) {
	http := ipxeOption(0xb1, 5, 1, 0x1a, 0xf4, 0x10, 0, 19, 1, 1)
	for _, tc := range []struct {
		name     string
		uplink   bool
		client   []dhcpv4.Modifier
		bootFile string
		noProxy  bool
	}{
		{name: "linux", client: []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptClassIdentifier("udhcp 1.35.0"))}},
		{name: "linux with uplink", uplink: true},
		{name: "ipxe", client: []dhcpv4.Modifier{http}, bootFile: "http://10.42.0.1/boot.ipxe", noProxy: true},
		{name: "ipxe without http", client: []dhcpv4.Modifier{ipxeOption(0x15, 1, 1)}, bootFile: "boot.ipxe", noProxy: true},
		{name: "ipxe by user class", client: []dhcpv4.Modifier{dhcpv4.WithUserClass("iPXE", false)}, bootFile: "boot.ipxe", noProxy: true},
		{name: "ipxe with a broken option", client: []dhcpv4.Modifier{ipxeOption(1, 200, 19, 1, 1)}, bootFile: "boot.ipxe", noProxy: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := startLab(t, labConfig{uplink: tc.uplink})
			add(t, l, offer(macA))
			ack := netboottest.Plug(t, l.net, macA).Lease(tc.client...)

			type given struct {
				Addr, Server, Next, Mask, NTP, Router, DNS, Name, File, File67 string
				Lease                                                          time.Duration
				NoProxy                                                        []byte
			}
			want := given{
				Addr: "10.42.0.100", Server: "10.42.0.1", Mask: "255.255.255.0", NTP: "[10.42.0.1]", Router: "[]", DNS: "[]",
				Name: "desk-3", Next: "0.0.0.0", File: tc.bootFile, File67: tc.bootFile, Lease: time.Hour,
			}
			if tc.uplink {
				want.Router, want.DNS = "[10.42.0.1]", "[10.42.0.1]"
			}
			if tc.bootFile != "" {
				want.Next = "10.42.0.1"
			}
			if tc.noProxy {
				want.NoProxy = []byte{176, 1, 1}
			}
			got := given{
				Addr: ack.YourIPAddr.String(), Server: ack.ServerIdentifier().String(), Next: ack.ServerIPAddr.String(),
				Mask: net.IP(ack.SubnetMask()).String(), NTP: ips(ack.NTPServers()), Router: ips(ack.Router()), DNS: ips(ack.DNS()),
				Name: ack.HostName(), File: ack.BootFileName, File67: ack.BootFileNameOption(),
				Lease: ack.IPAddressLeaseTime(0), NoProxy: ack.Options.Get(dhcpv4.OptionEtherboot),
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("ACK (-want +got):\n%s", diff)
			}
		})
	}
}

func ips(list []net.IP) string {
	var b bytes.Buffer
	b.WriteByte('[')
	for _, ip := range list {
		b.WriteString(ip.String())
	}
	b.WriteByte(']')
	return b.String()
}

func TestDHCPRequests(t *testing.T) {
	seen := newEvents()
	l := startLab(t, labConfig{events: seen.add})
	add(t, l, offer(macA))
	b := netboottest.Plug(t, l.net, macA)
	b.Lease()
	own, other := net.IP{10, 42, 0, 100}, net.IP{10, 42, 0, 101}
	requested := func(ip net.IP) dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(ip)) }
	server := func(ip net.IP) dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ip)) }
	for _, tc := range []struct {
		name    string
		message dhcpv4.MessageType
		more    []dhcpv4.Modifier
		want    dhcpv4.MessageType // None: silence
		event   netboot.Kind
	}{
		{"after a reboot", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{requested(own)}, dhcpv4.MessageTypeAck, netboot.DHCPAck},
		{"after a move", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{requested(other)}, dhcpv4.MessageTypeNak, netboot.DHCPNak},
		{"for nothing", dhcpv4.MessageTypeRequest, nil, dhcpv4.MessageTypeNak, netboot.DHCPNak},
		{"renewing", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{dhcpv4.WithClientIP(own)}, dhcpv4.MessageTypeAck, netboot.DHCPAck},
		{"renewing another's", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{dhcpv4.WithClientIP(other)}, dhcpv4.MessageTypeNak, netboot.DHCPNak},
		{"another server chosen", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{requested(own), server(net.IP{10, 42, 0, 9})}, dhcpv4.MessageTypeNone, netboot.DHCPForeign},
		{"inform", dhcpv4.MessageTypeInform, []dhcpv4.Modifier{dhcpv4.WithClientIP(own)}, dhcpv4.MessageTypeAck, netboot.DHCPInform},
		{"release", dhcpv4.MessageTypeRelease, []dhcpv4.Modifier{dhcpv4.WithClientIP(own), server(gateway.AsSlice())}, dhcpv4.MessageTypeNone, netboot.DHCPRelease},
		{"decline", dhcpv4.MessageTypeDecline, []dhcpv4.Modifier{requested(own), server(gateway.AsSlice())}, dhcpv4.MessageTypeNone, netboot.DHCPDecline},
		{"relayed", dhcpv4.MessageTypeDiscover, []dhcpv4.Modifier{dhcpv4.WithGatewayIP(net.IP{10, 9, 9, 9})}, dhcpv4.MessageTypeNone, ""},
		{"an offer", dhcpv4.MessageTypeOffer, nil, dhcpv4.MessageTypeNone, netboot.DHCPOffer},
		{"no type", dhcpv4.MessageTypeNone, nil, dhcpv4.MessageTypeNone, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen.clear()
			m, err := dhcpv4.New(append([]dhcpv4.Modifier{
				dhcpv4.WithHwAddr(macA), dhcpv4.WithMessageType(tc.message),
			}, tc.more...)...)
			if err != nil {
				t.Fatal(err)
			}
			wait := netboottest.Patience
			if tc.want == dhcpv4.MessageTypeNone {
				wait = netboottest.Silence
			}
			got := dhcpv4.MessageTypeNone
			reply := b.Ask(m, wait)
			if reply != nil {
				got = reply.MessageType()
			}
			if got != tc.want {
				t.Fatalf("the reply is %v, want %v", got, tc.want)
			}
			if got == dhcpv4.MessageTypeNak && !reply.YourIPAddr.IsUnspecified() {
				t.Errorf("the NAK gives address %v", reply.YourIPAddr)
			}
			if tc.event != "" {
				e := seen.wait(t, tc.event)
				if !bytes.Equal(e.MAC, macA) {
					t.Errorf("the event is of %v", e.MAC)
				}
			}
		})
	}
}

func TestDHCPIgnoresStrangers(t *testing.T) {
	seen := newEvents()
	l := startLab(t, labConfig{events: seen.add})
	add(t, l, offer(macA))
	stranger := netboottest.Plug(t, l.net, macB)
	for range 3 {
		m, err := dhcpv4.NewDiscovery(macB, dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00000\x00")),
			dhcpv4.WithOption(dhcpv4.OptClientArch(iana.EFI_X86_64)))
		if err != nil {
			t.Fatal(err)
		}
		if r := stranger.Ask(m, netboottest.Silence/3); r != nil {
			t.Fatalf("a stranger got %v", r)
		}
	}
	netboottest.Plug(t, l.net, macA).Lease()
	e := seen.wait(t, netboot.DHCPUnknown)
	if !bytes.Equal(e.MAC, macB) || e.Detail != "linux, PXEClient:Arch:00000?, EFI x86-64" {
		t.Errorf("the stranger is told about as %v %q", e.MAC, e.Detail)
	}
	if n := seen.count(netboot.DHCPUnknown); n != 1 {
		t.Errorf("the stranger is told about %d times", n)
	}
}

func TestAddressesStay(t *testing.T) {
	l := startLab(t, labConfig{})
	a, b := netboottest.Plug(t, l.net, macA), netboottest.Plug(t, l.net, macB)
	add(t, l, offer(macA))
	add(t, l, offer(macB))
	for range 2 {
		if got := a.Lease().YourIPAddr.String() + " " + b.Lease().YourIPAddr.String(); got != "10.42.0.100 10.42.0.101" {
			t.Fatalf("the boards have %s", got)
		}
		l.server.Remove(macA)
		l.server.Remove(macB)
		add(t, l, offer(macB))
		add(t, l, offer(macA))
	}
	fixed := offer(macA)
	fixed.Addr = netip.MustParseAddr("10.42.0.7")
	l.server.Remove(macA)
	add(t, l, fixed)
	if got := a.Lease().YourIPAddr.String(); got != "10.42.0.7" {
		t.Fatalf("the board has %s, not its fixed address", got)
	}
}

// brokenOnce is a network whose first DHCP socket breaks at its first packet.
type brokenOnce struct {
	netboot.Network
	broken atomic.Bool
}

type brokenConn struct{ net.PacketConn }

func (c brokenConn) ReadFrom(p []byte) (int, net.Addr, error) {
	if _, _, err := c.PacketConn.ReadFrom(p); err != nil {
		return 0, nil, err
	}
	return 0, nil, errors.New("cable chewed")
}

// ListenBroadcast implements netboot.Network.
func (n *brokenOnce) ListenBroadcast(port uint16) (net.PacketConn, error) {
	c, err := n.Network.ListenBroadcast(port)
	if err == nil && n.broken.CompareAndSwap(false, true) {
		c = brokenConn{c}
	}
	return c, err
}

func TestDHCPSurvivesItsSocket(t *testing.T) {
	l := startLab(t, labConfig{wrap: func(n netboot.Network) netboot.Network { return &brokenOnce{Network: n} }})
	add(t, l, offer(macA))
	b := netboottest.Plug(t, l.net, macA)
	for range 10 {
		m, err := dhcpv4.NewDiscovery(macA)
		if err != nil {
			t.Fatal(err)
		}
		if b.Ask(m, time.Second) != nil {
			return
		}
	}
	t.Fatal("no offer after the socket broke")
}
