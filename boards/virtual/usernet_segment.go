package virtual

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// segment is an Ethernet switch. It differs from gvisor-tap-vsock's in what a
// board can do to it: it bears short and endless frames, forged addresses, a
// board that is paused and one that is unplugged while it is sent to; and
// multicast passes, without which nobody hears a router solicitation.
type segment struct {
	log       *slog.Logger
	gateway   func(frame []byte) // takes a frame without its header
	advertise atomic.Bool        // answer router solicitations

	mu    sync.Mutex
	ports map[*port]bool
	table map[[6]byte]*port // who was heard where
}

// port is one plugged-in board.
type port struct {
	out     chan []byte
	learned int
	dropped int
}

const (
	// frameHeader is QEMU's: the length, 4 bytes, big endian.
	frameHeader = 4
	// A frame holds two addresses and a type, and is no longer than what QEMU sends.
	minFrame = 14
	maxFrame = 64 << 10
	// maxLearned bounds how many addresses a board can occupy.
	maxLearned = 64
	// writeBatch is how many frames go into one system call.
	writeBatch = 32
)

func newSegment(log *slog.Logger, gateway func([]byte)) *segment {
	return &segment{
		log:     log,
		gateway: gateway,
		ports:   make(map[*port]bool),
		table:   make(map[[6]byte]*port),
	}
}

// newFrame makes a frame of n bytes behind its header.
func newFrame(n int) []byte {
	frame := make([]byte, frameHeader+n)
	binary.BigEndian.PutUint32(frame, uint32(n))
	return frame
}

// inject hands a frame to the stack.
func inject(link *channel.Endpoint, frame []byte) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
	link.InjectInbound(0, pkt)
	pkt.DecRef()
}

// serve carries a board's frames until it is unplugged or ctx ends.
func (s *segment) serve(ctx context.Context, conn net.Conn) {
	p := &port{out: make(chan []byte, usernetQueue)}
	s.mu.Lock()
	s.ports[p] = true
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var writer sync.WaitGroup
	writer.Go(func() {
		defer cancel()
		p.write(ctx, conn)
	})
	s.read(p, conn)
	s.unplug(p)
	cancel()
	writer.Wait()
}

func (s *segment) unplug(p *port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ports, p)
	for mac, at := range s.table {
		if at == p {
			delete(s.table, mac)
		}
	}
	if p.dropped > 0 {
		s.log.Debug("frames were lost on the way to a board", "frames", p.dropped)
	}
}

func (s *segment) read(p *port, conn net.Conn) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("panic on a board's frame, unplugging the board", "panic", r)
		}
	}()
	r := bufio.NewReaderSize(conn, maxFrame)
	var header [frameHeader]byte
	for {
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(header[:])
		if n > maxFrame {
			s.log.Warn("unplugging a board that sends no frames", "length", n)
			return
		}
		frame := newFrame(int(n))
		if _, err := io.ReadFull(r, frame[frameHeader:]); err != nil {
			return
		}
		if n < minFrame {
			continue
		}
		if ra := s.answerSolicitation(frame[frameHeader:]); ra != nil {
			s.forward(nil, ra)
		}
		s.forward(p, frame)
	}
}

func (p *port) write(ctx context.Context, conn net.Conn) {
	batch := make(net.Buffers, 0, writeBatch)
	for {
		select {
		case <-ctx.Done():
			return
		case frame := <-p.out:
			batch = append(batch[:0], frame)
		}
		for len(batch) < writeBatch && len(p.out) > 0 {
			batch = append(batch, <-p.out)
		}
		pending := batch
		if _, err := pending.WriteTo(conn); err != nil {
			return
		}
	}
}

// forward carries a frame, header included, from a port, or from the gateway if
// that is nil: to whom it is for if that is known, else to everybody else.
func (s *segment) forward(from *port, frame []byte) {
	var dst, src [6]byte
	copy(dst[:], frame[frameHeader:])
	copy(src[:], frame[frameHeader+6:])
	group := dst[0]&1 != 0
	if s.switchFrame(from, dst, src, frame) && from != nil && (group || dst == gatewayMAC) {
		s.gateway(frame[frameHeader:])
	}
}

// switchFrame sends a frame to the boards it is for; it reports whether its
// sender may send it.
func (s *segment) switchFrame(from *port, dst, src [6]byte, frame []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from != nil && !s.learn(from, src) {
		return false
	}
	if dst == gatewayMAC {
		return true
	}
	if to := s.table[dst]; to != nil {
		if to != from {
			to.send(frame)
		}
		return true
	}
	for to := range s.ports {
		if to != from {
			to.send(frame)
		}
	}
	return true
}

// learn notes where src is; nobody may be the gateway, or too many.
func (s *segment) learn(from *port, src [6]byte) bool {
	switch at := s.table[src]; {
	case src == gatewayMAC || src[0]&1 != 0:
		return false
	case at == from:
		return true
	case from.learned >= maxLearned:
		return false
	default:
		if at != nil {
			at.learned--
		}
		from.learned++
		s.table[src] = from
		return true
	}
}

// send queues a frame, or loses it if the board takes none.
func (p *port) send(frame []byte) {
	select {
	case p.out <- frame:
	default:
		p.dropped++
	}
}
