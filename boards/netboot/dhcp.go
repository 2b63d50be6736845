package netboot

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// leaseTime is short enough for a board that moves to another lab, and long
// enough for renewals to be rare.
const leaseTime = time.Hour

// serveDHCP answers boards until ctx ends: in one goroutine, so that a board gets
// its replies in the order of its messages (insomniacslk's own server starts a
// goroutine per packet). A socket that breaks is opened again.
func (s *Server) serveDHCP(ctx context.Context, conn net.PacketConn) error {
	for {
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		err := s.readDHCP(conn)
		stop()
		conn.Close()
		if !pause(ctx) {
			return nil
		}
		s.log.Warn("DHCP socket failed, opening it again", "error", err)
		if conn, err = s.cfg.Network.ListenBroadcast(dhcpPort); err != nil {
			return fmt.Errorf("failed to open the DHCP socket again: %w", err)
		}
	}
}

func (s *Server) readDHCP(conn net.PacketConn) error {
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		reply, to := s.answerDHCP(buf[:n])
		if reply == nil {
			continue
		}
		if _, err := conn.WriteTo(reply, to); err != nil {
			s.log.Warn("failed to send a DHCP reply", "to", to, "error", err)
		}
	}
}

// answerDHCP makes the reply to a packet, if there is to be one.
func (s *Server) answerDHCP(packet []byte) (reply []byte, to *net.UDPAddr) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic while answering a DHCP packet", "panic", p)
			reply = nil
		}
	}()
	m, err := dhcpv4.FromBytes(packet)
	if err != nil || m.OpCode != dhcpv4.OpcodeBootRequest || m.HWType != iana.HWTypeEthernet {
		return nil, nil
	}
	b := s.boardByMAC(m.ClientHWAddr)
	if b == nil {
		if s.isStranger(m.ClientHWAddr) {
			s.emit(Event{Kind: DHCPUnknown, MAC: m.ClientHWAddr, Detail: describe(m)})
		}
		return nil, nil
	}
	r := s.replyDHCP(b, m)
	if r == nil {
		return nil, nil
	}
	return r.ToBytes(), dhcpDestination(r)
}

// dhcpEvents are the kinds of event of the messages that are known.
var dhcpEvents = map[dhcpv4.MessageType]Kind{
	dhcpv4.MessageTypeDiscover: DHCPDiscover,
	dhcpv4.MessageTypeOffer:    DHCPOffer,
	dhcpv4.MessageTypeRequest:  DHCPRequest,
	dhcpv4.MessageTypeAck:      DHCPAck,
	dhcpv4.MessageTypeNak:      DHCPNak,
	dhcpv4.MessageTypeInform:   DHCPInform,
	dhcpv4.MessageTypeDecline:  DHCPDecline,
	dhcpv4.MessageTypeRelease:  DHCPRelease,
}

// replyDHCP decides on the answer to a board's message (RFC 2131, section 4.3).
// Relayed messages are not answered: a board of ours is on our segment.
func (s *Server) replyDHCP(b *board, m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	kind, known := dhcpEvents[m.MessageType()]
	if !known || !isUnset(m.GatewayIPAddr) {
		return nil
	}
	if id := m.ServerIdentifier(); !isUnset(id) && !isAddr(id, s.gateway()) {
		s.emit(Event{Kind: DHCPForeign, MAC: b.MAC, Detail: id.String()})
		return nil
	}
	s.emit(Event{Kind: kind, MAC: b.MAC, Addr: b.Addr, Detail: describe(m)})
	answer := dhcpv4.MessageTypeNone
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		answer = dhcpv4.MessageTypeOffer
	case dhcpv4.MessageTypeRequest:
		// SELECTING and INIT-REBOOT name the address in option 50, RENEWING and
		// REBINDING in ciaddr (section 4.3.2).
		wants := m.RequestedIPAddress()
		if isUnset(wants) {
			wants = m.ClientIPAddr
		}
		answer = dhcpv4.MessageTypeNak
		if isAddr(wants, b.Addr) {
			answer = dhcpv4.MessageTypeAck
		}
	case dhcpv4.MessageTypeInform:
		answer = dhcpv4.MessageTypeAck
	default:
		return nil
	}
	r, err := s.makeReply(b, m, answer)
	if err != nil {
		s.log.Error("failed to make a DHCP reply", "mac", b.MAC, "error", err)
		return nil
	}
	e := Event{Kind: dhcpEvents[answer], MAC: b.MAC, Addr: b.Addr, File: r.BootFileName}
	if answer == dhcpv4.MessageTypeNak {
		e.Detail = "asked for another address than its own"
	}
	s.emit(e)
	return r
}

// makeReply fills in a reply. Option numbers are of RFC 2132.
func (s *Server) makeReply(b *board, m *dhcpv4.DHCPv4, answer dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	gateway := s.gateway().AsSlice()
	r, err := dhcpv4.NewReplyFromRequest(m,
		dhcpv4.WithMessageType(answer),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(gateway)))
	if err != nil {
		return nil, err
	}
	if answer == dhcpv4.MessageTypeNak {
		return r, nil
	}
	if m.MessageType() == dhcpv4.MessageTypeInform {
		r.ClientIPAddr = m.ClientIPAddr
	} else {
		r.YourIPAddr = b.Addr.AsSlice()
		r.UpdateOption(dhcpv4.OptIPAddressLeaseTime(leaseTime))
	}
	mask := net.CIDRMask(s.cfg.Network.Gateway().Bits(), 32)
	r.UpdateOption(dhcpv4.OptSubnetMask(mask))
	r.UpdateOption(dhcpv4.OptNTPServers(gateway))
	if b.Name != "" {
		r.UpdateOption(dhcpv4.OptHostName(b.Name))
	}
	if s.cfg.Uplink {
		r.UpdateOption(dhcpv4.OptRouter(gateway))
		r.UpdateOption(dhcpv4.OptDNS(s.dns()...))
	}
	c := clientOf(m)
	for _, o := range c.options {
		r.UpdateOption(o)
	}
	if c.bootFile != nil {
		r.ServerIPAddr = gateway
		r.BootFileName = c.bootFile(s.gateway())
		r.UpdateOption(dhcpv4.OptTFTPServerName(s.gateway().String()))
		r.UpdateOption(dhcpv4.OptBootFileName(r.BootFileName))
	}
	return r, nil
}

// dhcpDestination is where a reply goes: a client without an address gets a
// broadcast, which needs no raw socket and which every boot ROM accepts.
func dhcpDestination(r *dhcpv4.DHCPv4) *net.UDPAddr {
	if !isUnset(r.ClientIPAddr) && r.MessageType() != dhcpv4.MessageTypeNak {
		return &net.UDPAddr{IP: r.ClientIPAddr, Port: dhcpClientPort}
	}
	return &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpClientPort}
}

func (s *Server) gateway() netip.Addr { return s.cfg.Network.Gateway().Addr() }

func (s *Server) dns() []net.IP {
	if len(s.cfg.DNS) == 0 {
		return []net.IP{s.gateway().AsSlice()}
	}
	var ips []net.IP
	for _, a := range s.cfg.DNS {
		ips = append(ips, a.AsSlice())
	}
	return ips
}

func isUnset(ip net.IP) bool { return len(ip) == 0 || ip.IsUnspecified() }

func isAddr(ip net.IP, a netip.Addr) bool {
	b, ok := netip.AddrFromSlice(ip)
	return ok && b.Unmap() == a
}
