package guest

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"b2c-runner/jobs"
)

// maxDepth bounds how deep tests are nested; what is deeper belongs to the deepest.
const maxDepth = 16

// ktap reads TAP from the kernel and from userspace, each a stream of its own.
type ktap struct{ kernel, user *tap }

func newKTAP(t *tally) *ktap {
	return &ktap{kernel: &tap{tally: t, kernel: true}, user: &tap{tally: t}}
}

func (k *ktap) feed(at time.Duration, l line) {
	if l.kernel {
		k.kernel.feed(at, l.text)
	} else {
		k.user.feed(at, l.text)
	}
}

func (k *ktap) rank(text string) rank {
	switch l := parseTAP(text); {
	case l.kind == tapResult && l.number > 0:
		return whole
	case l.kind != tapOther:
		return part
	default:
		return foreign
	}
}

func (k *ktap) finish(at time.Duration) {
	k.kernel.finish(at)
	k.user.finish(at)
}

// tap reads one stream. Its stack holds the runs that are open, each indented
// deeper than the one before.
type tap struct {
	tally  *tally
	kernel bool
	stack  []*level
	noting *level  // whose comment may go on, on indented lines without "#"
	block  *result // whose YAML block may come, or is being read
	yaml   bool    // it is being read
	indent int     // of the result
}

func (t *tap) feed(at time.Duration, text string) {
	l := parseTAP(text)
	if t.inBlock(l, text) {
		return
	}
	if l.kind != tapOther {
		t.noting, t.block = nil, nil
	}
	switch l.kind {
	case tapVersion:
		t.version(at, l)
	case tapPlan:
		t.plan(at, l)
	case tapResult:
		if t.counts(l) {
			t.result(at, l)
		} else if l.marked {
			t.note(l.edge, strings.TrimLeft(text, "# \t"))
		}
	case tapBail:
		t.bail(at, l)
	case tapSubtest:
		t.subtest(at, l)
	case tapNote:
		t.note(l.edge, l.text)
	case tapOther:
		if t.noting != nil && text != "" && blank(text[0]) {
			t.noting.notes.add(strings.TrimSpace(text))
		}
	}
}

// counts reports whether a result line is one. Without a number, or indented, it
// could be anything, if not within a run.
func (t *tap) counts(l tapLine) bool {
	if lv := t.find(l.column); lv != nil {
		return l.number > 0 || lv.declared()
	}
	if l.number == 0 || l.marked {
		return false
	}
	return l.column == 0 || len(t.stack) > 0 && t.stack[0].declared()
}

func (t *tap) version(at time.Duration, l tapLine) {
	lv := t.enter(at, l)
	if lv.column != l.column { // too deep
		return
	}
	if lv.used() {
		lv = t.restart(at, lv)
	}
	lv.version, lv.kernelStyle = true, lv.kernelStyle || l.ktap
}

func (t *tap) plan(at time.Duration, l tapLine) {
	lv := t.enter(at, l)
	if lv.column != l.column {
		return
	}
	if lv.planned {
		lv = t.restart(at, lv)
	}
	lv.planned, lv.planSize, lv.since = true, l.number, at
	if l.number == 0 && l.directive == "SKIP" && l.column == 0 {
		t.add(lv, &result{name: "all tests", verdict: jobs.Pass, message: strings.TrimSpace("SKIP " + l.detail)})
	}
}

func (t *tap) result(at time.Duration, l tapLine) {
	lv := t.enter(at, l)
	number := cmp.Or(l.number, lv.last+1)
	if _, again := lv.seen[number]; again && lv.restarts(number) {
		lv = t.restart(at, lv)
	} else if again {
		t.tally.problem("number %d is used twice%s", number, lv.in())
	}
	if lv.planned && number > lv.planSize {
		t.tally.problem("number %d is not in the plan 1..%d%s", number, lv.planSize, lv.in())
	}
	r := &result{
		name: cmp.Or(l.text, fmt.Sprintf("test %d", number)), verdict: l.verdict(),
		message: strings.TrimSpace(l.directive + " " + l.detail), duration: at - lv.since,
	}
	t.explain(lv, r)
	lv.notes, lv.failed, lv.header, lv.since = nil, nil, "", at
	if r.failed() {
		lv.failed = r
	}
	lv.name(r.name)
	lv.count(number, t.tally.full())
	t.add(lv, r)
	if !t.kernel {
		t.block, t.yaml, t.indent = r, false, l.column
	}
}

// subtest takes the name of tests to come: their own, if they are indented as the
// line is (KUnit), else that of those indented deeper (TAP 14).
func (t *tap) subtest(at time.Duration, l tapLine) {
	lv := t.find(l.column)
	if l.column == 0 && lv == nil {
		return
	}
	if lv != nil && (l.column == 0 || lv.planned || lv.ran > 0 || lv.suite.name != "") {
		t.closeAbove(at, l)
		lv.header = tidy(l.text, maxName)
		return
	}
	if lv = t.enter(at, l); lv.column == l.column {
		lv.suite.name = tidy(l.text, maxName)
	}
}

func (t *tap) bail(at time.Duration, l tapLine) {
	lv := t.enter(at, l)
	if !lv.bailed {
		lv.bailed = true
		r := &result{
			name: "bail out", verdict: jobs.Fail, duration: at - lv.since,
			message: strings.TrimSpace("Bail out! " + l.text),
		}
		t.tally.append(r, lv.notes)
		t.add(lv, r)
		t.tally.problem("bailed out%s: %s", lv.in(), l.text)
	}
	lv.notes = nil
}
