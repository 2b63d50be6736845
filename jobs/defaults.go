package jobs

import (
	"cmp"
	"maps"
	"time"
)

// defaultTimeouts are the values of WithDefaults.
var defaultTimeouts = Timeouts{
	Job:      15 * time.Minute,
	Setup:    5 * time.Minute,
	Firmware: time.Minute,
	Netboot:  2 * time.Minute,
	Boot:     5 * time.Minute,
	Silence:  2 * time.Minute,
	Step:     time.Minute,
	Finish:   time.Minute,
}

// defaultRetries covers the phases in which boards fail by chance.
var defaultRetries = map[Phase]int{PhaseFirmware: 2, PhaseNetboot: 2}

// WithDefaults returns a copy of j with every timeout set, and with the retries
// of the phases that the job does not name. A phase whose blame is Fail is not
// retried by default.
func (j *Job) WithDefaults() *Job {
	out := *j
	t, d := &out.Timeouts, defaultTimeouts
	*t = Timeouts{
		Job:      cmp.Or(t.Job, d.Job),
		Setup:    cmp.Or(t.Setup, d.Setup),
		Firmware: cmp.Or(t.Firmware, d.Firmware),
		Netboot:  cmp.Or(t.Netboot, d.Netboot),
		Boot:     cmp.Or(t.Boot, d.Boot),
		Silence:  cmp.Or(t.Silence, d.Silence),
		Step:     cmp.Or(t.Step, d.Step),
		Finish:   cmp.Or(t.Finish, d.Finish),
	}
	out.Retries = map[Phase]int{}
	for p, n := range defaultRetries {
		if j.BlameFor(p) == Error {
			out.Retries[p] = n
		}
	}
	maps.Copy(out.Retries, j.Retries)
	return &out
}

// BlameFor is the verdict of a run of this job that goes wrong in phase p.
func (j *Job) BlameFor(p Phase) Verdict {
	return cmp.Or(j.Blame[p], p.Blame())
}
