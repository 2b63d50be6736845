package console

import "unicode/utf8"

// maxEscape bounds an escape sequence; a longer one was none, and its bytes are
// given back as text, so that line noise cannot swallow what follows.
const maxEscape = 256

type cleanState uint8

const (
	ground    cleanState = iota
	character            // within a UTF-8 sequence
	escape               // after ESC
	charset              // ESC and intermediate bytes (ECMA-35)
	control              // CSI: ESC [ (ECMA-48, section 5.4)
	command              // OSC, DCS, SOS, PM, APC: ends with BEL or ESC \
	commandST            // ESC within a command string
)

// cleaner turns the raw bytes of a console into a history of lines for matching.
// Reads may cut it anywhere. Removed: \r, NUL and the other control bytes but
// tab, and escape sequences; invalid UTF-8 becomes U+FFFD.
type cleaner struct {
	h     *history
	state cleanState
	part  []byte // of the sequence that is not finished
	raw   int64  // offset behind the current byte in the raw log
	at    int64

	// A kernel line in the middle of an escape sequence: what to go on with
	// behind that line, and where the line began.
	resume     cleanState
	resumePart []byte
	resumeAt   int64
}

func newCleaner(h *history) *cleaner {
	return &cleaner{h: h, part: make([]byte, 0, maxEscape+1), resumePart: make([]byte, 0, maxEscape+1)}
}

// feed adds bytes that were read at time at.
func (c *cleaner) feed(p []byte, at int64) {
	if len(p) == 0 {
		return
	}
	if c.at = at; c.h.fresh {
		c.h.marks[len(c.h.marks)-1].at = at
		c.h.fresh = false
	}
	for i := 0; i < len(p); {
		if c.state == ground {
			j := i
			for j < len(p) && (p[j]-0x20 < 0x5f || p[j] == '\t') {
				j++
			}
			if j > i {
				c.raw += int64(j - i)
				c.h.put(p[i:j], c.raw, at)
				if i = j; i == len(p) {
					return
				}
			}
		}
		c.raw++
		c.step(p[i])
		if i++; c.h.fresh && i < len(p) {
			c.h.fresh = false
		}
	}
}

// finish gives back what was held for a sequence that will not be finished.
func (c *cleaner) finish() {
	if c.state != character {
		c.giveBack()
	}
	if c.state == character {
		c.h.put([]byte(string(utf8.RuneError)), c.raw, c.at)
		c.drop()
	}
}

// note ends the unfinished line and adds one of our own; in the raw log, lead bytes
// come before the text and two behind it.
func (c *cleaner) note(text string, lead int, at int64) {
	c.finish()
	c.resume = ground
	if len(c.h.open()) > 0 {
		c.h.newline(c.raw, at)
	}
	c.raw += int64(lead)
	m := &c.h.marks[len(c.h.marks)-1]
	m.raw, m.at = c.raw, at
	c.raw += int64(len(text)) + 2
	c.h.put([]byte(text), c.raw-2, at)
	c.h.newline(c.raw, at)
}

func (c *cleaner) step(b byte) {
	switch c.state {
	case ground:
		c.plain(b)
	case character:
		c.part = append(c.part, b)
		c.decode()
	case escape:
		c.escaped(b)
	case charset:
		switch {
		case b >= 0x20 && b <= 0x2f && len(c.part) < maxEscape:
			c.part = append(c.part, b)
		case b == '<' || b == '[': // no program selects these: a kernel line
			c.interrupt(charset)
			c.step(b)
		case b >= 0x30 && b <= 0x7e:
			c.drop()
		default:
			c.again(b)
		}
	case control:
		c.controlled(b)
	case command:
		switch {
		case b == 0x07:
			c.drop()
		case b == 0x1b:
			c.state = commandST
		case b == '\n' || len(c.part) >= maxEscape:
			c.again(b)
		default:
			c.part = append(c.part, b)
		}
	case commandST:
		if b == '\\' {
			c.drop()
			return
		}
		c.again(0x1b)
		c.step(b)
	}
}

// plain handles a byte outside of sequences that is not printable ASCII.
func (c *cleaner) plain(b byte) {
	switch {
	case b == '\n':
		resumed := c.resume != ground && isNoise(c.h.slice(c.resumeAt, c.h.end()))
		c.h.newline(c.raw, c.at)
		if resumed {
			c.state = c.resume
			c.part = append(c.part[:0], c.resumePart...)
		}
		c.resume = ground
	case b == 0x1b:
		c.state = escape
	case b >= utf8.RuneSelf:
		c.state = character
		c.part = append(c.part, b)
		c.decode()
	case b >= 0x20 && b != 0x7f || b == '\t':
		c.h.put([]byte{b}, c.raw, c.at)
	}
}

// decode puts the character in part, once it is whole or known to be broken.
func (c *cleaner) decode() {
	if !utf8.FullRune(c.part) {
		return
	}
	r, size := utf8.DecodeRune(c.part)
	var rest [utf8.UTFMax]byte
	n := copy(rest[:], c.part[size:])
	if r > 0x9f { // not a C1 control character
		c.h.put(utf8.AppendRune(c.part[:0], r), c.raw-int64(n), c.at)
	}
	c.drop()
	for _, b := range rest[:n] {
		c.step(b)
	}
}
