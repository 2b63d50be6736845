package guest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"b2c-runner/jobs"
)

// level is a run: tests with one numbering and one plan.
type level struct {
	suite       *suite
	column      int // where its results begin
	edge        int // where its comments begin
	marked      bool
	version     bool // a version line was seen
	planned     bool
	planSize    int
	bailed      bool
	kernelStyle bool // comments stand before their result, not behind it
	ran, last   int
	seen        map[int]struct{}
	unsure      bool // too many results to know which were seen
	notes       notes
	failed      *result // the last one, if it failed
	header      string  // name of the subtests to come
	pending     []*suite
	since       time.Duration
}

func (lv *level) declared() bool { return lv.version || lv.planned }

func (lv *level) used() bool { return lv.declared() || lv.ran > 0 || lv.bailed }

// restarts reports whether a number that was seen begins another run that has no
// version line.
func (lv *level) restarts(number int) bool {
	return number == 1 && (lv.planned && len(lv.seen) >= lv.planSize || !lv.declared())
}

func (lv *level) count(number int, full bool) {
	lv.ran, lv.last = lv.ran+1, number
	if full {
		lv.unsure, lv.seen = true, nil
		return
	}
	if lv.seen == nil {
		lv.seen = map[int]struct{}{}
	}
	lv.seen[number] = struct{}{}
}

// name gives the name of a result to the subtests before it.
func (lv *level) name(name string) {
	for _, s := range lv.pending {
		if s.name == "" || !s.replaced {
			s.name = tidy(name, maxName)
		}
	}
	lv.pending = nil
}

// in is where a problem is, for the end of a sentence.
func (lv *level) in() string {
	if path := lv.suite.path(); path != "" {
		return fmt.Sprintf(" in %q", path)
	}
	return ""
}

// shortfall says how the results differ from the plan, "" if they do not.
func (lv *level) shortfall() string {
	if !lv.planned || lv.unsure || lv.bailed {
		return ""
	}
	var missing []string
	for n := 1; n <= lv.planSize && len(missing) < 6; n++ {
		if _, ok := lv.seen[n]; !ok {
			missing = append(missing, fmt.Sprint(n))
		}
	}
	if len(missing) == 0 && len(lv.seen) == lv.planSize {
		return ""
	}
	message := fmt.Sprintf("planned %d, ran %d", lv.planSize, lv.ran)
	if len(missing) > 5 {
		missing[5] = "…"
	}
	if len(missing) > 0 {
		message += ", no result of " + strings.Join(missing, ", ")
	}
	return message
}

func (t *tap) find(column int) *level {
	for _, lv := range t.stack {
		if lv.column == column {
			return lv
		}
	}
	return nil
}

// enter is the run that a line belongs to, opened if need be. Runs indented deeper
// end.
func (t *tap) enter(at time.Duration, l tapLine) *level {
	t.closeAbove(at, l)
	if n := len(t.stack); n > 0 && (t.stack[n-1].column == l.column || n == maxDepth) {
		return t.stack[n-1]
	}
	lv := &level{
		suite: &suite{}, column: l.column, edge: l.edge, marked: l.marked,
		kernelStyle: t.kernel || l.marked, since: at,
	}
	if n := len(t.stack); n > 0 {
		above := t.stack[n-1]
		lv.suite.parent, lv.suite.name = above.suite, above.header
		lv.kernelStyle = lv.kernelStyle || above.kernelStyle
	}
	t.stack = append(t.stack, lv)
	return lv
}

// restart ends a run and begins another in its place.
func (t *tap) restart(at time.Duration, lv *level) *level {
	t.close(at, lv, "")
	lv.suite.replaced = true
	*lv = level{
		suite: &suite{parent: lv.suite.parent}, column: lv.column, edge: lv.edge, marked: lv.marked,
		kernelStyle: t.kernel || lv.marked, since: at,
	}
	return lv
}

// closeAbove ends the runs indented deeper than l.
func (t *tap) closeAbove(at time.Duration, l tapLine) {
	for n := len(t.stack); n > 0 && t.stack[n-1].column > l.column; n = len(t.stack) {
		lv := t.stack[n-1]
		directive := ""
		if l.kind == tapResult && (n == 1 || t.stack[n-2].column <= l.column) {
			directive = l.directive
			lv.suite.name = cmp.Or(lv.suite.name, tidy(l.text, maxName))
		}
		t.close(at, lv, directive)
		t.stack = t.stack[:n-1]
		if n > 1 {
			above := t.stack[n-2]
			above.notes = append(above.notes, lv.notes...)
			above.notes = above.notes[max(0, len(above.notes)-maxNotes):]
		}
	}
}

// close judges a run that has ended. A test that was skipped need not run what it
// planned.
func (t *tap) close(at time.Duration, lv *level, directive string) {
	if lv.failed != nil && !lv.kernelStyle {
		t.tally.explain(lv.failed, lv.notes)
		lv.notes = nil
	}
	for _, s := range lv.pending {
		s.name = cmp.Or(s.name, "subtests")
		t.tally.problem("the suite %q has no result of its own", s.path())
	}
	lv.pending = nil
	message := lv.shortfall()
	switch {
	case message == "" && lv.version && !lv.planned && lv.ran == 0 && !lv.bailed:
		t.tally.problem("a run began and has neither plan nor results%s", lv.in())
	case message == "" || directive == "SKIP":
	default:
		t.tally.problem("plan not fulfilled%s: %s", lv.in(), message)
		if lv.version || lv.ran > 0 || lv.suite.name != "" {
			r := &result{name: "plan", verdict: jobs.Fail, message: message, duration: at - lv.since}
			t.tally.append(r, lv.notes)
			t.add(lv, r)
		}
	}
}

// add keeps a result of lv.
func (t *tap) add(lv *level, r *result) {
	r.kind, r.suite = KTAP, lv.suite
	t.tally.add(r)
	if lv.suite.listed || t.tally.full() {
		return
	}
	lv.suite.listed = true
	if i := slices.Index(t.stack, lv); i > 0 {
		t.stack[i-1].pending = append(t.stack[i-1].pending, lv.suite)
	}
}

// finish ends every run.
func (t *tap) finish(at time.Duration) {
	t.closeAbove(at, tapLine{column: -1})
}
