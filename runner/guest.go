package runner

import (
	"fmt"

	"b2c-runner/jobs"
	"b2c-runner/jobs/guest"
)

// newCollector makes the collector that a job's results ask for, or nil.
func newCollector(r jobs.Results) (*guest.Collector, error) {
	if len(r.From) == 0 {
		return nil, nil
	}
	var kinds []string
	for _, form := range r.From {
		kinds = append(kinds, string(form))
	}
	return guest.New(kinds)
}

// guestCases adds the testcases that the board printed, with a.mu held. The error
// is that one of them failed, or that there were none.
func (a *attempt) guestCases() error {
	if a.guest == nil {
		return nil
	}
	cases := a.guest.Cases()
	for _, problem := range a.guest.Problems() {
		a.add(jobs.Event{Kind: "guest-problem", Detail: problem})
	}
	a.out.Cases = append(a.out.Cases, cases...)
	if len(cases) == 0 {
		return &failure{phase: jobs.PhaseSteps, message: "the board printed no testcase, though the job asks for some (results.from)"}
	}
	failed, first := 0, ""
	for _, c := range cases {
		if c.Verdict == jobs.Fail {
			if failed == 0 {
				first = c.Name
			}
			failed++
		}
	}
	if failed == 0 {
		return nil
	}
	return &failure{phase: jobs.PhaseSteps, message: fmt.Sprintf("%d of %d testcases of the board failed, the first is %s", failed, len(cases), first)}
}
