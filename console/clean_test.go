package console

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// cleaned is the text of raw, fed in reads of size bytes.
func cleaned(raw []byte, size int) *history {
	h := newHistory(40 * len(raw))
	c := newCleaner(h)
	for i := 0; i < len(raw); i += size {
		c.feed(raw[i:min(len(raw), i+size)], int64(i))
	}
	c.finish()
	return h
}

func (h *history) all() string { return string(h.slice(h.base, h.end())) }

func TestClean(t *testing.T) {
	tests := []struct{ name, raw, want string }{
		{"line ends", "a\r\nb\n\rc\r\r\n", "a\nb\nc\n"},
		{"a lone return does not hide what was before", "10%\r20%\rdone\n", "10%20%done\n"},
		{"junk at power-up", "\x00\x00\xff\xfe\x80U-Boot\r\n", "\ufffd\ufffd\ufffdU-Boot\n"},
		{"control bytes", "a\x07\x08b\x7f\x0ec\td\n", "abc\td\n"},
		{"colours", "\x1b[0;31m[ 1.0]: ERROR\x1b[0m\n", "[ 1.0]: ERROR\n"},
		{"terminal query", "\x1b7\x1b[r\x1b[999;999H\x1b[6n\x1b8/ # \x1b[6n", "/ # "},
		{"GitLab section", "\x1b[0Ksection_start:1:x[collapsed=true]\r\x1b[0K\x1b[0;36m[2]: title\x1b[0m\n", "section_start:1:x[collapsed=true][2]: title\n"},
		{"window title", "\x1b]0;root@h: ~\x07root@h:~# ", "root@h:~# "},
		{"window title with ST", "\x1b]0;root\x1b\\# ", "# "},
		{"device control", "\x1bP+q6b\x1b\\x", "x"},
		{"character sets", "\x1b(B\x1b)0x", "x"},
		{"private modes", "\x1b[?2004h# \x1b[?25l\x1b[>c", "# "},
		{"two-byte escapes", "\x1bD\x1bc\x1b=x", "x"},
		{"an endless string gives its text back", "\x1b]not a title\nlogin: ", "]not a title\nlogin: "},
		{"a broken sequence gives its text back", "\x1b[12\nab", "[12\nab"},
		{"escape at the end", "x\x1b[1", "x[1"},
		{"escape within a string", "\x1b]0;a\x1b[1mb", "]0;ab"},
		{"UTF-8", "Grüße, 世界 \U0001F427\n", "Grüße, 世界 \U0001F427\n"},
		{"broken UTF-8", "a\xc3(b\xe4\xb8\nc\xf0\x9f\x90", "a\ufffd(b\ufffd\ufffd\nc\ufffd"},
		{"C1 controls", "a\u009b31mb", "a31mb"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for size := 1; size <= len(tt.raw); size++ {
				if diff := cmp.Diff(tt.want, cleaned([]byte(tt.raw), size).all()); diff != "" {
					t.Errorf("in reads of %d (-want +got):\n%s", size, diff)
				}
			}
		})
	}
}

func TestCleanMarksLines(t *testing.T) {
	raw := "one\r\n\x1b[1mtwo\r\n\r\nthree"
	for _, size := range []int{1, 2, 5, 100} {
		h := cleaned([]byte(raw), size)
		for line, want := range map[int]int64{0: 0, 1: 5, 2: 14, 3: 16} {
			if got := h.mark(line); got.raw != want || got.at != want/int64(size)*int64(size) {
				t.Errorf("reads of %d: line %d begins at %d, came at %d; want %d", size, line, got.raw, got.at, want)
			}
		}
	}
}

func TestOverlongLinesAreCut(t *testing.T) {
	h := cleaned(bytes.Repeat([]byte("x"), 3*maxLine+10), 1000)
	if h.last() != 3 || len(h.open()) != 10 {
		t.Errorf("%d lines, the last of %d bytes; want 3 and 10", h.last(), len(h.open()))
	}
	if m := h.mark(1); m.raw != maxLine {
		t.Errorf("the second line begins at %d of the log, want %d", m.raw, maxLine)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	for name, raw := range map[string]string{
		"text": strings.Repeat("x", 99) + "\n", "empty lines": "\n\n\n\n", "one line": "y", "invalid": "\xff\xff\n",
	} {
		h := newHistory(256 << 10)
		c := newCleaner(h)
		block := []byte(strings.Repeat(raw, 8192/len(raw)))
		for range 200 {
			c.feed(block, 0)
		}
		if size := len(h.buf) - h.lo; size > h.limit+maxLine || cap(h.buf) > 3*h.limit || cap(h.marks)*24 > 2*h.limit {
			t.Errorf("%s: %d bytes kept, room for %d and %d lines", name, size, cap(h.buf), cap(h.marks))
		}
		if h.base == 0 {
			t.Errorf("%s: nothing left", name)
		}
	}
}

// FuzzClean: whatever comes, and however it is cut, the text is valid, has no
// control bytes, and holds every plain word of the raw bytes.
func FuzzClean(f *testing.F) {
	f.Add([]byte("\x1b[0;31mER\x1b[0mROR\r\n[   12.345678] x\r\n"), uint8(1))
	f.Add([]byte("\x1b[[   12.345678] x\r\n1m\x1b<\xc3\xa4\xff\x1b]0;t\x07"), uint8(3))
	f.Add([]byte("\x1b[1;3<4>[   12.345678] x\r\n2mroot\x1b(\n"), uint8(2))
	f.Fuzz(func(t *testing.T, raw []byte, size uint8) {
		h := cleaned(raw, int(size)+1)
		text := h.all()
		if !utf8.ValidString(text) {
			t.Fatalf("%q became invalid: %q", raw, text)
		}
		if i := strings.IndexFunc(text, func(r rune) bool { return r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 }); i >= 0 {
			t.Fatalf("%q became %q", raw, text)
		}
		if whole := cleaned(raw, len(raw)+1).all(); whole != text {
			t.Fatalf("%q in reads of %d is %q, at once %q", raw, int(size)+1, text, whole)
		}
		if h.lo > 0 || len(h.buf) > 3*len(raw)+len(raw)/maxLine {
			t.Fatalf("%d bytes became %d", len(raw), len(h.buf))
		}
		for line := range bytes.SplitSeq(raw, []byte("\n")) {
			if len(line) < maxLine && !bytes.ContainsFunc(line, func(r rune) bool { return r < 0x20 || r > 0x7e }) &&
				!bytes.Contains(raw, []byte{0x1b}) && !strings.Contains(text, string(line)) {
				t.Fatalf("%q of %q is not in %q", line, raw, text)
			}
		}
	})
}
