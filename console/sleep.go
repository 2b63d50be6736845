package console

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// fetch adds text to the buffer; ended says why no more will come, more whether
// there was any.
func (e *expecting) fetch() (ended error, more bool) {
	c, s := e.c, e.c.s
	if e.from > 0 {
		c.buf = c.buf[:copy(c.buf, c.buf[e.from:])]
		e.off += int64(e.from)
		e.searched -= e.from
		e.from = 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := e.off + int64(len(c.buf))
	if at < s.hist.base { // outrun
		c.dropped += s.hist.base - at
		at = s.hist.base
		c.buf, e.searched, e.off = c.buf[:0], 0, at
		e.line, e.mid = s.hist.first, false
		e.plain.reset()
		e.joined.reset()
	}
	text := s.hist.slice(at, min(at+batchSize, s.hist.end()))
	c.buf = append(c.buf, text...)
	s.progress(c, at+int64(len(text)))
	if len(text) > 0 {
		return nil, true
	}
	if s.ended {
		return s.reason(), false
	}
	s.await(c)
	return nil, false
}

// late reports whether the deadline has passed.
func (e *expecting) late() bool {
	return !e.opts.Deadline.IsZero() && !time.Now().Before(e.opts.Deadline)
}

// sleep waits for more text. quiet means that none came for settleTime on a line
// that then has to be tried again. The error is that of the deadline, of silence
// or of ctx.
func (e *expecting) sleep(ctx context.Context) (quiet bool, err error) {
	c, s := e.c, e.c.s
	s.mu.Lock()
	last := s.lastByte
	s.mu.Unlock()
	open := e.plain.open || e.joined.scan.open
	for {
		now := time.Since(s.made)
		next := time.Duration(1<<63 - 1)
		if open {
			if next = last + settleTime; next <= now {
				return true, nil
			}
		}
		if e.late() {
			return true, e.deadline()
		}
		if !e.opts.Deadline.IsZero() {
			next = min(next, now+time.Until(e.opts.Deadline))
		}
		if e.opts.Silence > 0 {
			silent := max(last, e.begin) + e.opts.Silence
			if silent <= now {
				return true, e.failure(ErrSilence, "for "+e.opts.Silence.String())
			}
			next = min(next, silent)
		}
		c.arm(next - now)
		select {
		case <-c.wake:
			return false, nil
		case <-ctx.Done():
			return false, fmt.Errorf("failed to expect %s: %w", e.wanted(), context.Cause(ctx))
		case <-c.timer.C:
		}
	}
}

// arm sets the cursor's timer.
func (c *Cursor) arm(d time.Duration) {
	if c.timer == nil {
		c.timer = time.NewTimer(d)
		return
	}
	c.timer.Reset(d)
}

func (e *expecting) deadline() error {
	return e.failure(ErrDeadline, fmt.Sprintf("after %s", (time.Since(e.c.s.made)-e.begin).Round(time.Millisecond)))
}

// failure is a named outcome with what was waited for and the last line.
func (e *expecting) failure(kind error, detail string) error {
	e.c.s.mu.Lock()
	defer e.c.s.mu.Unlock()
	return fmt.Errorf("failed to see %s: %w %s (last line %q)", e.wanted(), kind, detail, e.c.s.lastLine())
}

// wanted names the patterns, the first ones if there are many.
func (e *expecting) wanted() string {
	var names []string
	for i, one := range e.cases {
		re, err := one.RE()
		if err != nil || re == nil {
			continue
		}
		if len(names) == 3 {
			names = append(names, fmt.Sprintf("%d more", len(e.cases)-i))
			break
		}
		names = append(names, fmt.Sprintf("%q", re))
	}
	return strings.Join(names, " or ")
}
