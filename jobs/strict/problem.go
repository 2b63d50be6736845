package strict

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Problem is one mistake in a file. Line and Column count from 1, columns in
// characters.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path,omitempty"` // of the value, such as steps[2].expect
	Message string `json:"message"`
	Warning bool   `json:"warning,omitempty"`
}

// String is "file:line:column: path: message".
func (p Problem) String() string {
	s := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Warning {
		s += "warning: "
	}
	if p.Path != "" {
		s += p.Path + ": "
	}
	return s + p.Message
}

// Problems are the mistakes of a file; as an error it has one line for each.
type Problems []Problem

// Error is one line per problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// maxProblems bounds what a hostile file can make us print.
const maxProblems = 500

func (ps Problems) sorted(warnings bool) Problems {
	var out Problems
	for _, p := range ps {
		if p.Warning == warnings {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	// A value that is repeated through an alias is wrong only once.
	return slices.CompactFunc(out, func(a, b Problem) bool {
		return a.Line == b.Line && a.Column == b.Column && a.Message == b.Message
	})
}

// at reports message at n and remembers that path is wrong.
func (d *Doc) at(path string, n *yaml.Node, message string) {
	d.spoil(path)
	d.add(Problem{File: d.file, Line: n.Line, Column: n.Column, Path: path, Message: message})
}

// spoil remembers that path is wrong.
func (d *Doc) spoil(path string) {
	d.wrong[path] = true
	for path != "" {
		path = parent(path)
		d.around[path] = true
	}
}

func (d *Doc) add(p Problem) {
	d.mistakes++
	p.Line, p.Column, p.Message = max(p.Line, 1), max(p.Column, 1), harmless(p.Message)
	switch {
	case len(d.problems) < maxProblems:
		d.problems = append(d.problems, p)
	case len(d.problems) == maxProblems:
		p.Path, p.Message, p.Warning = "", "and more mistakes, not listed", false
		d.problems = append(d.problems, p)
	}
}

// checkText refuses what is no text: too long, not UTF-8, or with control
// characters.
func checkText(file string, data []byte) *Problem {
	if len(data) > MaxSize {
		return &Problem{File: file, Message: fmt.Sprintf("the file is larger than %d bytes", MaxSize)}
	}
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		at := &Problem{File: file, Line: line, Column: column}
		switch {
		case r == utf8.RuneError && size == 1:
			at.Message = fmt.Sprintf("not UTF-8: byte %#02x", data[i])
			return at
		case r == '\n':
			line, column = line+1, 0
		case r != '\t' && r != '\r' && unicode.IsControl(r):
			at.Message = fmt.Sprintf("control character %U (try: write it as an escape in double quotes)", r)
			return at
		}
		i += size
		column++
	}
	return nil
}

var (
	syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)
	// parserError is what the parser says, not the scanner: it counts lines from 0.
	parserError   = regexp.MustCompile(`^did not find expected (node content|key|',|'-|<)|^found undefined tag handle`)
	unknownAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`)
)

// syntaxProblem places an error of the YAML parser, which knows at most a line.
func syntaxProblem(file string, data []byte, err error) Problem {
	if errors.Is(err, io.EOF) {
		return Problem{File: file, Line: 1, Column: 1, Message: "the file is empty"}
	}
	p := Problem{File: file, Line: 1, Column: 1, Message: "not YAML: " + err.Error()}
	if m := syntaxLine.FindStringSubmatch(err.Error()); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Message = "not YAML: " + m[2]
		if m[1] != "" && parserError.MatchString(m[2]) {
			p.Line++
		}
	}
	if m := unknownAnchor.FindStringSubmatch(err.Error()); m != nil {
		if before, _, ok := bytes.Cut(data, []byte("*"+m[1])); ok {
			p.Line = 1 + bytes.Count(before, []byte("\n"))
			p.Column = 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
		}
	}
	if strings.Contains(p.Message, "tab character") || strings.Contains(p.Message, "cannot start any token") {
		p.Message += " (indent with spaces; quote a value that starts with @, ` or %)"
	}
	if strings.Contains(p.Message, "mapping values are not allowed") {
		p.Message += " (quote a value that holds \": \")"
	}
	return p
}

// quote shows text of the file: short, and harmless on a terminal.
func quote(s string) string {
	const longest = 60
	if utf8.RuneCountInString(s) > longest {
		s = string([]rune(s)[:longest]) + "…"
	}
	return strconv.Quote(s)
}

// harmless makes a message fit for one line of a terminal.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
