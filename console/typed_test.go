package console

import (
	"strings"
	"testing"
)

// TestTyped: what is typed fits a line of busybox, has nothing that a line editor
// or bash's history acts upon, and never the mark in one piece.
func TestTyped(t *testing.T) {
	for _, cmd := range []string{
		"", "uname -m", "echo 'a'!!\n\tb\x1b[A\x7f", strings.Repeat("é'", 999), strings.Repeat("x ", 999), `printf '\\n'`, "-x",
	} {
		mark := newMark()
		lines, err := mark.typed(cmd)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if len(line) > 700 || strings.Contains(line, string(mark)) || strings.ContainsFunc(line, func(r rune) bool { return r == '!' || r < 0x20 || r > 0x7e }) {
				t.Errorf("%q is typed as %d bytes %q", cmd, len(line), line)
			}
		}
	}
	if _, err := newMark().typed("a\x00b"); err == nil {
		t.Error("a NUL byte was taken")
	}
}
