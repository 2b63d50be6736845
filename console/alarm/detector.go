package alarm

import (
	"fmt"
	"hash/maphash"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	maxOpen = 4   // reports collected at once
	maxSeen = 512 // hashes of first lines remembered, two for each, to know them in a dmesg
)

// Detector finds alarms in the lines of one console. It is not safe for
// concurrent use.
type Detector struct {
	rules   []rule
	filter  *filter
	blame   *blamer
	grade   map[Kind]Severity
	silence []*regexp.Regexp
	boot    boot
	last    string // the last line that may be the kernel's

	open  []*report
	fatal bool

	hash   maphash.Seed
	seen   map[uint64]bool
	recent []uint64 // seen, in order
}

// Feed takes the next line, without its line end, and the time since power-on at
// which it came. It returns the alarms that are complete now: usually none.
func (d *Detector) Feed(at time.Duration, n int, line string) []Alarm {
	hit := d.filter.match(line)
	var out []Alarm
	if hit || len(d.open) > 0 || d.boot.listening {
		out = d.feed(at, n, clip(line, maxLine), hit)
	}
	if line != "" && line[0] == '[' && len(line) <= maxLine {
		d.last = line
	}
	return out
}

func (d *Detector) feed(at time.Duration, n int, line string, hit bool) []Alarm {
	m := parse(line)
	out := d.close(nil, func(r *report) bool { return r.late(at) })

	if reset, ok := d.boot.see(m, at, n, d.last); ok {
		out = d.close(out, func(*report) bool { return true })
		return d.emit(out, reset, d.grade[Reset])
	}
	if hit {
		if r, groups := d.find(m); r != nil {
			var taken bool
			if out, taken = d.begin(out, r, groups, m, at, n); taken {
				return d.finish(out)
			}
		}
	}
	for _, r := range d.open {
		if r.owns(m) {
			r.add(m, at)
			break
		}
	}
	return d.finish(out)
}

// finish closes the reports that are done: all of them once a panic is, for the
// kernel says nothing more.
func (d *Detector) finish(out []Alarm) []Alarm {
	dead := slices.ContainsFunc(d.open, func(r *report) bool { return r.done && r.rule.kind == Panic })
	return d.close(out, func(r *report) bool { return r.done || dead })
}

// find returns the rule a line begins a report of, with the groups of its match.
func (d *Detector) find(m message) (*rule, map[string]string) {
	for i := range d.rules {
		r := &d.rules[i]
		text := strings.TrimLeft(m.text, " ")
		if r.whole {
			text = m.line
		}
		if r.kernel && m.time == "" || !strings.Contains(text, r.literal) {
			continue
		}
		match := r.re.FindStringSubmatch(text)
		if match == nil {
			continue
		}
		groups := map[string]string{}
		for j, name := range r.re.SubexpNames() {
			value := match[j]
			if r.blur {
				value = blur(value)
			}
			groups[fmt.Sprint(j)] = value
			if name != "" {
				groups[name] = strings.TrimSuffix(value, "+0x")
			}
		}
		return r, groups
	}
	return nil, nil
}

func (d *Detector) silenced(text string) bool {
	for _, re := range d.silence {
		if re.MatchString(text) {
			return true
		}
	}
	return false
}

// begin opens a report, unless the line belongs to an open one or is a report by
// itself. It says whether the line is taken care of. A report nobody wants is
// opened too, so that its later lines begin none.
func (d *Detector) begin(out []Alarm, r *rule, groups map[string]string, m message, at time.Duration, n int) ([]Alarm, bool) {
	severity := d.grade[r.kind]
	if r.mild {
		severity = min(severity, Recorded)
	}
	if d.silenced(m.text) {
		severity = Ignored
	}
	for _, open := range d.open {
		if (open.owns(m) || r.kind == Panic) && open.absorbs(r, m) {
			if open.severity != Ignored {
				open.severity = max(open.severity, severity)
			}
			open.add(m, at)
			return out, true
		}
	}
	if d.replayed(m) {
		return out, true
	}
	rep := newReport(r, groups, m, at, n, severity)
	if r.single {
		return d.emit(out, rep.alarm(d.blame), severity), false
	}
	excess := len(d.open) + 1 - maxOpen
	out = d.close(out, func(r *report) bool {
		excess--
		return r.owns(m) || excess >= 0
	})
	d.open = append(d.open, rep)
	return out, true
}

// close ends the reports that are over and appends their alarms.
func (d *Detector) close(out []Alarm, over func(*report) bool) []Alarm {
	if len(d.open) == 0 {
		return out
	}
	kept := d.open[:0]
	for _, r := range d.open {
		if over(r) {
			out = d.emit(out, r.alarm(d.blame), r.severity)
		} else {
			kept = append(kept, r)
		}
	}
	clear(d.open[len(kept):])
	d.open = kept
	return out
}

func (d *Detector) emit(out []Alarm, a Alarm, s Severity) []Alarm {
	if s == Ignored || d.silenced(a.Title) {
		return out
	}
	a.Fatal = s == Fatal
	d.fatal = d.fatal || a.Fatal
	return append(out, a)
}

// replayed reports whether a line was seen before: then it is from a dmesg, not
// from the kernel's mouth.
func (d *Detector) replayed(m message) bool {
	if m.time == "" && !m.syslog && !d.boot.stamped {
		return false
	}
	bare := maphash.String(d.hash, m.text) // as a log daemon or dmesg -t prints it
	full := maphash.String(d.hash, m.time+" "+m.text)
	if d.seen[full] || m.time == "" && d.seen[bare] {
		return true
	}
	for _, key := range []uint64{full, bare} {
		if d.seen[key] {
			continue
		}
		d.seen[key] = true
		d.recent = append(d.recent, key)
		if len(d.recent) > maxSeen {
			delete(d.seen, d.recent[0])
			d.recent = d.recent[1:]
		}
	}
	return false
}

// Pending reports whether a report is still being collected.
func (d *Detector) Pending() bool {
	return d.boot.doubtful != nil || slices.ContainsFunc(d.open, func(r *report) bool { return r.severity != Ignored })
}

// Seen reports whether a fatal alarm has begun, though its report may not be
// complete yet.
func (d *Detector) Seen() bool {
	return d.fatal || slices.ContainsFunc(d.open, func(r *report) bool { return r.severity == Fatal })
}

// Flush ends all reports, at the end of the stream or when [Settle] has passed,
// and returns their alarms.
func (d *Detector) Flush() []Alarm {
	out := d.close(nil, func(*report) bool { return true })
	if reset, ok := d.boot.settle(); ok {
		out = d.emit(out, reset, d.grade[Reset])
	}
	return out
}

// ExpectReset announces that the board will start again: the next reset is no
// alarm.
func (d *Detector) ExpectReset() { d.boot.expected = true }
