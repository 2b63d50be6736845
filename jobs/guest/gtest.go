package guest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"b2c-runner/jobs"
)

// GoogleTest's tags (googletest/src/gtest.cc, PrettyUnitTestResultPrinter).
const (
	tagRun     = "[ RUN      ] "
	tagOK      = "[       OK ] "
	tagFailed  = "[  FAILED  ] "
	tagSkipped = "[  SKIPPED ] "
	tagProgram = "[==========] "
)

// gtest reads the output of GoogleTest programs, one after another. A result is
// that of the test that runs; the summary names failures again, and counts only
// for those whose own line was lost.
type gtest struct {
	tally   *tally
	running string // the test, "" between tests
	began   time.Duration
	program bool // a program runs: planned tests, ran of them
	planned int
	ran     int
	summary bool
	failed  map[string]struct{} // of this program
	notes   notes
}

func (g *gtest) rank(text string) rank {
	for _, tag := range []string{tagRun, tagOK, tagFailed, tagSkipped, tagProgram} {
		if strings.HasPrefix(text, tag) {
			return whole
		}
	}
	return foreign
}

func (g *gtest) feed(at time.Duration, l line) {
	if l.kernel {
		return
	}
	if rest, ok := strings.CutPrefix(l.text, tagProgram); ok {
		g.header(at, rest)
		return
	}
	if rest, ok := strings.CutPrefix(l.text, tagRun); ok && testName(rest) != "" {
		g.crashed(at)
		g.running, g.began, g.notes, g.summary = testName(rest), at, nil, false
		return
	}
	tag, rest, before := g.findResult(l.text)
	switch {
	case tag == "" && g.running != "":
		g.notes.add(l.text)
	case tag == "":
	case g.running != "":
		if before != "" {
			g.notes.add(before)
		}
		g.result(at, tag, rest)
	case g.summary && tag == tagFailed:
		if name := testName(rest); name != "" && !g.has(name) {
			g.tally.problem("test %q is in the summary only", name)
			g.result(at, tag, rest)
		}
	case !g.summary && strings.HasSuffix(rest, " ms)") && testName(rest) != "": // --gtest_brief=1
		g.result(at, tag, rest)
	}
}

// findResult finds a result on a line: of the test that runs anywhere, for a test
// may print half a line before; else at its begin.
func (g *gtest) findResult(text string) (tag, rest, before string) {
	for _, tag := range []string{tagOK, tagFailed, tagSkipped} {
		if g.running != "" {
			if at := strings.LastIndex(text, tag+g.running); at >= 0 {
				if rest := text[at+len(tag):]; testName(rest) == g.running {
					return tag, rest, text[:at]
				}
			}
			continue
		}
		if rest, ok := strings.CutPrefix(text, tag); ok {
			return tag, rest, ""
		}
	}
	return "", "", ""
}

// testName is the "Suite.Test" that s begins with, or "".
func testName(s string) string {
	if i := strings.Index(s, ", where "); i >= 0 {
		s = s[:i]
	}
	if i := strings.LastIndex(s, " ("); i >= 0 && strings.HasSuffix(s, " ms)") {
		s = s[:i]
	}
	s = strings.TrimSpace(s)
	if strings.ContainsAny(s, " \t") || !strings.Contains(s, ".") {
		return ""
	}
	return s
}

func (g *gtest) result(at time.Duration, tag, rest string) {
	name := testName(rest)
	r := &result{verdict: jobs.Pass, duration: at - g.began}
	if ms, ok := strings.CutSuffix(rest, " ms)"); ok {
		if i := strings.LastIndex(ms, "("); i >= 0 {
			if n, err := strconv.ParseUint(ms[i+1:], 10, 32); err == nil {
				r.duration = time.Duration(n) * time.Millisecond
			}
			rest = strings.TrimSpace(ms[:i])
		}
	}
	switch tag {
	case tagSkipped:
		r.message = "SKIP"
		if text := slices.DeleteFunc(slices.Clone(g.notes), isBlank); len(text) > 0 {
			r.message += " " + text[len(text)-1]
		}
	case tagFailed:
		r.verdict, r.message = jobs.Fail, g.notes.cause("FAILED")
		if _, where, ok := strings.Cut(rest, ", where "); ok {
			r.message += ", where " + where
		}
	}
	g.add(name, r)
}

func isBlank(s string) bool { return strings.TrimSpace(s) == "" }

func (g *gtest) add(name string, r *result) {
	r.kind, r.name = GTest, name
	r.class, _, _ = strings.Cut(name, ".")
	if r.failed() {
		g.tally.append(r, g.notes)
		if g.failed == nil {
			g.failed = map[string]struct{}{}
		}
		if !g.tally.full() {
			g.failed[name] = struct{}{}
		}
	}
	g.tally.add(r)
	g.ran++
	g.running, g.notes = "", nil
}

func (g *gtest) has(name string) bool {
	_, ok := g.failed[name]
	return ok || g.tally.full()
}

// header reads "Running 5 tests from 2 test suites." and "5 tests from 2 test
// suites ran. (10 ms total)".
func (g *gtest) header(at time.Duration, rest string) {
	if plan, ok := strings.CutPrefix(rest, "Running "); ok {
		n := digits(plan)
		if n == 0 || !strings.HasPrefix(plan[n:], " test") {
			return
		}
		g.end(at)
		g.program, g.planned, g.ran, g.summary = true, number(plan[:n]), 0, false
		clear(g.failed)
		return
	}
	if n := digits(rest); n > 0 && strings.HasPrefix(rest[n:], " test") && strings.Contains(rest, " ran.") {
		g.crashed(at)
		g.judge()
		g.program, g.summary = false, true
	}
}

// crashed gives a result to a test that began and printed none.
func (g *gtest) crashed(at time.Duration) {
	if g.running == "" {
		return
	}
	g.tally.problem("test %q began and did not end", g.running)
	g.add(g.running, &result{
		verdict: jobs.Fail, message: "began and did not end: crashed or hung", duration: at - g.began,
	})
}

// judge compares what ran with what was planned.
func (g *gtest) judge() {
	if !g.program || g.ran == g.planned {
		return
	}
	message := fmt.Sprintf("planned %d, ran %d", g.planned, g.ran)
	g.tally.problem("plan of a GoogleTest program not fulfilled: %s", message)
	g.tally.add(&result{kind: GTest, name: "plan", verdict: jobs.Fail, message: message})
}

// end ends a program that may not have ended by itself.
func (g *gtest) end(at time.Duration) {
	g.crashed(at)
	if g.program && g.ran == g.planned {
		g.tally.problem("a GoogleTest program did not end after its %d tests", g.planned)
	}
	g.judge()
	g.program = false
}

func (g *gtest) finish(at time.Duration) { g.end(at) }
