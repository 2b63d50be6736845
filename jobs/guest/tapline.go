package guest

import (
	"strconv"
	"strings"

	"b2c-runner/jobs"
)

// tapKind is what a line is in TAP.
type tapKind uint8

const (
	tapOther   tapKind = iota
	tapVersion         // "KTAP version 1", "TAP version 14"
	tapPlan            // "1..5", "1..0 # SKIP no device"
	tapResult          // "not ok 3 - name # TIMEOUT 45 seconds"
	tapBail            // "Bail out! reason"
	tapSubtest         // "# Subtest: name"
	tapNote            // "# anything else"
)

const (
	maxMarks  = 4         // "# " before each other: a kselftest within a kselftest
	maxNumber = 1<<31 - 1 // of a test or in a plan
	tabWidth  = 4         // the first KUnit indented with tabs, the later with four blanks
)

// tapLine is a line taken apart.
type tapLine struct {
	kind      tapKind
	column    int  // where the text begins; "# " counts as an indentation
	edge      int  // where the first "#" stands, else column
	marked    bool // "# " stands before the text
	ktap      bool // a version line of KTAP
	ok        bool
	number    int    // of a result, 0 if it has none; of a plan, how many
	text      string // name, reason or comment
	directive string // SKIP, TODO, XFAIL, XPASS, TIMEOUT or ERROR
	detail    string // behind the directive or the "#"
}

// parseTAP takes a line apart.
func parseTAP(s string) tapLine {
	column, marks, first, last := 0, 0, -1, -1
	i := 0
scan:
	for ; i < len(s); i++ {
		switch {
		case s[i] == ' ':
			column++
		case s[i] == '\t':
			column += tabWidth
		case s[i] == '#' && marks < maxMarks && (i+1 == len(s) || blank(s[i+1])):
			marks++
			if last = column; first < 0 {
				first = column
			}
			column++
		default:
			break scan
		}
	}
	l := parseBody(strings.TrimRight(s[i:], " \t"))
	l.column, l.edge, l.marked = column, column, marks > 0
	if marks == 0 {
		if l.kind == tapSubtest {
			l.kind = tapOther
		}
		if l.kind == tapOther && strings.HasPrefix(s[i:], "#") {
			l.kind, l.text = tapNote, strings.TrimLeft(s[i:], "# \t")
		}
		return l
	}
	l.edge = first
	switch l.kind {
	case tapSubtest: // its "#" belongs to it
		l.column, l.marked = last, marks > 1
	case tapOther:
		l.kind, l.column, l.text = tapNote, first, s[i:]
	}
	return l
}

// parseBody reads what stands behind blanks and marks.
func parseBody(s string) tapLine {
	if version, ok := strings.CutPrefix(strings.TrimPrefix(s, "K"), "TAP version "); ok {
		if n := digits(version); n > 0 && n == len(version) {
			return tapLine{kind: tapVersion, ktap: s[0] == 'K'}
		}
	}
	if plan, ok := strings.CutPrefix(s, "1.."); ok {
		n := digits(plan)
		rest := strings.TrimLeft(plan[n:], " \t")
		if n > 0 && (rest == "" || rest[0] == '#') {
			_, directive, detail := splitDirective(rest)
			return tapLine{kind: tapPlan, number: number(plan[:n]), directive: directive, detail: detail}
		}
	}
	if reason, ok := strings.CutPrefix(s, "Bail out!"); ok {
		return tapLine{kind: tapBail, text: strings.TrimSpace(reason)}
	}
	if name, ok := strings.CutPrefix(s, "Subtest: "); ok {
		return tapLine{kind: tapSubtest, text: strings.TrimSpace(name)}
	}
	return parseResult(s)
}

// parseResult reads "ok 1 - name # directive detail".
func parseResult(s string) tapLine {
	rest, passed := strings.CutPrefix(s, "ok")
	if !passed {
		var failed bool
		if rest, failed = strings.CutPrefix(s, "not ok"); !failed {
			return tapLine{}
		}
	}
	if rest != "" && !blank(rest[0]) {
		return tapLine{}
	}
	l := tapLine{kind: tapResult, ok: passed}
	rest = strings.TrimLeft(rest, " \t")
	if n := digits(rest); n > 0 && (n == len(rest) || strings.IndexByte(" \t-#", rest[n]) >= 0) {
		l.number = number(rest[:n])
		rest = strings.TrimLeft(rest[n:], " \t")
	}
	if rest == "-" || strings.HasPrefix(rest, "- ") {
		rest = rest[1:]
	}
	l.text, l.directive, l.detail = splitDirective(rest)
	return l
}

// verdict of a result. What was skipped or expected to fail does not fail; what
// ran out of time or could not run does, whatever stands before it.
func (l tapLine) verdict() jobs.Verdict {
	switch l.directive {
	case "SKIP", "TODO", "XFAIL":
		return jobs.Pass
	case "TIMEOUT", "ERROR":
		return jobs.Fail
	}
	if l.ok {
		return jobs.Pass
	}
	return jobs.Fail
}

// splitDirective splits "name # SKIP detail" at the first known directive, else
// at the first "#" with blanks around it, so that "# exit=1" is no part of a name.
// "\#" is a character of the name.
func splitDirective(s string) (name, directive, detail string) {
	at := -1
	for i := range len(s) {
		if s[i] != '#' || i > 0 && !blank(s[i-1]) {
			continue
		}
		rest := strings.TrimLeft(s[i+1:], " \t")
		if word := directiveOf(rest); word != "" {
			end := strings.IndexAny(rest, " \t:")
			if end < 0 {
				end = len(rest)
			}
			return unescape(s[:i]), word, strings.Trim(rest[end:], " \t:")
		}
		if at < 0 && i+1 < len(s) && blank(s[i+1]) {
			at = i
		}
	}
	if at < 0 {
		return unescape(s), "", ""
	}
	return unescape(s[:at]), "", strings.TrimSpace(s[at+1:])
}

// directiveOf is the directive that s begins with. TAP's own may be in lower
// case, and "skipped" is one.
func directiveOf(s string) string {
	n := 0
	for n < len(s) && s[n]|0x20-'a' < 26 {
		n++
	}
	word := s[:n]
	switch upper := strings.ToUpper(word); {
	case strings.HasPrefix(upper, "SKIP"):
		return "SKIP"
	case upper == "TODO":
		return "TODO"
	}
	switch word {
	case "XFAIL", "XPASS", "TIMEOUT", "ERROR":
		return word
	}
	return ""
}

func unescape(s string) string {
	return strings.TrimSpace(strings.ReplaceAll(s, `\#`, "#"))
}

// number reads decimal digits; what is too large becomes maxNumber.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return maxNumber
	}
	return min(n, maxNumber)
}

func blank(b byte) bool { return b == ' ' || b == '\t' }
