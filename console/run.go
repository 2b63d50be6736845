package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strconv"

	expect "github.com/google/goexpect"
)

// RunResult is what a command did.
type RunResult struct {
	Output string // what the command printed, the kernel's lines taken out
	Status int    // exit status, 0–255
	Noise  []Line // the kernel's lines that came while the command ran
	Cut    bool   // the beginning of Output is missing: there was more than the history keeps
}

// Run types cmd at a POSIX shell (busybox ash, dash, bash) that waits at its
// prompt, and waits for the command's end. The command may have quotes and
// newlines; it runs in the shell itself, so that cd and variables stay.
//
// What is typed makes the shell print marks around the output that the echo of
// the typing does not contain, however the terminal wraps it. A kernel line (with
// a printk time) in a mark or in the output is taken out; one with an older time
// than the newest seen before is taken for output (dmesg).
//
// Errors are those of Expect. When a deadline passes, the message says whether
// the command had begun.
func (c *Cursor) Run(ctx context.Context, cmd string, opts ExpectOptions) (RunResult, error) {
	mark := newMark()
	lines, err := mark.typed(cmd)
	if err != nil {
		return RunResult{}, err
	}
	newest := c.s.newestStamp()
	typedAt := c.pos
	for i, line := range lines {
		if err := c.send(ctx, line+"\n"); err != nil {
			return RunResult{}, fmt.Errorf("failed to run %q: %w", shorten(cmd), err)
		}
		want := mark.more()
		if i == len(lines)-1 {
			want = mark.begin()
		}
		m, err := c.Expect(ctx, opts, literal(want), &expect.Case{R: mark.end()})
		if err != nil {
			return RunResult{}, runError(cmd, false, err)
		}
		if m.Case == 1 { // the first mark was broken, or has left the history
			return c.result(typedAt, m, mark, newest)
		}
	}
	from := c.pos
	m, err := c.Expect(ctx, opts, &expect.Case{R: mark.end()})
	if err != nil {
		return RunResult{}, runError(cmd, true, err)
	}
	return c.result(from, m, mark, newest)
}

// send types text whose answer the cursor will read at once.
func (c *Cursor) send(ctx context.Context, text string) error {
	c.s.mu.Lock()
	c.s.atWork(c)
	c.s.mu.Unlock()
	return c.s.Send(ctx, text)
}

// literal is a case for text as it stands.
func literal(text string) expect.Caser {
	return &expect.Case{R: regexp.MustCompile(regexp.QuoteMeta(text))}
}

func runError(cmd string, begun bool, err error) error {
	switch {
	case !errors.Is(err, ErrDeadline) && !errors.Is(err, ErrSilence):
		return fmt.Errorf("failed to run %q: %w", shorten(cmd), err)
	case begun:
		return fmt.Errorf("failed to run %q: it began but did not end, or it ended the shell: %w", shorten(cmd), err)
	default:
		return fmt.Errorf("failed to run %q: it did not begin; no shell took what was typed (try: expect its prompt first): %w", shorten(cmd), err)
	}
}

func shorten(cmd string) string {
	if len(cmd) > 80 {
		return cmd[:80] + "…"
	}
	return cmd
}

// result separates what came from offset from to the cursor, which stands behind
// the end mark.
func (c *Cursor) result(from int64, m *Match, mark mark10, newest int64) (RunResult, error) {
	status, err := strconv.Atoi(m.Groups[len(m.Groups)-1])
	if err != nil || status > 255 {
		return RunResult{}, fmt.Errorf("failed to read the exit status from %q", m.Groups[0])
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	base := max(from, c.s.hist.base)
	text := bytes.Clone(c.s.hist.slice(base, c.pos))
	found := findAll(text, c.s.hist.slice(0, base), newest)
	end := []byte("\n" + string(mark) + ":")
	clean := without(text, found)
	i := bytes.LastIndex(clean, end)
	if i < 0 {
		found = findAll(text, nil, 0)
		clean = without(text, found)
		i = max(bytes.LastIndex(clean, end), 0)
	}
	r := RunResult{Status: status, Cut: base > from}
	for _, n := range found {
		line := c.s.lineOf(base + int64(n.at))
		line.Text = string(bytes.TrimSuffix(text[n.at:n.end], []byte("\n")))
		r.Noise = append(r.Noise, line)
	}
	clean = clean[:i]
	if !r.Cut {
		clean = bytes.TrimPrefix(clean, []byte("\n")) // of the begin mark
	}
	r.Output = string(clean)
	return r, nil
}

// lineOf is the line that holds offset off, without its text; the lock is held.
func (s *Stream) lineOf(off int64) Line {
	h := s.hist
	i := sort.Search(len(h.marks)-h.mlo, func(i int) bool { return h.marks[h.mlo+i].off > off })
	return s.lineAt(h.first + i - 1)
}

// newestStamp is the newest time that the kernel printed since it booted, in
// microseconds.
func (s *Stream) newestStamp() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var newest int64
	for i := s.hist.last(); i >= s.hist.first; i-- {
		text := s.lineText(i)
		k := findNoise(text)
		if k < 0 {
			continue
		}
		_, micros, _ := stamp(text[k:])
		if newest = max(newest, micros); micros == 0 {
			break
		}
	}
	return newest
}
