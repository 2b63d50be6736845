package consoletest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Shell is a Port at a shell's prompt: it echoes what is typed, and understands
// the lines that console's Run types, and plain commands.
type Shell struct {
	*Port
	Prompt string // "/ # " if empty
	// Command is what a command prints and its exit status; a negative status is
	// a command that never ends.
	Command func(cmd string) (output string, status int)
	// Filter, if set, may change what is printed for a line that was typed: its
	// echo, the output and the next prompt.
	Filter func(printed string) string

	mu       sync.Mutex
	line     []byte
	variable string
}

// NewShell makes a Shell that has printed its prompt.
func NewShell(command func(cmd string) (output string, status int)) *Shell {
	s := &Shell{Port: New(), Prompt: "/ # ", Command: command}
	s.Feed(Say(s.Prompt))
	return s
}

// Write types at the shell.
func (s *Shell) Write(b []byte) (int, error) {
	n, err := s.Port.Write(b)
	if err != nil {
		return n, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range b {
		if c != '\n' && c != '\r' {
			s.line = append(s.line, c)
			continue
		}
		line := string(s.line)
		s.line = s.line[:0]
		output, ended := s.run(line)
		printed := strings.ReplaceAll(line+"\n"+output, "\n", "\r\n")
		if ended {
			printed += s.Prompt
		}
		if s.Filter != nil {
			printed = s.Filter(printed)
		}
		s.Feed(Say(printed))
	}
	return n, nil
}

var (
	aroundLine = regexp.MustCompile(`^printf '(\w+)%s\{\\n' (\w+);command eval (.*);printf '\\n\w+%s:%d:\\n' \w+ \$\? \w+ \$\?$`)
	pieceLine  = regexp.MustCompile(`^_b2c=(\$_b2c)?'([^']*)';printf '(\w+)%s\+\\n' (\w+)$`)
	inlineText = regexp.MustCompile(`^"\$\(printf %b '([^']*)'\)"$`)
	octal      = regexp.MustCompile(`\\0[0-7]{3}`)
)

// run is what a typed line prints, and whether the prompt comes back.
func (s *Shell) run(line string) (output string, ended bool) {
	if m := pieceLine.FindStringSubmatch(line); m != nil {
		if m[1] == "" {
			s.variable = ""
		}
		s.variable += m[2]
		return m[3] + m[4] + "+\n", true
	}
	m := aroundLine.FindStringSubmatch(line)
	if m == nil {
		output, status := s.Command(line)
		return output, status >= 0
	}
	cmd := strings.Trim(m[3], "'")
	if m[3] == `"$(printf %b "$_b2c")"` {
		cmd = unescape(s.variable)
	} else if inline := inlineText.FindStringSubmatch(m[3]); inline != nil {
		cmd = unescape(inline[1])
	}
	output, status := s.Command(cmd)
	output = m[1] + m[2] + "{\n" + output
	if status < 0 {
		return output, false
	}
	end := fmt.Sprintf("\n%s%s:%d:\n", m[1], m[2], status)
	return output + end + end, true
}

// unescape is printf's %b.
func unescape(text string) string {
	return octal.ReplaceAllStringFunc(text, func(code string) string {
		n, err := strconv.ParseUint(code[1:], 8, 8)
		if err != nil {
			return code
		}
		return string([]byte{byte(n)})
	})
}
