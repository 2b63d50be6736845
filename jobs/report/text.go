package report

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// escapeSequence is what moves a terminal's cursor or changes its colours
// (ECMA-48: CSI, OSC and the short ones).
var escapeSequence = regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]{0,1000}(?:\x07|\x1b\\\\)|[ -/]*[0-~])")

// clean makes text of a board fit for XML: escape sequences go, line ends become
// "\n", and what XML 1.0 (section 2.2) does not allow becomes U+FFFD. GitLab's
// attachment mark, which a board could forge, is broken.
func clean(s string) string {
	if strings.Contains(s, "\x1b") {
		s = escapeSequence.ReplaceAllString(s, "")
	}
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	s = strings.Map(func(r rune) rune {
		switch {
		case r < ' ' && r != '\n' && r != '\t', r == 0xFFFE, r == 0xFFFF:
			return utf8.RuneError
		default:
			return r // invalid UTF-8 comes as U+FFFD
		}
	}, s)
	return strings.ReplaceAll(s, "[[ATTACHMENT|", "[ATTACHMENT|")
}

// leftOut marks where clip cut.
const leftOut = "\n[… left out …]\n"

// clip cleans s and cuts out its middle, so that at most max bytes of XML are
// left, most of them from the end. It looks at little more than it keeps.
func clip(s string, limit int) string {
	var head, tail string
	cut := len(s) > 2*limit
	if cut {
		head, tail = clean(s[:limit/2]), clean(s[len(s)-limit:])
	} else {
		head = clean(s)
		tail = head
		cut = escapedSize(head) > limit
	}
	if !cut {
		return head
	}
	limit = max(limit-len(leftOut), 0)
	return head[:headOf(head, limit/4)] + leftOut + tail[tailOf(tail, limit-limit/4):]
}

// headOf is the length of the longest beginning of s that takes at most limit
// bytes of XML.
func headOf(s string, limit int) int {
	for i, r := range s {
		if limit -= len(escaped(r)); limit < 0 {
			return i
		}
	}
	return len(s)
}

// tailOf is where the longest end of s begins that takes at most limit bytes of
// XML.
func tailOf(s string, limit int) int {
	for i := len(s); i > 0; {
		r, size := utf8.DecodeLastRuneInString(s[:i])
		if limit -= len(escaped(r)); limit < 0 {
			return i
		}
		i -= size
	}
	return 0
}

// line makes s one clean line of at most limit bytes of XML.
func line(s string, limit int) string {
	s = strings.Join(strings.Fields(clean(s[:min(len(s), 4*limit)])), " ")
	if n := headOf(s, limit); n < len(s) {
		const more = "…"
		return s[:headOf(s, limit-len(more))] + more
	}
	return s
}

// escaped is r as XML has it, in text and in attributes.
func escaped(r rune) string {
	switch r {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;" // "]]>" may not stand in text
	case '"':
		return "&quot;"
	default:
		return string(r)
	}
}

func escapedSize(s string) int {
	n := 0
	for _, r := range s {
		n += len(escaped(r))
	}
	return n
}
