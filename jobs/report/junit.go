package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"b2c-runner/jobs"
)

// Limits of a JUnit file, in bytes of XML. GitLab takes files of less than 30 MB
// and fails on text of more than about 10 MB.
const (
	maxText  = 1 << 20
	maxCases = 20_000_000 // names and messages of all cases
	maxTotal = 28_000_000
	maxName  = 200
	maxError = 1000
)

// tailLines is how much of the console stands in the failure itself; all of the
// tail is in the system-out.
const tailLines = 20

// testcase is one <testcase>.
type testcase struct {
	class, name string
	duration    time.Duration
	verdict     jobs.Verdict
	skipped     string // why it does not count
	message     string
	body        string // of the failure or error
	output      string
}

func (c testcase) red() bool { return c.verdict != jobs.Pass && c.skipped == "" }

// suite is one <testsuite>.
type suite struct {
	result *jobs.Result
	cases  []testcase
}

// JUnit writes results as a JUnit file, a suite for each. A run that failed has
// at least one failure or error, one that passed has none. Every case has a class
// and name of its own. Of attempts that were repeated each is one skipped case.
func JUnit(w io.Writer, results ...*jobs.Result) error {
	suites := make([]suite, len(results))
	used := map[[2]string]int{}
	room := maxCases
	for i, r := range results {
		classes := line(r.Job, maxName)
		if slices.ContainsFunc(results, func(o *jobs.Result) bool { return o.Job == r.Job && o.Board != r.Board }) {
			classes = line(r.Job+" on "+r.Board, maxName)
		}
		suites[i] = suite{r, fit(cases(r), &room)}
		for k := range suites[i].cases {
			c := &suites[i].cases[k]
			c.class = classes + "." + line(c.class, maxName)
			unique(used, c)
		}
	}
	return writeSuites(w, suites, maxTotal-(maxCases-room))
}

// cases makes the cases of a result.
func cases(r *jobs.Result) []testcase {
	var out []testcase
	var last jobs.Attempt
	for i, a := range r.Attempts {
		if i == len(r.Attempts)-1 {
			last = a
			break
		}
		out = append(out, testcase{
			class: "attempts", name: fmt.Sprintf("attempt %d", a.Number), duration: a.Duration,
			skipped: fmt.Sprintf("repeated: %s in phase %s: %s", a.Verdict, a.Phase, a.Message),
			output:  strings.Join(a.Tail, "\n"),
		})
	}
	tail := last.Tail
	red := 0
	add := func(c testcase) {
		const withTail = 3 // red cases that show the console
		if c.red() {
			c.body = c.message
			if red++; red <= withTail && len(tail) > 0 {
				c.body += "\n\nlast lines of the console:\n" + strings.Join(tail[max(len(tail)-tailLines, 0):], "\n")
				c.output = strings.TrimPrefix(c.output+"\n\nconsole:\n"+strings.Join(tail, "\n"), "\n\n")
			}
		}
		out = append(out, c)
	}
	for _, c := range last.Cases {
		t := testcase{
			class: c.Class, name: c.Name, duration: c.Duration,
			verdict: c.Verdict, message: c.Message, output: c.Output,
		}
		if r.Verdict == jobs.Pass && c.Verdict != jobs.Pass {
			t.skipped = fmt.Sprintf("%s, but the run passed: %s", c.Verdict, c.Message)
		}
		add(t)
	}
	if r.Verdict != jobs.Pass && red == 0 {
		add(testcase{
			class: "boot", name: cmp.Or(string(r.Phase), "run"), duration: cmp.Or(last.Duration, r.Duration),
			verdict: r.Verdict, message: r.Message,
		})
	}
	return out
}

// caseSize is what a case takes at least, beyond its texts.
const caseSize = 200

// fit shortens the one-line texts of cs and leaves cases out, green ones first,
// until the rest fits into room, which it lessens.
func fit(cs []testcase, room *int) []testcase {
	keep := make([]bool, len(cs))
	dropped := 0
	for _, red := range []bool{true, false} {
		for i := range cs {
			c := &cs[i]
			if c.red() != red {
				continue
			}
			c.name, c.message, c.skipped = line(c.name, maxName), line(c.message, maxError), line(c.skipped, maxError)
			size := caseSize + 2*maxName + escapedSize(c.name) + escapedSize(c.message) + escapedSize(c.skipped)
			if keep[i] = size <= *room; keep[i] {
				*room -= size
			} else {
				dropped++
			}
		}
	}
	if dropped == 0 {
		return cs
	}
	var out []testcase
	for i, c := range cs {
		if keep[i] {
			out = append(out, c)
		}
	}
	return append(out, testcase{
		class: "report", name: "cases left out",
		skipped: fmt.Sprintf("%d more cases: the file is full, %s has them all", dropped, ResultFile),
	})
}

// unique changes the name of c if another case of its class has it: GitLab keeps
// only the first of a name. used counts the cases of each class and name.
func unique(used map[[2]string]int, c *testcase) {
	base := cmp.Or(c.name, "(no name)")
	c.name = base
	for used[[2]string{c.class, c.name}] > 0 {
		used[[2]string{c.class, base}]++
		c.name = fmt.Sprintf("%s (%d)", base, used[[2]string{c.class, base}])
	}
	used[[2]string{c.class, c.name}]++
}
