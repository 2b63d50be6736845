package netboottest

import (
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

func dhcpReply(frame []byte) *dhcpv4.DHCPv4 {
	const headers = header.EthernetMinimumSize + header.IPv4MinimumSize + header.UDPMinimumSize
	if len(frame) < headers || header.Ethernet(frame).Type() != header.IPv4ProtocolNumber {
		return nil
	}
	ip := header.IPv4(frame[header.EthernetMinimumSize:])
	if !ip.IsValid(len(ip)) || ip.TransportProtocol() != header.UDPProtocolNumber || header.UDP(ip.Payload()).DestinationPort() != 68 {
		return nil
	}
	m, err := dhcpv4.FromBytes(header.UDP(ip.Payload()).Payload())
	if err != nil {
		return nil
	}
	return m
}

// SendDHCP broadcasts a message from 0.0.0.0, without a UDP checksum, as boot
// ROMs do.
func (b *Board) SendDHCP(payload []byte) {
	frame := make([]byte, header.EthernetMinimumSize+header.IPv4MinimumSize+header.UDPMinimumSize+len(payload))
	eth := header.Ethernet(frame)
	eth.Encode(&header.EthernetFields{
		SrcAddr: tcpip.LinkAddress(b.MAC), DstAddr: header.EthernetBroadcastAddress, Type: header.IPv4ProtocolNumber,
	})
	ip := header.IPv4(frame[header.EthernetMinimumSize:])
	ip.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(ip)), TTL: 128, Protocol: uint8(header.UDPProtocolNumber), DstAddr: header.IPv4Broadcast,
	})
	ip.SetChecksum(^ip.CalculateChecksum())
	u := header.UDP(ip.Payload())
	u.Encode(&header.UDPFields{SrcPort: 68, DstPort: 67, Length: uint16(len(u))})
	copy(u.Payload(), payload)
	b.Send(frame)
}

// Ask sends a DHCP message and returns the reply, nil if there is none in time.
func (b *Board) Ask(m *dhcpv4.DHCPv4, wait time.Duration) *dhcpv4.DHCPv4 {
	b.t.Helper()
	b.SendDHCP(m.ToBytes())
	timeout := time.After(wait)
	for {
		select {
		case r := <-b.DHCP:
			if r.TransactionID == m.TransactionID {
				return r
			}
		case <-timeout:
			return nil
		}
	}
}

// Lease gets an address by DISCOVER and REQUEST, and returns the ACK.
func (b *Board) Lease(modifiers ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	b.t.Helper()
	discover, err := dhcpv4.NewDiscovery(b.MAC, modifiers...)
	if err != nil {
		b.t.Fatal(err)
	}
	offer := b.Ask(discover, Patience)
	if offer == nil {
		b.t.Fatalf("%s got no offer", b.MAC)
	}
	request, err := dhcpv4.NewRequestFromOffer(offer, modifiers...)
	if err != nil {
		b.t.Fatal(err)
	}
	ack := b.Ask(request, Patience)
	if ack == nil || ack.MessageType() != dhcpv4.MessageTypeAck {
		b.t.Fatalf("%s got no lease: %v", b.MAC, ack)
	}
	ones, _ := ack.SubnetMask().Size()
	addr, _ := netip.AddrFromSlice(ack.YourIPAddr.To4())
	b.Use(netip.PrefixFrom(addr, ones), netip.IPv4Unspecified())
	if routers := ack.Router(); len(routers) > 0 {
		gateway, _ := netip.AddrFromSlice(routers[0].To4())
		b.Use(netip.PrefixFrom(addr, ones), gateway)
	}
	return ack
}
