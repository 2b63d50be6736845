package console

import (
	"slices"
	"time"
)

// A fast port (a socket) can outrun a cursor that is at work. Such a port can
// wait, so the reader yields to the cursor, but never longer than yieldTime for
// one read: a UART of 3 Mbaud sends 6 kB meanwhile, less than one read takes and a
// tenth of what the kernel buffers. A cursor that has not asked for text during
// idleTime is not waited for.
const (
	yieldTime = 20 * time.Millisecond
	idleTime  = time.Second
	batchSize = 64 << 10
)

// wakeAll wakes the cursors that wait for text; the lock is held.
func (s *Stream) wakeAll() {
	for _, c := range s.waiting {
		c.registered = false
		c.asked = s.lastByte
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	s.waiting = s.waiting[:0]
}

// await registers c to be woken; the lock is held.
func (s *Stream) await(c *Cursor) {
	if !c.registered {
		c.registered = true
		s.waiting = append(s.waiting, c)
	}
}

// atWork makes the reader wait for c, which is about to ask for text; the lock is held.
func (s *Stream) atWork(c *Cursor) {
	s.progress(c, c.pos)
	c.asked = time.Since(s.made)
}

// progress notes that c needs nothing before offset off any more; the lock is held.
func (s *Stream) progress(c *Cursor, off int64) {
	c.need, c.asked = off, s.lastByte
	if !slices.Contains(s.working, c) {
		s.working = slices.DeleteFunc(s.working, func(c *Cursor) bool { return s.lastByte-c.asked > idleTime })
		s.working = append(s.working, c)
	}
	if s.pressed {
		select {
		case s.relief <- struct{}{}:
		default:
		}
	}
}

// lagging reports whether a cursor at work has read less than half of what the
// history can keep; the lock is held.
func (s *Stream) lagging(now time.Duration) bool {
	h := s.hist
	kept := h.end() - h.base
	s.pressed = slices.ContainsFunc(s.working, func(c *Cursor) bool {
		unread := h.end() - c.need
		return now-c.asked <= idleTime && int64(h.size())*unread > int64(h.limit/2)*kept
	})
	return s.pressed
}

// yield waits until no cursor lags, for yieldTime at most.
func (s *Stream) yield(now time.Duration) {
	timer := time.NewTimer(yieldTime)
	defer timer.Stop()
	for lagging := true; lagging; {
		select {
		case <-s.relief:
		case <-timer.C:
			return
		case <-s.closed:
			return
		}
		s.mu.Lock()
		lagging = s.lagging(now)
		s.mu.Unlock()
	}
}
