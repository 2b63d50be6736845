package virtual

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const raLen = header.ICMPv6HeaderSize + header.NDPRAMinimumSize

// answerSolicitation makes the advertisement that answers a frame, header
// included, if the frame is a router solicitation (RFC 4861, sections 6.1.1 and
// 6.2.6) and advertisements are wanted. It says: there is a router, not for you
// (lifetime 0), no prefix, no DHCPv6. iPXE waits 13 s for one to say even that.
func (s *segment) answerSolicitation(frame []byte) []byte {
	if !s.advertise.Load() || !isSolicitation(frame) {
		return nil
	}
	asker := header.IPv6(frame[minFrame:]).SourceAddress()
	to, toMAC := asker, header.Ethernet(frame).SourceAddress()
	if to == header.IPv6Any {
		to = header.IPv6AllNodesMulticastAddress
		toMAC = header.EthernetAddressFromMulticastIPv6Address(to)
	}
	from := header.LinkLocalAddr(tcpip.LinkAddress(gatewayMAC[:]))

	out := newFrame(minFrame + header.IPv6MinimumSize + raLen)
	eth := header.Ethernet(out[frameHeader:])
	eth.Encode(&header.EthernetFields{
		SrcAddr: tcpip.LinkAddress(gatewayMAC[:]), DstAddr: toMAC, Type: header.IPv6ProtocolNumber,
	})
	ip := header.IPv6(eth[minFrame:])
	ip.Encode(&header.IPv6Fields{
		PayloadLength: raLen, TransportProtocol: header.ICMPv6ProtocolNumber,
		HopLimit: header.NDPHopLimit, SrcAddr: from, DstAddr: to,
	})
	ra := header.ICMPv6(ip.Payload())
	ra.SetType(header.ICMPv6RouterAdvert)
	ra.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: ra, Src: from, Dst: to}))
	return out
}

func isSolicitation(frame []byte) bool {
	const minLen = minFrame + header.IPv6MinimumSize + header.ICMPv6HeaderSize + 4
	if len(frame) < minLen || binary.BigEndian.Uint16(frame[12:]) != uint16(header.IPv6ProtocolNumber) {
		return false
	}
	ip := header.IPv6(frame[minFrame:])
	if !ip.IsValid(len(ip)) || ip.TransportProtocol() != header.ICMPv6ProtocolNumber || ip.HopLimit() != header.NDPHopLimit {
		return false
	}
	icmp := header.ICMPv6(ip.Payload())
	if len(icmp) < header.ICMPv6HeaderSize || icmp.Type() != header.ICMPv6RouterSolicit || icmp.Code() != 0 {
		return false
	}
	sum := header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(icmp)))
	return checksum.Checksum(icmp, sum) == 0xffff
}
