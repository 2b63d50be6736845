package runner

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"b2c-runner/jobs"
)

// conclude turns what ended the attempt into its verdict. A fatal alarm that was
// seen is the reason, whatever else gave up because of it, and although all else
// may have passed.
func (a *attempt) conclude(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, alarm := range a.out.Alarms {
		a.out.Cases = append(a.out.Cases, alarmCase(alarm))
	}
	if i := slices.IndexFunc(a.out.Alarms, func(al jobs.Alarm) bool { return al.Fatal }); i >= 0 && !isCanceled(err) {
		err = alarmFailure(a.out.Alarms[i])
	}
	if failed := a.guestCases(); failed != nil && errors.Is(err, errPassed) {
		err = failed
	}
	if errors.Is(err, errPassed) {
		a.out.Verdict = jobs.Pass
	} else {
		f := asFailure(err)
		if f.phase != "" {
			a.out.Phase = f.phase
		}
		a.out.Verdict, a.out.Message = f.blame(a.r.job, a.out.Phase), f.message
	}
	a.out.Cases = append(a.bootCases(), a.out.Cases...)
}

func isCanceled(err error) bool { return asFailure(err).verdict == jobs.Canceled }

// bootCases makes a testcase of each phase that was begun, with a.mu held.
func (a *attempt) bootCases() []jobs.Case {
	var cases []jobs.Case
	for _, e := range a.out.Timeline {
		if e.Phase == "" {
			continue
		}
		if n := len(cases); n > 0 {
			cases[n-1].Duration = e.At - cases[n-1].Duration
		}
		cases = append(cases, jobs.Case{Class: "boot", Name: string(e.Phase), Verdict: jobs.Pass, Duration: e.At})
	}
	for i := range cases {
		c := &cases[i]
		if i == len(cases)-1 {
			c.Duration = time.Since(a.zero) - c.Duration
		}
		if a.out.Verdict != jobs.Pass && c.Name == string(a.out.Phase) {
			c.Verdict, c.Message = a.out.Verdict, a.out.Message
		}
	}
	return cases
}

// alarmFailure blames the kernel, whose alarm it is, also where a phase is
// otherwise the lab's.
func alarmFailure(alarm jobs.Alarm) *failure {
	f := &failure{verdict: jobs.Fail, message: alarm.Title}
	switch alarm.Kind {
	case "reset":
		f.message = fmt.Sprintf("the board reset in the middle of the run: %s", alarm.Title)
	case "b2c":
		f.message = "boot2container gave up: " + alarm.Title
	}
	return f
}

func alarmCase(alarm jobs.Alarm) jobs.Case {
	c := jobs.Case{Class: "alarms", Name: alarm.Title, Verdict: jobs.Pass, Message: string(alarm.Kind)}
	if alarm.Fatal {
		c.Verdict = jobs.Fail
	}
	for _, line := range alarm.Trace {
		c.Output += line + "\n"
	}
	return c
}
