package console

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
)

// mark10 is ten random letters that mark one command's output. Letters of which
// no ERROR, FAIL or WARN can be made are left out.
type mark10 string

func newMark() mark10 {
	const letters = "BCGHJKMPQSTVXYZ"
	b := make([]byte, 10)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return mark10(b)
}

// The marks as the shell prints them. That of the end is printed twice, so that
// one can be broken by a kernel line that has no time.
func (m mark10) begin() string { return string(m) + "{" }
func (m mark10) more() string  { return string(m) + "+" }
func (m mark10) end() *regexp.Regexp {
	return regexp.MustCompile(string(m) + `:([0-9]{1,3}):`)
}

// print is the shell command that prints the mark, followed by a format. In what
// is typed the two halves of the mark never stand together.
func (m mark10) print(format, args string) string {
	return fmt.Sprintf(`printf '%s%%s%s\n' %s%s`, string(m[:5]), format, string(m[5:]), args)
}

// maxTyped is the longest piece of a command that is typed on one line: busybox
// reads no more than 1023 bytes, what pads it included.
const maxTyped = 400

// typed is what to type for cmd: usually one line, several for a long command.
// eval keeps a comment, an open quote or a syntax error within cmd from taking
// the end mark along; `command` keeps dash from dropping the line then.
func (m mark10) typed(cmd string) ([]string, error) {
	if strings.ContainsRune(cmd, 0) {
		return nil, errors.New("failed to run a command: it has a NUL byte")
	}
	if strings.HasPrefix(cmd, "-") {
		cmd = " " + cmd
	}
	if len(cmd) <= maxTyped && !strings.ContainsFunc(cmd, needsEscape) {
		return []string{m.around("'" + cmd + "'")}, nil
	}
	var lines []string
	for i, piece := range pieces(cmd) {
		before := ""
		if i > 0 {
			before = "$_b2c"
		}
		lines = append(lines, fmt.Sprintf("_b2c=%s'%s';%s", before, piece, m.print("+", "")))
	}
	if len(lines) == 1 {
		return []string{m.around(`"$(printf %b '` + pieces(cmd)[0] + `')"`)}, nil
	}
	return append(lines, m.around(`"$(printf %b "$_b2c")"`)), nil
}

// around is a line that runs the quoted command between its marks.
func (m mark10) around(quoted string) string {
	end := fmt.Sprintf(`printf '\n%s%%s:%%d:\n' %s $? %s $?`, string(m[:5]), string(m[5:]), string(m[5:]))
	return m.print("{", "") + ";command eval " + quoted + ";" + end
}

// needsEscape reports what cannot be typed within single quotes: the quote
// itself, bash's history character, and what a line editor acts upon.
func needsEscape(r rune) bool {
	return r == '\'' || r == '!' || r < 0x20 || r > 0x7e
}

// pieces is cmd for printf %b, cut so that no escape is split.
func pieces(cmd string) []string {
	var all []string
	var b strings.Builder
	for i := range len(cmd) {
		if c := cmd[i]; c == '\\' || needsEscape(rune(c)) {
			fmt.Fprintf(&b, `\0%03o`, c)
		} else {
			b.WriteByte(c)
		}
		if b.Len() >= maxTyped || i == len(cmd)-1 {
			all = append(all, b.String())
			b.Reset()
		}
	}
	return all
}
