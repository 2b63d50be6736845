package netboot

import (
	"context"
	"encoding/binary"
	"net"
	"time"
)

// serveNTP tells boards the time of this host (SNTP, RFC 4330) until ctx ends. A
// board without a battery-backed clock needs it before it can check a certificate.
func (s *Server) serveNTP(ctx context.Context, conn net.PacketConn) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buf)
		received := time.Now()
		if err != nil {
			if !pause(ctx) {
				return nil
			}
			continue
		}
		b := s.boardAt(from.String())
		if b == nil {
			continue
		}
		reply := answerNTP(buf[:n], received, time.Now)
		if reply == nil {
			continue
		}
		e := Event{Time: received, Kind: NTP, MAC: b.MAC, Addr: b.Addr, Bytes: int64(len(reply))}
		if _, err := conn.WriteTo(reply, from); err != nil {
			e.Err, e.Bytes = err.Error(), 0
		}
		s.emit(e)
	}
}

// Fields of an NTP packet (RFC 4330, section 4).
const (
	ntpLen        = 48
	ntpModeClient = 3
	ntpModeServer = 4
	// ntpStratum says that this host's clock is itself set over the network.
	ntpStratum = 3
	// ntpPrecision is the exponent of 2 of the clock's precision, about 1 µs.
	ntpPrecision = -20
	// ntpDispersion is 10 ms in seconds of 16.16 fixed point: how wrong this
	// host may be.
	ntpDispersion = 1 << 16 / 100
)

// answerNTP makes the reply to a client's request (RFC 4330, section 6), nil if
// the packet is none.
func answerNTP(packet []byte, received time.Time, now func() time.Time) []byte {
	if len(packet) < ntpLen {
		return nil
	}
	version, mode := packet[0]>>3&7, packet[0]&7
	if mode != ntpModeClient || version < 1 || version > 4 {
		return nil
	}
	r := make([]byte, ntpLen)
	r[0] = version<<3 | ntpModeServer
	r[1] = ntpStratum
	r[2] = packet[2] // poll interval
	r[3] = byte(256 + ntpPrecision)
	binary.BigEndian.PutUint32(r[8:], ntpDispersion)
	copy(r[12:], []byte{127, 0, 0, 1})                    // reference: this host's own clock
	binary.BigEndian.PutUint64(r[16:], ntpTime(received)) // reference timestamp
	copy(r[24:32], packet[40:48])                         // originate: the client's transmit timestamp
	binary.BigEndian.PutUint64(r[32:], ntpTime(received)) // receive
	binary.BigEndian.PutUint64(r[40:], ntpTime(now()))    // transmit
	return r
}

// ntpTime is t in seconds since 1900, in 32.32 fixed point (RFC 4330, section 3).
// It wraps in 2036, as clients expect.
func ntpTime(t time.Time) uint64 {
	const from1900to1970 = 2208988800
	seconds := uint64(t.Unix()+from1900to1970) << 32
	return seconds | uint64(t.Nanosecond())<<32/1e9
}
