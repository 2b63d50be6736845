package guest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"b2c-runner/jobs"
)

// maxOpen bounds the tests that have begun and not ended.
const maxOpen = 1000

// Marks of lava-test-shell (lava_dispatcher/actions/test/shell.py).
const (
	signalMark  = "<LAVA_SIGNAL_"
	installMark = "<LAVA_TEST_RUNNER INSTALL_FAIL>"
)

// lava reads LAVA's signals, from the kernel's log (/dev/kmsg) and from userspace
// alike.
type lava struct {
	tally    *tally
	run, set string
	running  bool
	started  time.Duration // of the run
	last     time.Duration // when the last result came
	open     map[string]time.Duration
	took     map[string]time.Duration // by tests that ended and have no result yet
	used     map[string]struct{}      // names of this run
	notes    notes                    // output of the test that is open
	ended    string                   // the test that ended last
	waiting  notes                    // its output
}

func newLAVA(t *tally) *lava {
	return &lava{
		tally: t, open: map[string]time.Duration{}, took: map[string]time.Duration{}, used: map[string]struct{}{},
	}
}

func (v *lava) rank(text string) rank {
	if _, _, _, ok := findSignal(text); ok || strings.HasPrefix(text, installMark) {
		return whole
	}
	if strings.Contains(text, signalMark) {
		return part
	}
	return foreign
}

// findSignal finds the first signal on a line, and what stands behind it. It may stand behind other output, but not
// where a shell shows the command that prints it.
func findSignal(text string) (name, params, rest string, ok bool) {
	at := strings.Index(text, signalMark)
	if at < 0 {
		return "", "", "", false
	}
	before := strings.TrimRight(text[:at], " \t")
	for _, mark := range []string{"echo", "printf", "signal", `"`, "'", "=", "`"} {
		if strings.HasSuffix(before, mark) {
			return "", "", "", false
		}
	}
	signal, rest, ok := strings.Cut(text[at+len(signalMark):], ">")
	if !ok {
		return "", "", "", false
	}
	name, params, _ = strings.Cut(signal, " ")
	return name, params, rest, true
}

func (v *lava) feed(at time.Duration, l line) {
	name, params, rest, ok := findSignal(l.text)
	if !ok {
		v.text(at, l)
	}
	for ok {
		v.signal(at, name, params)
		name, params, rest, ok = findSignal(rest)
	}
}

// text takes a line without a signal.
func (v *lava) text(at time.Duration, l line) {
	switch {
	case strings.HasPrefix(l.text, installMark):
		v.add(at, "install", jobs.Fail, "the test's installation failed", nil)
	case strings.HasPrefix(l.text, signalMark):
		v.tally.problem("signal without end: %s", clip(l.text, maxName))
	case len(v.open) > 0 && !l.kernel:
		v.notes.add(l.text)
	}
}

func (v *lava) signal(at time.Duration, name, params string) {
	fields := strings.Fields(params)
	first := strings.Join(fields[:min(1, len(fields))], "")
	switch name {
	case "STARTRUN":
		v.endRun(at)
		v.run, v.running, v.started, v.last = tidy(first, maxName), true, at, at
	case "ENDRUN":
		if !v.running || v.run != tidy(first, maxName) {
			v.tally.problem("run %q ends and did not begin", first)
			return
		}
		v.running = false
		v.endRun(at)
		v.run = ""
	case "STARTTC":
		if len(v.open) >= maxOpen {
			v.tally.problem("test %q began while %d others had not ended", first, maxOpen)
			return
		}
		v.open[first], v.notes = at, nil
	case "ENDTC":
		if begin, ok := v.open[first]; ok && len(v.took) < maxOpen {
			v.took[first] = at - begin
			v.ended, v.waiting, v.notes = first, v.notes, nil
		}
		delete(v.open, first)
	case "TESTSET":
		v.set = ""
		if first == "START" {
			v.set = tidy(strings.Join(fields[1:], " "), maxName)
		}
	case "TESTCASE":
		v.testcase(at, params)
	case "TESTREFERENCE":
		if len(fields) != 3 {
			v.tally.problem("signal TESTREFERENCE with %d values, 3 are needed: %s", len(fields), params)
			return
		}
		v.result(at, first, fields[1], "reference "+fields[2])
	case "TESTRAISE":
		v.add(at, "raise", jobs.Fail, cmp.Or(params, "the test raised an error"), nil)
	}
}

// testcase reads "TEST_CASE_ID=x RESULT=pass MEASUREMENT=1.5 UNITS=ms". A word
// without "=" goes on with the value before it.
func (v *lava) testcase(at time.Duration, params string) {
	values := map[string]string{}
	key := ""
	for field := range strings.FieldsSeq(params) {
		if k, value, ok := strings.Cut(field, "="); ok && slices.Contains(testcaseKeys, k) {
			key = k
			values[key] = value
		} else if key != "" {
			values[key] += " " + field
		}
	}
	id := values["TEST_CASE_ID"]
	if id == "" {
		v.tally.problem("signal TESTCASE without TEST_CASE_ID: %s", params)
	}
	message := ""
	if m := values["MEASUREMENT"]; m != "" {
		message = strings.TrimSpace("measured " + m + " " + values["UNITS"])
	}
	v.result(at, id, values["RESULT"], message)
}

var testcaseKeys = []string{"TEST_CASE_ID", "RESULT", "MEASUREMENT", "UNITS"}

// result keeps a result. One that is not known to have passed has failed.
func (v *lava) result(at time.Duration, id, outcome, message string) {
	verdict := jobs.Fail
	switch outcome {
	case "pass":
		verdict = jobs.Pass
	case "skip":
		verdict = jobs.Pass
		message = strings.TrimSpace("SKIP " + message)
	case "fail":
	default:
		message = strings.TrimSpace(fmt.Sprintf("result %q %s", outcome, message))
		if outcome != "unknown" {
			v.tally.problem("test %q has the result %q, which is none", id, outcome)
		}
	}
	key := v.set + "/" + id
	if _, again := v.used[key]; again {
		v.tally.problem("test %q has more than one result in run %q", strings.TrimPrefix(key, "/"), v.run)
	} else if !v.tally.full() {
		v.used[key] = struct{}{}
	}
	var output notes
	if v.ended == id && v.waiting != nil {
		output = v.waiting
	} else if _, open := v.open[id]; open {
		output = v.notes
		v.took[id] = at - v.open[id]
	}
	v.add(at, id, verdict, message, output)
	delete(v.open, id)
	delete(v.took, id)
}

func (v *lava) add(at time.Duration, id string, verdict jobs.Verdict, message string, output notes) {
	r := &result{kind: LAVA, verdict: verdict, message: message, duration: at - v.last}
	if d, ok := v.took[id]; ok {
		r.duration = d
	}
	v.last = at
	run := &suite{name: v.run}
	r.suite, r.name = &suite{name: v.set, parent: run}, id
	if r.failed() {
		if r.message == "" {
			r.message = "fail"
		}
		v.tally.append(r, output)
	}
	v.tally.add(r)
}

// endRun judges what is open when a run has ended, or should have.
func (v *lava) endRun(at time.Duration) {
	for _, id := range slices.Sorted(maps.Keys(v.open)) {
		v.tally.problem("test %q began and did not end", id)
		v.took[id] = at - v.open[id]
		v.add(at, id, jobs.Fail, "began and did not end", v.notes)
	}
	v.set = ""
	if v.running {
		v.tally.problem("run %q began and did not end", v.run)
		v.took["run"] = at - v.started
		v.add(at, "run", jobs.Fail, "the run began and did not end", nil)
	}
	v.running, v.notes, v.waiting = false, nil, nil
	clear(v.open)
	clear(v.took)
	clear(v.used)
}

func (v *lava) finish(at time.Duration) { v.endRun(at) }
