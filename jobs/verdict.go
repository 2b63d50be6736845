// Package jobs says what is asked of a board and what came of it: pure data,
// read strictly from YAML and written to reports. It opens no board and reads
// no clock.
package jobs

import "slices"

// Phase is a stage of a run, in the order of Phases. The furthest phase reached
// decides who is to blame for a failure.
type Phase string

// The phases of a run.
const (
	PhaseSetup     Phase = "setup"     // files, images, network, console: nothing is powered
	PhasePower     Phase = "power"     // the supply is switched on
	PhaseFirmware  Phase = "firmware"  // powered, nothing seen on the network yet
	PhaseNetboot   Phase = "netboot"   // DHCP, script, kernel and initramfs
	PhaseKernel    Phase = "kernel"    // the kernel has control
	PhaseUserspace Phase = "userspace" // the initramfs' init runs
	PhasePull      Phase = "pull"      // the container image is fetched
	PhaseContainer Phase = "container" // the container has been started
	PhaseSteps     Phase = "steps"     // the job's steps are executed
	PhaseFinish    Phase = "finish"    // steps done, waiting for the pipeline's status
)

// Phases lists every phase in order.
var Phases = []Phase{
	PhaseSetup, PhasePower, PhaseFirmware, PhaseNetboot, PhaseKernel,
	PhaseUserspace, PhasePull, PhaseContainer, PhaseSteps, PhaseFinish,
}

// Before reports whether p comes before q.
func (p Phase) Before(q Phase) bool {
	return slices.Index(Phases, p) < slices.Index(Phases, q)
}

// Blame is the verdict of a run that went wrong in phase p, unless the job says
// otherwise: Fail if what is under test is to blame, Error if the lab is.
func (p Phase) Blame() Verdict {
	switch p {
	case PhaseKernel, PhaseUserspace, PhaseContainer, PhaseSteps, PhaseFinish:
		return Fail
	default:
		return Error
	}
}

// Verdict is the outcome of a run.
type Verdict string

// The verdicts.
const (
	Pass     Verdict = "pass"     // a start marker was seen, every step passed, every container's status was 0
	Fail     Verdict = "fail"     // what is under test failed
	Error    Verdict = "error"    // the lab failed
	Canceled Verdict = "canceled" // Ctrl-C, SIGTERM, cancelled by the CI
)

// ExitUsage is the exit status when the command line, a job file or the lab file is wrong.
const ExitUsage = 2

// ExitCode is the exit status of a process whose run came to this verdict.
func (v Verdict) ExitCode() int {
	switch v {
	case Pass:
		return 0
	case Fail:
		return 1
	case Canceled:
		return 130
	default:
		return 3
	}
}
