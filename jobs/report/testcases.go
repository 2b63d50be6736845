package report

import (
	"strings"
	"time"

	"b2c-runner/jobs"
)

// caseView is a row of the table of testcases.
type caseView struct {
	jobs.Case
	Tone string // its group of the filter
	Word string
	Line int // of the console, 0 if not known
}

// addCases makes the rows of the attempt that decided; if there are too many,
// passed ones are left out first.
func (p *page) addCases(a *jobs.Attempt) {
	red := 0
	for _, c := range a.Cases {
		if p.caseTone(c.Verdict) != tonePass {
			red++
		}
	}
	room := map[bool]int{true: maxRows - min(red, maxRows), false: maxRows} // of passed ones, of others
	place := newPlaces(a)
	for _, c := range a.Cases {
		v := caseView{Case: c, Tone: p.caseTone(c.Verdict), Word: string(c.Verdict)}
		if v.Tone == toneSkipped && c.Verdict != jobs.Canceled {
			v.Word = "skipped"
		}
		p.Counts.All++
		switch v.Tone {
		case tonePass:
			p.Counts.Pass++
		case toneFail:
			p.Counts.Fail++
		default:
			p.Counts.Skipped++
		}
		at, known := place.of(c)
		passed := v.Tone == tonePass
		if room[passed] == 0 {
			p.Counts.LeftOut++
			continue
		}
		room[passed]--
		switch {
		case c.Class == "alarms":
			v.Line = p.alarmLine(c.Name)
		case known && c.Class == "boot":
			v.Line = p.Console.lineAfter(at)
		case known:
			v.Line = p.Console.lineAt(at)
		}
		p.Cases = append(p.Cases, v)
	}
}

// caseTone is a case's colour: what failed in a run that passed does not count.
func (p *page) caseTone(v jobs.Verdict) string {
	if p.Verdict == jobs.Pass && v != jobs.Pass {
		return toneSkipped
	}
	return tone(v)
}

func (p *page) alarmLine(title string) int {
	for _, a := range p.Alarms {
		if a.Title == title {
			return a.Line
		}
	}
	return 0
}

// places finds out when cases came to their verdicts.
type places struct {
	phases     map[string]time.Duration
	steps      map[string]time.Duration
	containers []time.Duration // in order
}

func newPlaces(a *jobs.Attempt) *places {
	p := &places{phases: map[string]time.Duration{}, steps: map[string]time.Duration{}}
	for _, e := range a.Timeline {
		switch {
		case e.Phase != "":
			p.phases[string(e.Phase)] = e.At
		case e.Kind == "step":
			if i := strings.LastIndex(e.Detail, ": "); i >= 0 {
				p.steps[e.Detail[:i]] = e.At
			}
		case e.Kind == "container-exit":
			p.containers = append(p.containers, e.At)
		}
	}
	return p
}

func (p *places) of(c jobs.Case) (at time.Duration, known bool) {
	switch c.Class {
	case "boot":
		at, known = p.phases[c.Name]
	case "steps":
		at, known = p.steps[c.Name]
	case "containers":
		if len(p.containers) > 0 {
			at, known = p.containers[0], true
			p.containers = p.containers[1:]
		}
	}
	return at, known
}
