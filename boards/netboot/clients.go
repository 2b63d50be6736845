package netboot

import (
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// clients says what each kind of DHCP client gets besides an address. The first
// row that knows the client counts; a client that no row knows (a booted Linux)
// gets no boot file. Kinds are told apart by options 60 (vendor class), 77 (user
// class), 93 (architecture) and 175 (iPXE's own).
var clients = []client{
	{"ipxe", hasHTTP, func(gw netip.Addr) string { return "http://" + gw.String() + "/boot.ipxe" }, noProxyDHCP},
	{"ipxe without http", isIPXE, func(netip.Addr) string { return "boot.ipxe" }, noProxyDHCP},
	{"linux", func(*dhcpv4.DHCPv4) bool { return true }, nil, nil},
}

type client struct {
	name     string
	is       func(m *dhcpv4.DHCPv4) bool
	bootFile func(gateway netip.Addr) string // nil: none
	options  []dhcpv4.Option
}

func clientOf(m *dhcpv4.DHCPv4) client {
	for _, c := range clients {
		if c.is(m) {
			return c
		}
	}
	return client{name: "unknown"}
}

// Sub-options of iPXE's encapsulated option 175 (src/include/ipxe/dhcp.h,
// src/include/ipxe/features.h).
const (
	ipxeHTTP        = 19  // the client speaks HTTP
	ipxeNoProxyDHCP = 176 // 1: do not wait for a ProxyDHCP offer, which costs 3 s
)

var noProxyDHCP = []dhcpv4.Option{
	dhcpv4.OptGeneric(dhcpv4.OptionEtherboot, []byte{ipxeNoProxyDHCP, 1, 1}),
}

func isIPXE(m *dhcpv4.DHCPv4) bool {
	if m.Options.Has(dhcpv4.OptionEtherboot) {
		return true
	}
	for _, class := range m.UserClass() {
		if class == "iPXE" {
			return true
		}
	}
	return false
}

func hasHTTP(m *dhcpv4.DHCPv4) bool {
	return hasSubOption(m.Options.Get(dhcpv4.OptionEtherboot), ipxeHTTP)
}

// hasSubOption looks for a code in encapsulated options (RFC 2132, section 2:
// code, length, value; 0 pads, 255 ends).
func hasSubOption(b []byte, code byte) bool {
	for len(b) >= 2 && b[0] != 255 {
		if b[0] == 0 {
			b = b[1:]
			continue
		}
		if int(b[1]) > len(b)-2 {
			return false
		}
		if b[0] == code {
			return true
		}
		b = b[2+int(b[1]):]
	}
	return false
}

// describe names a client for a person who has to find out what it is: its kind,
// vendor class and architecture, printable characters only.
func describe(m *dhcpv4.DHCPv4) string {
	words := []string{clientOf(m).name}
	if class := m.ClassIdentifier(); class != "" {
		words = append(words, printable(class))
	}
	for _, arch := range m.ClientArch() {
		words = append(words, arch.String())
	}
	return strings.Join(words, ", ")
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
