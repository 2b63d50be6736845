package guest

import (
	"hash/maphash"
	"strings"
	"unicode/utf8"
)

const (
	maxLine = 8 << 10 // bytes of a line that are read
	maxSeen = 200_000 // kernel lines remembered
)

// clockSlack in microseconds: processors take a line's time before its place in
// the kernel's log, so that times of neighbours can be swapped.
const clockSlack = 10_000

// line is a line of one origin.
type line struct {
	text   string // without the kernel's prefix
	kernel bool   // printed by the kernel, or written to /dev/kmsg
}

// splitter tells kernel lines from other output, and puts together a line that a
// kernel line has cut. Kernel lines that are printed again, by dmesg, are left
// out.
type splitter struct {
	carry  string // begin of a line that a kernel line has cut
	seed   maphash.Seed
	seen   map[uint64]struct{} // kernel lines that mean something to a parser
	newest int64               // time of the newest kernel line, microseconds
	clock  int64               // time of the last one: a reboot sets it back
	again  bool                // the last one was there before
}

// split takes a console line apart into the lines that are complete by now.
func (s *splitter) split(text string, rank func(string) rank) []line {
	text = clip(text, maxLine)
	if n, micros := stamp(text); n > 0 {
		return s.kernel(nil, text, n, micros, rank)
	}
	at, n, micros := s.findCut(text)
	if at < 0 {
		if n := levelLength(text); n > 0 && s.carry == "" {
			return []line{{text[n:], true}}
		}
		return s.join(text, rank)
	}
	var out []line
	if s.carry != "" {
		lines := s.join(text[:at], rank)
		last := len(lines) - 1
		out, s.carry = lines[:last], lines[last].text
	} else {
		s.carry = text[:at]
	}
	s.carry = clip(s.carry, maxLine)
	return s.kernel(out, text[at:], n, micros, rank)
}

// rest is the line that was cut and not continued.
func (s *splitter) rest() []line {
	if s.carry == "" {
		return nil
	}
	out := []line{{text: s.carry}}
	s.carry = ""
	return out
}

// kernel appends a kernel line whose stamp has n bytes.
func (s *splitter) kernel(out []line, text string, n int, micros int64, rank func(string) rank) []line {
	message := strings.TrimPrefix(text[n:], " ")
	message = message[levelLength(message):]
	if rank(message) != foreign {
		s.again = s.replayed(text[levelLength(text):])
	}
	s.clock = micros
	if s.again && micros < s.newest {
		return out
	}
	s.newest = max(s.newest, micros)
	return append(out, line{message, true})
}

// replayed reports whether a kernel line was there before, and remembers it. With a
// coarse clock two messages can be equal: it needs an earlier time, too, to be one
// that is shown again.
func (s *splitter) replayed(text string) bool {
	if s.seen == nil {
		s.seed, s.seen = maphash.MakeSeed(), map[uint64]struct{}{}
	}
	h := maphash.String(s.seed, text)
	_, again := s.seen[h]
	if len(s.seen) < maxSeen {
		s.seen[h] = struct{}{}
	}
	return again
}

// findCut is where in text a kernel line begins that has cut it, with the length
// of its stamp; -1 if none. A kernel line of an earlier time, which a program
// shows, cuts nothing.
func (s *splitter) findCut(text string) (at, n int, micros int64) {
	for from := 0; ; from++ {
		i := strings.IndexByte(text[from:], '[')
		if i < 0 {
			return -1, 0, 0
		}
		from += i
		if n, micros = stamp(text[from:]); n == 0 || micros < s.clock-clockSlack {
			continue
		}
		if level := strings.LastIndexByte(text[:from], '<'); level >= 0 && level+levelLength(text[level:]) == from {
			return level, n + from - level, micros
		}
		return from, n, micros
	}
}

// join puts the halves of a cut line together. They stay apart if each is a result,
// for then the first half's end was lost, and if the second is a result and the
// two together mean nothing: behind a prompt. They stay apart too if the first is nothing but
// the "# " of a program that shows the kernel's log, as the next line's own "# "
// betrays.
func (s *splitter) join(text string, rank func(string) rank) []line {
	carry := s.carry
	s.carry = ""
	if carry == "" {
		return []line{{text: text}}
	}
	shown := strings.Contains(carry, "#") && strings.Trim(carry, "# \t") == "" && strings.HasPrefix(text, "#")
	apart := rank(text) == whole && (rank(carry) == whole || rank(carry+text) == foreign)
	switch {
	case shown:
		return []line{{text: text}}
	case apart:
		return []line{{text: carry}, {text: text}}
	default:
		return []line{{text: clip(carry+text, maxLine)}}
	}
}

// stamp is the length of what printk puts before a message, without the blank
// behind it: an optional level "<6>", the time "[   12.345678]" (kernel/printk/printk.c,
// print_time) and an optional caller "[    T1]"; and the time in microseconds. The
// length is 0 if s begins otherwise.
func stamp(s string) (length int, micros int64) {
	i := levelLength(s)
	if i == len(s) || s[i] != '[' {
		return 0, 0
	}
	for i++; i < len(s) && s[i] == ' '; i++ {
	}
	seconds := digits(s[i:])
	if seconds == 0 || seconds > 10 || i+seconds == len(s) || s[i+seconds] != '.' {
		return 0, 0
	}
	fraction := digits(s[i+seconds+1:])
	end := i + seconds + 1 + fraction
	if fraction != 6 || end == len(s) || s[end] != ']' {
		return 0, 0
	}
	for _, d := range []byte(s[i:end]) {
		if d != '.' {
			micros = 10*micros + int64(d-'0')
		}
	}
	end++
	if end < len(s) && s[end] == '[' {
		if n := strings.IndexByte(s[end:min(len(s), end+12)], ']'); n > 0 {
			end += n + 1
		}
	}
	if end < len(s) && s[end] != ' ' {
		return 0, 0
	}
	return end, micros
}

// levelLength is the length of a syslog level "<6>" at the begin of s, or 0.
func levelLength(s string) int {
	if s == "" || s[0] != '<' {
		return 0
	}
	n := digits(s[1:])
	if n == 0 || n > 3 || n+1 == len(s) || s[n+1] != '>' {
		return 0
	}
	return n + 2
}

// digits counts the decimal digits that s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n]-'0' < 10 {
		n++
	}
	return n
}

// clip cuts s to at most limit bytes, between characters.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
