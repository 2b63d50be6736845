package report

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"b2c-runner/jobs"
)

// picture is the timeline of an attempt: a bar for each phase, each in a row of
// its own, on one time axis. Places along the axis are in per cent of the width,
// so that the page can be narrow without the text getting small; the others are in
// CSS pixels.
type picture struct {
	ID     int // the attempt's number
	Height int
	Floor  int // where the axis is
	Bars   []bar
	Marks  []mark
	Ticks  []tick
	Kinds  []string // of marks, for the legend
}

// bar is a phase.
type bar struct {
	Phase  jobs.Phase
	Took   time.Duration
	X, W   float64
	Y      int
	Tone   string
	LabelX float64
	Label  string // where it is: "after", "before" or "inside" the bar
}

// mark is an event, drawn below the bar of its phase.
type mark struct {
	X     float64
	Y     int
	Kind  string
	Bad   bool
	Event jobs.Event
}

// tick is a time written at the axis.
type tick struct {
	X      float64
	Text   string
	Anchor string
}

// Measures of the picture.
const (
	rowHeight  = 32
	markBelow  = 22 // the middle of a mark, from the row's top
	axisHeight = 22
	minWidth   = 0.5 // of a bar
	labelWidth = 36. // of a bar's text at most, on a phone
	maxTicks   = 6
	maxTime    = 1000 * time.Hour
)

// draw makes the picture of an attempt, nil if nothing is known of its phases.
func draw(a *jobs.Attempt) *picture {
	events := slices.Clone(a.Timeline[:min(len(a.Timeline), maxEvents)])
	if len(events) == 0 {
		return nil
	}
	for i := range events {
		events[i].At = within(events[i].At)
	}
	from, to := events[0].At, events[0].At
	for _, e := range events {
		from, to = min(from, e.At), max(to, e.At)
	}
	to = max(to, events[0].At+within(a.Duration), from+time.Millisecond)
	x := func(at time.Duration) float64 { return 100 * float64(at-from) / float64(to-from) }

	p := &picture{ID: a.Number}
	var begun []time.Duration
	for _, e := range events {
		if e.Phase != "" && len(begun) < len(jobs.Phases) {
			begun = append(begun, e.At)
			p.Bars = append(p.Bars, bar{Phase: e.Phase, X: x(e.At), Y: len(p.Bars) * rowHeight, Tone: tonePass})
		}
		if e.Phase == "" {
			kind, bad := markKind(e)
			p.Marks = append(p.Marks, mark{X: x(e.At), Y: max(len(p.Bars)-1, 0)*rowHeight + markBelow, Kind: kind, Bad: bad, Event: e})
			if !slices.Contains(p.Kinds, kind) {
				p.Kinds = append(p.Kinds, kind)
			}
		}
	}
	if len(p.Bars) == 0 {
		return nil
	}
	for i := range p.Bars {
		end := to
		if i+1 < len(p.Bars) {
			end = max(begun[i], begun[i+1])
		}
		p.Bars[i].finish(end-begun[i], x(end))
		if p.Bars[i].Phase == a.Phase {
			p.Bars[i].Tone = tone(a.Verdict)
		}
	}
	p.Floor = len(p.Bars) * rowHeight
	p.Height = p.Floor + axisHeight
	p.Ticks = ticks(from, to, x)
	return p
}

// within keeps a time so small that times can be added.
func within(d time.Duration) time.Duration { return min(max(d, -maxTime), maxTime) }

// finish sets how long the bar's phase took, where the bar ends, and where there
// is room for its label.
func (b *bar) finish(took time.Duration, end float64) {
	b.Took = took
	b.W = max(end-b.X, minWidth)
	b.X = min(b.X, 100-b.W)
	switch end = b.X + b.W; {
	case end <= 100-labelWidth:
		b.Label, b.LabelX = "after", end
	case b.X >= labelWidth:
		b.Label, b.LabelX = "before", b.X
	default:
		b.Label, b.LabelX = "inside", b.X+b.W/2
	}
}

// markKind says how an event is drawn, and whether it is bad news.
func markKind(e jobs.Event) (kind string, bad bool) {
	switch {
	case strings.Contains(e.Kind, "dhcp"):
		return "dhcp", e.Kind == "dhcp-nak" || e.Kind == "foreign-dhcp"
	case e.Kind == "script", e.Kind == "step", e.Kind == "alarm":
		return e.Kind, e.Kind == "alarm" || e.Kind == "step" && !strings.HasSuffix(e.Detail, ": pass")
	case e.Kind == "http", e.Kind == "tftp":
		return "file", false
	default:
		return "other", false
	}
}

// ticks divides the time into at most maxTicks round parts, counted from power on.
func ticks(from, to time.Duration, x func(time.Duration) float64) []tick {
	step := time.Millisecond
	for i := 0; (to-from)/step > maxTicks; i++ {
		step = step * []time.Duration{2, 5, 2}[i%3] / []time.Duration{1, 2, 1}[i%3] // 1, 2, 5, 10, …
	}
	var out []tick
	for at := from.Truncate(step); at <= to; at += step {
		if at < from {
			continue
		}
		t := tick{X: x(at), Text: axisTime(at, step), Anchor: "middle"}
		switch {
		case t.X < 3:
			t.Anchor = "start"
		case t.X > 97:
			t.Anchor = "end"
		}
		out = append(out, t)
	}
	return out
}

func axisTime(at, step time.Duration) string {
	if step < time.Second {
		return strconv.FormatFloat(at.Seconds(), 'f', -1, 64) + " s"
	}
	if step >= time.Minute {
		return strconv.Itoa(int(at/time.Minute)) + " min"
	}
	return strconv.Itoa(int(at/time.Second)) + " s"
}
