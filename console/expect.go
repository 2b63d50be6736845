package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	expect "github.com/google/goexpect"
)

// ExpectOptions bound a wait; zero values do not.
type ExpectOptions struct {
	Deadline time.Time     // absolute: output does not extend it
	Silence  time.Duration // longest time without a byte, counted from the call at the earliest
}

// Match is what ended an Expect.
type Match struct {
	Case   int        // index into the cases
	Tag    expect.Tag // of the case: expect.OKTag, expect.FailTag, …
	Status error      // of the case's tag; nil for OK
	Groups []string   // the whole match and its submatches
	Before string     // the text between the cursor (or the last reply) and the match, as far as it is kept
	After  string     // what follows the match on its line so far; the cursor stands before it
	Line   Line       // the line on which the match ends
}

// settleTime is how long a line must be quiet before a match counts that more
// text could change (`took \d+`, `# $`). USB adapters deliver every 16 ms.
const settleTime = 50 * time.Millisecond

// Expect waits for the first of the cases. Lines are matched one by one, the
// unfinished last one as well (prompts have no newline). The first match that is
// final wins: one that no further byte can change, or on a whole line, or on a
// line that is quiet for 50 ms. So the outcome does not depend on how the bytes
// were cut into reads. ^ is the cursor's place, $ the end of the line so far. A
// line that the kernel printed into the middle of another one does not hide it.
//
// The cursor then stands behind the match; replies, Continue and Next work as in
// goexpect's ExpectSwitchCase. Without a match the cursor stays where it was (or
// behind the last reply's match), and the error is ErrDeadline, ErrSilence,
// ErrLost, or of ctx.
func (c *Cursor) Expect(ctx context.Context, opts ExpectOptions, cases ...expect.Caser) (*Match, error) {
	e, err := newExpecting(c, opts, cases)
	if err != nil {
		return nil, err
	}
	m, err := e.wait(ctx)
	if err != nil {
		c.forget()
	}
	return m, err
}

// expecting is one Expect at work.
type expecting struct {
	c     *Cursor
	cases []expect.Caser
	opts  ExpectOptions
	begin time.Duration // of the call, since the stream was made

	plain  *scan
	joined *joint
	start  int64 // Before begins here

	off      int64 // offset of c.buf[0]
	from     int   // in c.buf: begin of the current line
	searched int   // in c.buf: no newline before it
	cut      int   // where the current line is cut, of findCut
	line     int
	mid      bool
}

func newExpecting(c *Cursor, opts ExpectOptions, cases []expect.Caser) (*expecting, error) {
	res := make([]*regexp.Regexp, len(cases))
	usable := 0
	for i, one := range cases {
		re, err := one.RE()
		if err != nil {
			return nil, fmt.Errorf("failed to compile pattern %d: %w", i, err)
		}
		if res[i] = re; re != nil {
			usable++
		}
	}
	if usable == 0 {
		return nil, errors.New("failed to expect: there is no pattern")
	}
	set, err := compile(res)
	if err != nil {
		return nil, err
	}
	c.buf = c.buf[:0]
	return &expecting{
		c: c, cases: cases, opts: opts, begin: time.Since(c.s.made),
		plain: newScan(set), joined: newJoint(set),
		start: c.pos, off: c.pos, line: c.line, mid: c.mid,
	}, nil
}

// wait takes what has come, line by line, until a case decides.
func (e *expecting) wait(ctx context.Context) (*Match, error) {
	for {
		late := e.late()
		ended, more := e.fetch()
		if more {
			if m, err := e.take(ctx); m != nil || err != nil {
				return m, err
			}
			if !late && ctx.Err() == nil {
				continue
			}
		}
		quiet, err := false, ended
		switch {
		case ended != nil:
		case late:
			err = e.deadline()
		default:
			quiet, err = e.sleep(ctx)
		}
		if quiet || err != nil {
			if m, err := e.try(ctx, true, false); m != nil || err != nil {
				return m, err
			}
		}
		if err != nil {
			return nil, err
		}
	}
}

// take tries the lines in the buffer, then the unfinished one.
func (e *expecting) take(ctx context.Context) (*Match, error) {
	c := e.c
	for {
		i := bytes.IndexByte(c.buf[e.searched:], '\n')
		if i < 0 {
			e.searched = len(c.buf)
			return e.try(ctx, false, false)
		}
		e.searched += i
		if !e.mid || e.searched > e.from {
			if m, err := e.try(ctx, true, true); m != nil || err != nil {
				return m, err
			}
			e.joined.line(c.buf[e.from:e.searched], e.off+int64(e.from), e.cut)
		}
		e.searched++
		e.from = e.searched
		e.line++
		e.mid = false
		e.plain.reset()
	}
}

// try looks for a match on the current line, and replies for as long as the case
// says to go on. done: the line is whole or quiet.
func (e *expecting) try(ctx context.Context, done, whole bool) (*Match, error) {
	c := e.c
	for {
		line := c.buf[e.from:e.searched]
		e.cut = findCut(line, done)
		found, ok := e.plain.best(line, e.cut, done)
		place := e.joined.best(line, e.cut, done, whole)
		joined := place.ok && (!ok || place.found.final < found.final)
		if !ok && !joined {
			return nil, nil
		}
		at := e.off + int64(e.from)
		begin, end, text := at, at, line
		if joined {
			found, text = place.found, place.text
			begin, end = e.joined.offset(found.loc[0], at), max(at, e.joined.offset(found.loc[1], at))
		} else {
			begin, end = at+int64(found.loc[0]), at+int64(found.loc[1])
		}
		tag, status := e.cases[found.pattern].Tag()
		if tag == expect.NextTag && !e.cases[found.pattern].Retry() {
			e.plain.disable(found.pattern)
			e.joined.scan.disable(found.pattern)
			continue
		}
		m := e.match(found, text, line, begin, end)
		m.Tag, m.Status = tag, status.Err()
		e.consume(end)
		if err := e.reply(ctx, m); err != nil {
			return nil, err
		}
		goOn := tag == expect.NextTag || tag == expect.ContinueTag && e.cases[m.Case].Retry()
		if !goOn {
			return m, nil
		}
		if whole && e.from == e.searched { // nothing is left of the line
			return nil, nil
		}
	}
}

// consume moves behind a match that ends at offset end, on the current line.
func (e *expecting) consume(end int64) {
	e.from, e.cut = int(end-e.off), -1
	e.start, e.mid = end, true
	e.c.pos, e.c.line, e.c.mid = end, e.line, true
	e.plain.reset()
	e.joined.reset()
}

// match describes what was found.
func (e *expecting) match(found found, text, line []byte, begin, end int64) *Match {
	s := e.c.s
	m := &Match{Case: found.pattern, After: string(line[end-e.off-int64(e.from):])}
	for i := 0; i < len(found.loc); i += 2 {
		group := ""
		if found.loc[i] >= 0 {
			group = string(text[found.loc[i]:found.loc[i+1]])
		}
		m.Groups = append(m.Groups, group)
	}
	m.Before = s.text(e.start, begin)
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Line = s.lineAt(e.line)
	m.Line.Text = string(line)
	if m.Line.N >= s.hist.first {
		m.Line.Text = string(s.lineText(e.line))
	}
	return m
}
