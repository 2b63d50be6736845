package netboot

import (
	"net"
	"net/netip"
	"time"
)

// Kind says what happened.
type Kind string

// The kinds of events.
const (
	DHCPDiscover Kind = "dhcp-discover"
	DHCPOffer    Kind = "dhcp-offer"
	DHCPRequest  Kind = "dhcp-request"
	DHCPAck      Kind = "dhcp-ack"
	DHCPNak      Kind = "dhcp-nak"
	DHCPInform   Kind = "dhcp-inform"
	DHCPDecline  Kind = "dhcp-decline"
	DHCPRelease  Kind = "dhcp-release"
	// DHCPUnknown is the first message of a board that has no offer; it is not
	// answered.
	DHCPUnknown Kind = "dhcp-unknown"
	// DHCPForeign is a board that chose another DHCP server of the segment,
	// named in Detail.
	DHCPForeign Kind = "foreign-dhcp"
	// ScriptSent is a transfer of boot.ipxe, by HTTP or TFTP.
	ScriptSent Kind = "script"
	TFTP       Kind = "tftp"
	HTTP       Kind = "http"
	NTP        Kind = "ntp"
)

// Event is one thing that happened on the network. A transfer is an event once
// it is over; an aborted one (boot loaders probe files that way) has Err set.
type Event struct {
	Time   time.Time // of the beginning
	Kind   Kind
	MAC    net.HardwareAddr
	Addr   netip.Addr
	File   string        // as the board asked for it
	Bytes  int64         // sent
	Took   time.Duration // of a transfer
	Err    string        // why a transfer ended early; empty: it was complete
	Detail string        // the client (DHCP), or the request (HTTP)
}

// emit hands an event over; events come one at a time.
func (s *Server) emit(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	s.log.Debug("network event", "kind", e.Kind, "mac", e.MAC, "addr", e.Addr, "file", e.File,
		"bytes", e.Bytes, "took", e.Took, "err", e.Err, "detail", e.Detail)
	if s.cfg.Events == nil {
		return
	}
	s.eventMu.Lock()
	defer s.eventMu.Unlock()
	s.cfg.Events(e)
}
