package virtual

import (
	"bytes"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"b2c-runner/boards/netboot/netboottest"
)

// solicitation is what iPXE 1.0.0 and Linux send: from an address of their own or none.
func solicitation(src tcpip.Address, change func(icmp header.ICMPv6, ip header.IPv6)) []byte {
	f := make([]byte, minFrame+header.IPv6MinimumSize+16)
	eth := header.Ethernet(f)
	all := header.IPv6AllRoutersLinkLocalMulticastAddress
	eth.Encode(&header.EthernetFields{
		SrcAddr: tcpip.LinkAddress(boardA), DstAddr: header.EthernetAddressFromMulticastIPv6Address(all), Type: header.IPv6ProtocolNumber,
	})
	ip := header.IPv6(f[minFrame:])
	ip.Encode(&header.IPv6Fields{PayloadLength: 16, TransportProtocol: header.ICMPv6ProtocolNumber, HopLimit: 255, SrcAddr: src, DstAddr: all})
	icmp := header.ICMPv6(ip.Payload())
	icmp.SetType(header.ICMPv6RouterSolicit)
	copy(icmp[8:], []byte{1, 1})
	copy(icmp[10:], boardA)
	icmp.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: src, Dst: all}))
	if change != nil {
		change(icmp, ip)
	}
	return f
}

func TestUsernetAdvertises(t *testing.T) {
	u := startUsernet(t, UsernetConfig{})
	a := netboottest.Plug(t, u, boardA)
	own := header.LinkLocalAddr(tcpip.LinkAddress(boardA))
	for _, tc := range []struct {
		name   string
		src    tcpip.Address
		change func(header.ICMPv6, header.IPv6)
		to     tcpip.Address // zero: no answer
	}{
		{"from its own address", own, nil, own},
		{"from no address", header.IPv6Any, nil, header.IPv6AllNodesMulticastAddress},
		{"forwarded", own, func(_ header.ICMPv6, ip header.IPv6) { ip.SetHopLimit(254) }, tcpip.Address{}},
		{"bad checksum", own, func(icmp header.ICMPv6, _ header.IPv6) { icmp[15] ^= 1 }, tcpip.Address{}},
		{"another message", own, func(icmp header.ICMPv6, _ header.IPv6) { icmp.SetType(header.ICMPv6NeighborSolicit) }, tcpip.Address{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a.Send(solicitation(tc.src, tc.change))
			wait := netboottest.Patience
			if tc.to == (tcpip.Address{}) {
				wait = netboottest.Silence
			}
			var frame []byte
			select {
			case frame = <-a.Frames:
			case <-time.After(wait):
			}
			if tc.to == (tcpip.Address{}) {
				if frame != nil {
					t.Fatalf("it is answered with %x", frame)
				}
				return
			}
			if frame == nil {
				t.Fatal("it is not answered")
			}
			ip := header.IPv6(frame[minFrame:])
			ra := header.ICMPv6(ip.Payload())
			if ip.HopLimit() != 255 || ip.DestinationAddress() != tc.to || ra.Type() != header.ICMPv6RouterAdvert {
				t.Errorf("the answer is %x", frame)
			}
			// RFC 4861, section 4.2: hop limit, flags, lifetime and timers are all zero, and there is no option.
			if body := ra[4:]; len(body) != 12 || !bytes.Equal(body, make([]byte, 12)) {
				t.Errorf("the advertisement says %x", body)
			}
			sum := ra.Checksum()
			ra.SetChecksum(0)
			if want := header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: ra, Src: ip.SourceAddress(), Dst: tc.to}); sum != want {
				t.Errorf("its checksum is %#x, want %#x", sum, want)
			}
		})
	}
}
