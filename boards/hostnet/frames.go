package hostnet

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const (
	dhcpServerPort = 67
	dhcpClientPort = 68
	frameHeaders   = header.EthernetMinimumSize + header.IPv4MinimumSize + header.UDPMinimumSize
)

// listenFrames opens a packet socket (packet(7)) for the frames that come in by one
// interface: unlike a UDP socket it gets answers before there is an address, and
// those that the reverse path filter drops.
func listenFrames(ifi *net.Interface) (*os.File, error) {
	everything := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: everything, Ifindex: ifi.Index})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("failed to listen for frames: %w", err)
	}
	return os.NewFile(uintptr(fd), "frames of "+ifi.Name), nil
}

// dhcpFrame is a client's message on its way to everyone. It has no UDP checksum,
// which is optional (RFC 768).
func dhcpFrame(from net.HardwareAddr, message []byte) []byte {
	frame := make([]byte, frameHeaders, frameHeaders+len(message))
	header.Ethernet(frame).Encode(&header.EthernetFields{
		SrcAddr: tcpip.LinkAddress(from), DstAddr: header.EthernetBroadcastAddress, Type: header.IPv4ProtocolNumber,
	})
	ip := header.IPv4(frame[header.EthernetMinimumSize:])
	ip.Encode(&header.IPv4Fields{
		TotalLength: uint16(header.IPv4MinimumSize + header.UDPMinimumSize + len(message)),
		TTL:         64, Protocol: uint8(header.UDPProtocolNumber),
		SrcAddr: header.IPv4Any, DstAddr: header.IPv4Broadcast,
	})
	ip.SetChecksum(^ip.CalculateChecksum())
	header.UDP(ip[header.IPv4MinimumSize:]).Encode(&header.UDPFields{
		SrcPort: dhcpClientPort, DstPort: dhcpServerPort, Length: uint16(header.UDPMinimumSize + len(message)),
	})
	return append(frame, message...)
}

// isARPRequest knows a question for an IPv4 address (RFC 826).
func isARPRequest(frame []byte) bool {
	if len(frame) < header.EthernetMinimumSize+header.ARPSize || header.Ethernet(frame).Type() != header.ARPProtocolNumber {
		return false
	}
	arp := header.ARP(frame[header.EthernetMinimumSize:])
	return arp.IsValid() && arp.Op() == header.ARPRequest
}

// answer reads who sent a frame, if it is a server's reply to the question.
func answer(frame []byte, question *dhcpv4.DHCPv4) (f ForeignServer, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	if len(frame) < frameHeaders {
		return f, false
	}
	eth, ip := header.Ethernet(frame), header.IPv4(frame[header.EthernetMinimumSize:])
	if eth.Type() != header.IPv4ProtocolNumber || !ip.IsValid(len(ip)) || ip.TransportProtocol() != header.UDPProtocolNumber {
		return f, false
	}
	udp := header.UDP(ip.Payload())
	if len(udp) < header.UDPMinimumSize || udp.DestinationPort() != dhcpClientPort {
		return f, false
	}
	m, err := dhcpv4.FromBytes(udp.Payload())
	if err != nil || m.OpCode != dhcpv4.OpcodeBootReply || m.TransactionID != question.TransactionID {
		return f, false
	}
	f.MAC = net.HardwareAddr(eth.SourceAddress())
	f.Addr, ok = netip.AddrFromSlice(m.ServerIdentifier().To4())
	if !ok {
		f.Addr, ok = netip.AddrFromSlice(ip.SourceAddressSlice())
	}
	return f, ok
}
