package jobs

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"

	"b2c-runner/jobs/strict"
)

// maxRun is the longest command of a run step: a terminal cuts input lines at
// 4095 bytes (termios(3), canonical mode), and the end marker is added to it.
const maxRun = 3000

func (s *Step) validate(doc *strict.Doc, path string) {
	has := func(key string) bool { return doc.Has(path + "." + key) }
	switch {
	case has("send") && has("run"):
		doc.Errorf(path, "send and run in one step (try: two steps)")
	case has("send") && has("expect"):
		doc.Errorf(path, "send and expect in one step (try: two steps, or run)")
	case !has("send") && !has("run") && !has("expect"):
		doc.Errorf(path, "want one of expect, send and run")
	}
	if strings.ContainsFunc(s.Name, unicode.IsControl) || len(s.Name) > 200 {
		doc.Errorf(path+".name", "want at most 200 printable characters")
	}
	if has("send") && s.Send == "" {
		doc.Errorf(path+".send", "is empty")
	}
	if has("run") {
		switch {
		case strings.TrimSpace(s.Run) == "":
			doc.Errorf(path+".run", "is empty")
		case strings.ContainsFunc(s.Run, unicode.IsControl):
			doc.Errorf(path+".run", "want one line without control characters (try: a step for each line, or send)")
		case len(s.Run) > maxRun:
			doc.Errorf(path+".run", "is %d bytes long, a terminal takes %d (try: a script in the image)", len(s.Run), maxRun)
		}
	}
	if s.Expect != nil {
		s.Expect.validate(doc, path+".expect")
	}
	checkTimeout(doc, path+".timeout", s.Timeout)
}

func (e *Expect) validate(doc *strict.Doc, path string) {
	if len(e.Pass) == 0 {
		doc.Errorf(path, "has no pattern to pass")
	}
	check := func(key string, patterns []string) {
		for i, p := range patterns {
			if what := badPattern(p); what != "" {
				doc.Errorf(doc.Given(strict.Index(path+"."+key, i)), "%s", what)
			}
		}
	}
	check("pass", e.Pass)
	check("fail", e.Fail)
}

// badPattern says why p cannot be used on the console's lines, or "".
func badPattern(p string) string {
	const longest = 1000
	if len(p) > longest {
		return fmt.Sprintf("pattern of %d bytes, at most %d are taken", len(p), longest)
	}
	re, err := regexp.Compile(p)
	if err != nil {
		return fmt.Sprintf("%v (patterns are RE2; a literal character needs a backslash)", err)
	}
	if re.MatchString("") {
		return fmt.Sprintf("pattern %q matches nothing at all, so it would match at once", p)
	}
	tree, err := syntax.Parse(p, syntax.Perl)
	if err == nil && crossesLines(tree) {
		return fmt.Sprintf("pattern %q needs a line break, but it is matched on single lines, without their end (try: a step for each line, and $ for the end)", p)
	}
	return ""
}

// crossesLines reports whether re cannot do without a character that lines never
// have, or says with (?s) that it wants to run over their ends.
func crossesLines(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpQuest, syntax.OpStar:
		return re.Sub[0].Op == syntax.OpAnyChar
	case syntax.OpAnyChar:
		return true
	case syntax.OpLiteral:
		return strings.ContainsAny(string(re.Rune), "\r\n")
	case syntax.OpCharClass:
		return !strings.ContainsFunc(classRunes(re.Rune), func(r rune) bool { return r != '\r' && r != '\n' })
	}
	for _, sub := range re.Sub {
		if crossesLines(sub) {
			return true
		}
	}
	return false
}

// classRunes returns some of the runes of a class, all of them if it has few.
func classRunes(ranges []rune) string {
	var b strings.Builder
	for i := 0; i+1 < len(ranges); i += 2 {
		for r := ranges[i]; r <= ranges[i+1] && r < ranges[i]+3; r++ {
			b.WriteRune(r)
		}
	}
	return b.String()
}
