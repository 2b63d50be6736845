package console

import (
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// What programs take a serial terminal for that has not said its size.
const (
	castWidth  = 80
	castHeight = 24
)

// cast writes an asciicast v2 recording: a header line, then a line for each
// event (docs.asciinema.org/manual/asciicast/v2).
type cast struct {
	w    io.Writer
	part []byte // of a character that the last output left unfinished
	line []byte
	err  error // the first one; nothing is written after it
}

func newCast(w io.Writer, begin time.Time) *cast {
	c := &cast{w: w}
	_, c.err = fmt.Fprintf(w, `{"version": 2, "width": %d, "height": %d, "timestamp": %d}`+"\n",
		castWidth, castHeight, begin.Unix())
	return c
}

// event writes text as output ('o') or input ('i') at the time since the
// recording's begin.
func (c *cast) event(at time.Duration, kind byte, text []byte) {
	if c.err != nil {
		return
	}
	if kind == 'o' && len(c.part) > 0 {
		text = append(c.part, text...)
		c.part = nil
	}
	whole := len(text)
	if kind == 'o' {
		whole = wholeRunes(text)
	}
	if whole > 0 {
		c.line = strconv.AppendFloat(append(c.line[:0], '['), at.Seconds(), 'f', 6, 64)
		c.line = append(c.line, `, "`...)
		c.line = append(c.line, kind)
		c.line = append(c.line, `", "`...)
		c.line = appendJSON(c.line, text[:whole])
		c.line = append(c.line, "\"]\n"...)
		_, c.err = c.w.Write(c.line)
	}
	if whole < len(text) {
		c.part = append([]byte(nil), text[whole:]...)
	}
}

// wholeRunes is the length of text without an unfinished character at its end.
func wholeRunes(text []byte) int {
	for i := len(text) - 1; i >= 0 && i >= len(text)-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			if utf8.FullRune(text[i:]) {
				break
			}
			return i
		}
	}
	return len(text)
}

// appendJSON appends text as the inside of a JSON string; invalid UTF-8 becomes U+FFFD.
func appendJSON(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	for i := 0; i < len(text); {
		b := text[i]
		if b >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(text[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		}
		i++
		switch {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b == '\n':
			dst = append(dst, `\n`...)
		case b == '\r':
			dst = append(dst, `\r`...)
		case b < 0x20 || b == 0x7f:
			dst = append(dst, `\u00`...)
			dst = append(dst, hex[b>>4], hex[b&0xf])
		default:
			dst = append(dst, b)
		}
	}
	return dst
}
