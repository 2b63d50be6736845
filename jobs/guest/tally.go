package guest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"b2c-runner/jobs"
)

const (
	maxCases    = 100_000
	maxProblems = 100
	maxName     = 200      // bytes of a test's or suite's own name
	maxPath     = 400      // bytes of a name with its suites
	maxMessage  = 500      // bytes
	maxNotes    = 100      // lines of a case's output
	maxOutputs  = 32 << 20 // bytes of all outputs
)

// suite is a group of tests. Its name may be known only after its tests.
type suite struct {
	name     string
	parent   *suite
	replaced bool // another run began in its place
	listed   bool // waits for the result that names it
}

// path is the suite's name with those above it, "" for what is in no suite.
func (s *suite) path() string {
	var names []string
	for ; s != nil; s = s.parent {
		if s.name != "" {
			names = append(names, s.name)
		}
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}

// unexplained is the message of a test that failed without a word.
const unexplained = "not ok"

// result is a testcase in the making.
type result struct {
	kind     Kind
	suite    *suite // with path; nil if class and name are full already
	class    string
	name     string
	verdict  jobs.Verdict
	message  string
	output   []string
	duration time.Duration
}

func (r *result) failed() bool { return r.verdict != jobs.Pass }

// tally holds what was found.
type tally struct {
	results  []*result
	problems []string
	unlisted int // problems
	dropped  int // results
	lost     int // of these, failures
	outputs  int // bytes
}

func (t *tally) full() bool { return len(t.results) >= maxCases }

// add keeps r, if there is room.
func (t *tally) add(r *result) {
	if t.full() {
		t.dropped++
		if r.failed() {
			t.lost++
		}
		return
	}
	r.class, r.name, r.message = tidy(r.class, maxName), cmp.Or(tidy(r.name, maxName), "(no name)"), tidy(r.message, maxMessage)
	t.results = append(t.results, r)
}

// append adds lines to the output of r, of which the first maxNotes stay.
func (t *tally) append(r *result, lines []string) {
	for _, l := range lines[:min(len(lines), maxNotes-len(r.output))] {
		if t.outputs+len(l) > maxOutputs {
			return
		}
		t.outputs += len(l) + 1
		r.output = append(r.output, l)
	}
}

// explain adds lines to the output of a failure, and a message if it has none.
func (t *tally) explain(r *result, lines notes) {
	if r.message == unexplained {
		r.message = lines.cause(unexplained)
	}
	t.append(r, lines)
}

func (t *tally) problem(format string, args ...any) {
	if len(t.problems) >= maxProblems {
		t.unlisted++
		return
	}
	t.problems = append(t.problems, tidy(fmt.Sprintf(format, args...), maxMessage))
}

func (t *tally) cases() []jobs.Case {
	var out []jobs.Case
	for _, r := range t.results {
		c := jobs.Case{
			Class: r.class, Name: r.name, Verdict: r.verdict, Message: r.message,
			Output: strings.Join(r.output, "\n"), Duration: r.duration,
		}
		if r.suite != nil {
			if path := r.suite.path(); path != "" {
				c.Class, c.Name = path, path+"/"+r.name
			}
		}
		c.Class = tail(cmp.Or(c.Class, string(r.kind)), maxPath)
		c.Name = tail(c.Name, maxPath)
		out = append(out, c)
	}
	if t.lost > 0 {
		out = append(out, jobs.Case{
			Class: "results", Name: "left out", Verdict: jobs.Fail,
			Message: fmt.Sprintf("%d more results, %d of them failures", t.dropped, t.lost),
		})
	}
	return out
}

func (t *tally) complaints() []string {
	out := slices.Clone(t.problems)
	if t.unlisted > 0 {
		out = append(out, fmt.Sprintf("%d more problems", t.unlisted))
	}
	if t.dropped > 0 {
		out = append(out, fmt.Sprintf("%d results left out, %d of them failures: only %d are kept", t.dropped, t.lost, maxCases))
	}
	return out
}

// notes are the last lines of some text.
type notes []string

func (n *notes) add(text string) {
	if len(*n) >= maxNotes {
		*n = (*n)[1:]
	}
	*n = append(*n, tidy(text, maxMessage))
}

// cause is the first line that speaks of a failure, else the first, else other.
func (n notes) cause(other string) string {
	for _, l := range n {
		if lower := strings.ToLower(l); strings.Contains(lower, "fail") || strings.Contains(lower, "error") {
			return l
		}
	}
	if len(n) > 0 {
		return n[0]
	}
	return other
}

// tidy makes s valid and at most limit bytes long.
func tidy(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > limit {
		return clip(s, limit-len("…")) + "…"
	}
	return strings.Clone(s)
}

// tail keeps the end of s, where the names differ.
func tail(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return "…" + strings.ToValidUTF8(s[len(s)-limit+len("…"):], "")
}
