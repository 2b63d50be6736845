package alarm

import (
	"os"
	"regexp"
	"strings"
	"time"
)

// Settle is how long after its first line a report may still grow. A caller that
// learns from [Detector.Seen] that a fatal one has begun waits at most this long
// before it calls [Detector.Flush].
const Settle = 10 * time.Second

const (
	maxTraceLines = 400
	maxTraceBytes = 64 << 10
	maxLine       = 8 << 10 // of a line, the rest is not looked at
	maxTitle      = 200

	quiet    = 2 * time.Second // a pause that ends a report
	stray    = 48              // lines without a frame that end a report
	strayOOM = 150             // the memory map has no frames
	afterEnd = 3               // lines after an end marker in which a panic still belongs to it
)

// report is an alarm that is being collected.
type report struct {
	rule     *rule
	groups   map[string]string
	first    message
	at, last time.Duration
	line     int
	severity Severity

	msgs  []message
	bytes int
	keep  int // of msgs, those up to the last that certainly belongs
	left  int // lines without a frame it may still take
	ended bool
	done  bool
}

func newReport(r *rule, groups map[string]string, m message, at time.Duration, n int, s Severity) *report {
	rep := &report{rule: r, groups: groups, first: m, at: at, line: n, severity: s, left: stray}
	rep.push(m, at)
	rep.keep = 1
	return rep
}

func (r *report) push(m message, at time.Duration) {
	r.last = at
	if len(r.msgs) >= maxTraceLines || r.bytes+len(m.line) > maxTraceBytes {
		return
	}
	m.line = strings.Clone(m.line)
	m.text = strings.Clone(m.text)
	r.bytes += len(m.line)
	r.msgs = append(r.msgs, m)
}

// owns reports whether a line was printed by the same thread or CPU as the
// report, as far as the line tells.
func (r *report) owns(m message) bool {
	if r.first.time != "" && m.time == "" {
		return false
	}
	if r.first.origin == m.origin {
		return true
	}
	// The CPUs of a stall print their own backtraces.
	stall := r.rule.kind == RCUStall || r.rule.kind == Lockup
	return stall && strings.HasPrefix(m.origin, "C")
}

// ends reports whether a line is the last of a report.
func ends(text string) bool {
	return strings.HasPrefix(text, "---[ end trace") || len(text) >= 20 && strings.Trim(text, "=") == ""
}

// dies reports whether a line is the last of a kernel.
func dies(text string) bool {
	return strings.HasPrefix(text, "---[ end Kernel panic") || strings.HasPrefix(text, "Rebooting in ")
}

// add takes one more line of the report.
func (r *report) add(m message, at time.Duration) {
	r.push(m, at)
	switch {
	case dies(m.text), r.rule.kind == B2C && strings.Contains(m.text, "safe to turn off"):
		r.keep, r.done = len(r.msgs), true
	case r.ended:
		r.left--
	case ends(m.text) && len(r.msgs) > 2:
		r.keep, r.ended = len(r.msgs), true
		r.left = afterEnd
		if r.rule.kind == Oops || r.rule.kind == Bug {
			r.left = stray // registers follow the marker since Linux 5.1, then the panic
		}
	case strings.Contains(m.text, "+0x"):
		r.keep = len(r.msgs)
		r.left = stray
	default:
		r.left--
	}
	limit := 0
	if r.rule.kind == OOM {
		limit = stray - strayOOM
	}
	if r.left < limit {
		r.done = true
	}
}

// late reports whether the report has had its time.
func (r *report) late(at time.Duration) bool {
	return at-r.last > quiet || at-r.at > Settle
}

// consequence are the panics that only carry out what a report before them
// demands: panic_on_oops, panic_on_warn, a dead init.
var consequence = regexp.MustCompile(`not syncing: (?:kernel: )?(?:Fatal |scheduling while|Oops|panic_on_|UBSAN|KASAN|KCSAN|KFENCE|KMSAN|kasan|Aiee|Attempted to kill |hung_task|softlockup|RCU Stall|Hard LOCKUP|Machine halted|kernel stack overflow|System is deadlocked|Out of memory|BUG!|stack-protector|panic_on)`)

// absorbs reports whether a line that would begin a report of its own belongs to
// this one.
func (r *report) absorbs(next *rule, m message) bool {
	switch {
	case r.severity == Ignored && next.kind == Panic:
		return false
	case next.kind == Panic:
		return r.rule.kind == Panic || consequence.MatchString(m.text)
	case r.rule.kind == OOM && next.kind == OOM:
		return next.single
	case r.rule.kind == B2C:
		return next.kind == B2C && !next.single
	case r.rule.kind == Panic:
		return true
	case r.ended:
		return false
	case r.rule.kind == Oops || r.rule.kind == Bug:
		return next.follows
	}
	return m.text == r.first.text
}

// texts are the lines of the report, their prefixes taken off.
func (r *report) texts() []string {
	texts := make([]string, len(r.msgs))
	for i, m := range r.msgs {
		texts[i] = m.text
	}
	return texts
}

var access = regexp.MustCompile(`^(Read|Write) (?:of size|at addr)`)

// alarm names the report and closes it.
func (r *report) alarm(b *blamer) Alarm {
	a := Alarm{At: r.at, Line: r.line, Kind: r.rule.kind, Fatal: r.severity == Fatal}
	for _, m := range r.msgs[:r.keep] {
		a.Trace = append(a.Trace, m.line)
	}

	texts := r.texts()
	title, fn := r.rule.title, ""
	if r.rule.find != nil {
		var t backtrace
		t.read(texts[1:])
		if fn = r.rule.find(b, r, &t); fn == "" {
			a.Corrupted = true
			fn = "corrupted"
			if r.rule.bare != "" {
				title = r.rule.bare
			}
		}
	}
	a.Title = clip(os.Expand(title, func(name string) string {
		switch name {
		case "FN":
			return fn
		case "NEXT":
			return strings.Join(texts[1:min(2, len(texts))], "")
		case "ACCESS":
			return touched(texts)
		}
		return r.groups[name]
	}), maxTitle)
	return a
}

// find returns the first group of a pattern in the first line that matches it.
func (r *report) find(re *regexp.Regexp) string {
	for _, m := range r.msgs {
		if found := re.FindStringSubmatch(m.text); found != nil {
			return found[1]
		}
	}
	return ""
}

// touched returns " Read" or " Write" if the report says which it was.
func touched(texts []string) string {
	for _, text := range texts {
		if m := access.FindStringSubmatch(text); m != nil {
			return " " + m[1]
		}
	}
	return ""
}
