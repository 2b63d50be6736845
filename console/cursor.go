package console

import (
	"context"
	"time"
)

// Line is a line of the console, cleaned for matching: no \r, no NUL or other
// control byte but tab, no escape sequence, valid UTF-8 (invalid bytes are
// U+FFFD), at most 64 KiB (what is longer is cut).
type Line struct {
	N      int           // from 0
	At     time.Duration // of its first byte, since Config.Start or SetStart
	Offset int64         // of its first byte in the raw log
	Text   string
}

// Cursor is a place in the console's text. It is for one goroutine; a stream has
// any number of them.
type Cursor struct {
	s       *Stream
	pos     int64 // offset in the cleaned text
	line    int   // the line that holds pos
	mid     bool  // something of that line is behind the cursor
	dropped int64
	buf     []byte // for Expect
	timer   *time.Timer

	// of the stream, under its lock
	wake       chan struct{}
	registered bool
	need       int64
	asked      time.Duration
}

// Cursor starts at the end of what has come.
func (s *Stream) Cursor() *Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &Cursor{s: s, pos: s.hist.end(), line: s.hist.last(), mid: len(s.hist.open()) > 0, wake: make(chan struct{}, 1)}
	s.atWork(c)
	return c
}

// CursorAt starts at line n (0: the beginning, of which what is already gone counts
// as dropped), or at the first line after it that is still kept.
func (s *Stream) CursorAt(n int) *Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &Cursor{s: s, line: min(max(n, s.hist.first), s.hist.last()), wake: make(chan struct{}, 1)}
	c.pos = s.hist.mark(c.line).off
	if n < s.hist.first && n <= 0 {
		c.dropped = c.pos
	}
	s.atWork(c)
	return c
}

// Dropped is how many bytes of text left the stream's history before this cursor
// came to them.
func (c *Cursor) Dropped() int64 {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return c.dropped + max(0, c.s.hist.base-c.pos)
}

// Next returns the next whole line, or what an Expect left of one. The first line
// is the first sign of life of a board: line noise at power-on has no newline. When no more
// will come it returns the unfinished line, if there is text in it, and then the
// reason: ErrLost or the error of the log. The end of ctx is an error as well.
func (c *Cursor) Next(ctx context.Context) (Line, error) {
	for {
		line, ok, err := c.next()
		if ok || err != nil {
			return line, err
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			return Line{}, context.Cause(ctx)
		}
	}
}

// next is Next without waiting.
func (c *Cursor) next() (line Line, ok bool, err error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	c.skipLost()
	for c.line < s.hist.last() {
		end := s.hist.mark(c.line + 1).off
		line, skip := c.rest(end-1), c.mid && c.pos == end-1
		c.pos, c.line, c.mid = end, c.line+1, false
		if !skip {
			s.progress(c, c.pos)
			return line, true, nil
		}
	}
	s.progress(c, c.pos)
	if !s.ended {
		s.await(c)
		return Line{}, false, nil
	}
	if end := s.hist.end(); c.pos < end {
		line := c.rest(end)
		c.pos, c.mid = end, true
		return line, true, nil
	}
	return Line{}, false, s.reason()
}

// rest is the cursor's line from the cursor to offset end; the lock is held.
func (c *Cursor) rest(end int64) Line {
	line := c.s.lineAt(c.line)
	line.Text = string(c.s.hist.slice(c.pos, end))
	return line
}

// skipLost moves a cursor that was outrun to the oldest text; the lock is held.
func (c *Cursor) skipLost() {
	if h := c.s.hist; c.pos < h.base {
		c.dropped += h.base - c.pos
		c.pos, c.line, c.mid = h.base, h.first, false
	}
}

// forget leaves what an Expect has read and the history no longer has.
func (c *Cursor) forget() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if h := c.s.hist; c.pos < h.base {
		c.pos, c.line, c.mid = h.base, h.first, false
	}
}

// lineAt is line n without its text; the lock is held. Of a line that has left
// the history only the number is known.
func (s *Stream) lineAt(n int) Line {
	if n < s.hist.first {
		return Line{N: n}
	}
	m := s.hist.mark(n)
	return Line{N: n, At: time.Duration(m.at) - s.start, Offset: m.raw}
}

// text is the cleaned text between two offsets, as far as it is kept.
func (s *Stream) text(from, to int64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.hist.slice(from, to))
}
