package console

import (
	"io"
	"sync"
)

const defaultView = 256 << 10

// Viewer is a live copy of the console's raw bytes, secrets starred out. Read is
// for one goroutine; the other methods for any.
type Viewer struct {
	s    *Stream
	wake chan struct{}
	once sync.Once

	mu      sync.Mutex
	ring    []byte
	at, n   int // the oldest byte, and how many there are
	dropped int64
	ended   bool
}

// Subscribe starts a Viewer that buffers at most limit bytes (0: 256 KiB). It
// never stalls the console: when it is slow, the oldest bytes are dropped.
func (s *Stream) Subscribe(limit int) *Viewer {
	if limit <= 0 {
		limit = defaultView
	}
	v := &Viewer{s: s, wake: make(chan struct{}, 1), ring: make([]byte, limit)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.ended = s.ended; !s.ended {
		s.viewers[v] = struct{}{}
	}
	return v
}

// Read returns the next bytes, and io.EOF after Close or when the console has ended.
func (v *Viewer) Read(p []byte) (int, error) {
	for {
		v.mu.Lock()
		n := copy(p, v.ring[v.at:min(v.at+v.n, len(v.ring))])
		v.at = (v.at + n) % len(v.ring)
		v.n -= n
		ended := v.ended
		v.mu.Unlock()
		switch {
		case n > 0 || len(p) == 0:
			return n, nil
		case ended:
			return 0, io.EOF
		}
		<-v.wake
	}
}

// Dropped is how many bytes were dropped so far.
func (v *Viewer) Dropped() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.dropped
}

// Close ends the Viewer; what it has buffered can still be read.
func (v *Viewer) Close() error {
	v.once.Do(func() {
		v.s.mu.Lock()
		delete(v.s.viewers, v)
		v.s.mu.Unlock()
		v.end()
	})
	return nil
}

func (v *Viewer) put(p []byte) {
	if len(p) == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if over := v.n + len(p) - len(v.ring); over > 0 {
		v.dropped += int64(over)
		skip := min(over, v.n)
		v.at = (v.at + skip) % len(v.ring)
		v.n -= skip
		p = p[over-skip:]
	}
	to := (v.at + v.n) % len(v.ring)
	k := copy(v.ring[to:], p)
	copy(v.ring, p[k:])
	v.n += len(p)
	v.signal()
}

func (v *Viewer) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ended = true
	v.signal()
}

func (v *Viewer) signal() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}
