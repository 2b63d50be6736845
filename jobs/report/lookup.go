package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"b2c-runner/jobs"
)

// start makes the times those of the timeline, whose zero is power on: the
// recording begins with the power phase. The phases are noted at their lines.
func (c *recording) start(timeline []jobs.Event) {
	if i := slices.IndexFunc(timeline, func(e jobs.Event) bool { return e.Phase == jobs.PhasePower }); i >= 0 {
		for k := range c.kept {
			c.kept[k].At += timeline[i].At
		}
	}
	for _, e := range timeline {
		if e.Phase == "" || !c.Timed {
			continue
		}
		i, _ := slices.BinarySearchFunc(c.kept, e.At, byTime)
		if i < len(c.kept) {
			l := &c.kept[i]
			l.Phase = strings.TrimPrefix(l.Phase+" · "+string(e.Phase), " · ")
		}
	}
}

func byTime(l consoleLine, at time.Duration) int { return cmp.Compare(l.At, at) }

// last is the number of the last line that says something, 0 without any.
func (c *recording) last() int {
	for _, l := range slices.Backward(c.kept) {
		if l.Text != "" {
			return l.N
		}
	}
	return 0
}

// lineAt is the number of the line that was the last one at that time, 0 if it is
// not known.
func (c *recording) lineAt(at time.Duration) int {
	if c == nil || !c.Timed {
		return 0
	}
	i, _ := slices.BinarySearchFunc(c.kept, at+1, byTime)
	if i == 0 || i < len(c.kept) && c.kept[i].Gap != nil {
		return 0
	}
	return c.kept[i-1].N
}

// lineAfter is the number of the first line that came at that time or later, 0 if
// it is not known.
func (c *recording) lineAfter(at time.Duration) int {
	i, _ := slices.BinarySearchFunc(c.kept, at, byTime)
	if !c.Timed || i == len(c.kept) || c.kept[i].Gap != nil {
		return 0
	}
	return c.kept[i].N
}

// markAlarm finds an alarm's lines, marks them, and returns the number of the
// first one; 0 if they are not kept.
func (c *recording) markAlarm(a jobs.Alarm) int {
	first := strings.TrimSpace(a.Title)
	if len(a.Trace) > 0 {
		first = strings.TrimSpace(a.Trace[0])
	}
	best := -1
	for i, l := range c.kept {
		far := (l.At - a.At).Abs()
		if first == "" || l.Alarm || c.Timed && far > maxApart || !strings.Contains(l.Text, first) {
			continue
		}
		if best < 0 || far < (c.kept[best].At-a.At).Abs() {
			best = i
		}
	}
	if best < 0 {
		return c.lineAt(a.At)
	}
	c.kept[best].Alarm = true
	for i, next := best+1, 1; next < len(a.Trace) && i < min(len(c.kept), best+2*len(a.Trace)); i++ {
		if l := &c.kept[i]; strings.Contains(l.Text, strings.TrimSpace(a.Trace[next])) {
			l.Alarm = true
			next++
		}
	}
	return c.kept[best].N
}

// maxApart is how far an alarm's time may be from that of its line.
const maxApart = 5 * time.Second
