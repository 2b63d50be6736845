package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"b2c-runner/console"
	"b2c-runner/jobs"
)

// deadlines bounds the boot, stage by stage.
func (a *attempt) deadlines(ctx context.Context) error {
	t := a.r.job.Timeouts
	stages := []struct {
		limit time.Duration
		key   string
		done  func() bool
		what  string
	}{
		{t.Firmware, "firmware", func() bool { return a.alive }, "the board gave no sign of life: no console line and no DHCP request (try: is it powered, are RX and TX swapped, is its serial port enabled?)"},
		{t.Netboot, "netboot", a.reached(jobs.PhaseKernel), "the board did not get as far as a kernel"},
		{t.Boot, "boot", a.reached(jobs.PhaseContainer), "the board did not get as far as its container"},
	}
	if len(a.r.job.Containers) == 0 {
		stages = stages[:2]
	}
	for _, s := range stages {
		limited, cancel := context.WithTimeout(ctx, s.limit)
		err := a.until(limited, s.done)
		cancel()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return context.Cause(ctx)
		default:
			return &failure{message: fmt.Sprintf("%s within %s (timeouts.%s)%s", s.what, s.limit, s.key, a.lastWords())}
		}
	}
	return nil
}

// lastWords says what the console said last, and how long ago: a boot loader that
// hangs is told from one that tries for ever.
func (a *attempt) lastWords() string {
	a.mu.Lock()
	at := a.lastLine
	a.mu.Unlock()
	tail := a.stream.Tail(2)
	words := slices.DeleteFunc(tail, func(line string) bool { return strings.TrimSpace(line) == "" })
	if len(words) == 0 {
		return ""
	}
	return fmt.Sprintf("; its last words, %s ago: %q", time.Since(at).Round(time.Second), words[len(words)-1])
}

// silence ends an attempt whose kernel has gone quiet.
func (a *attempt) silence(ctx context.Context) error {
	if err := a.until(ctx, a.reached(jobs.PhaseKernel)); err != nil {
		return nil // another one decided
	}
	err := a.stream.Silent(ctx, a.r.job.Timeouts.Silence)
	if errors.Is(err, console.ErrSilence) {
		return &failure{message: fmt.Sprintf("%v (timeouts.silence)", err)}
	}
	return nil // lost or cancelled: the watch says so
}

// pipelineGrace is how long steps may go on once boot2container has said its
// last: they read the same lines.
const pipelineGrace = 2 * time.Second

// pipelineEnd ends an attempt whose boot2container has finished while steps still
// wait for something.
func (a *attempt) pipelineEnd(ctx context.Context) error {
	if len(a.r.job.Containers) == 0 {
		return nil
	}
	if err := a.until(ctx, func() bool { return a.boot.over || a.boot.ended }); err != nil {
		return nil // another one decided
	}
	a.mu.Lock()
	started := a.boot.started
	a.mu.Unlock()
	if started > 0 {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pipelineGrace):
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.boot.verdict(a.r.job); err != nil {
		return err
	}
	return &failure{message: "boot2container finished with status 0 before the steps did: " + stepsDone(a.out.Cases, a.r.job)}
}

// verdict judges boot2container's own words: nil is proof of success. None of
// them alone is: a container that could not be created, or a service, can end
// in "pipeline status: 0" or in no status at all.
func (b *guestBoot) verdict(job *jobs.Job) error {
	switch {
	case b.started == 0 && b.err != "":
		return &failure{message: "boot2container gave up before it started a container: " + b.err}
	case b.started == 0:
		return &failure{phase: jobs.PhasePull, message: "boot2container could not pull or create the container: it never started one"}
	case b.over && b.pipeline != 0 && b.started < len(job.Containers) && !slices.ContainsFunc(b.statuses, nonZero):
		return &failure{phase: jobs.PhasePull, message: fmt.Sprintf("boot2container could not pull or create container %d (%s)", b.started+1, job.Containers[b.started].Image)}
	case b.over && b.pipeline != 0:
		return &failure{phase: jobs.PhaseContainer, message: fmt.Sprintf("%s exited with status %d", b.failed(job), b.pipeline)}
	case !b.over:
		return &failure{phase: jobs.PhaseContainer, message: "boot2container ended without a pipeline status"}
	case b.started < len(job.Containers):
		return &failure{phase: jobs.PhasePull, message: fmt.Sprintf("only %d of %d containers were started, though the pipeline's status is 0", b.started, len(job.Containers))}
	default:
		return nil
	}
}

// failed names the container that gave the pipeline its status.
func (b *guestBoot) failed(job *jobs.Job) string {
	if i := slices.IndexFunc(b.statuses, nonZero); i >= 0 {
		return fmt.Sprintf("container %d (%s)", i+1, job.Containers[i].Image)
	}
	return fmt.Sprintf("container %d (%s)", b.started, job.Containers[min(b.started, len(job.Containers))-1].Image)
}

func nonZero(status int) bool { return status != 0 }

// stepsDone says how far the steps got.
func stepsDone(cases []jobs.Case, job *jobs.Job) string {
	done := 0
	for _, c := range cases {
		if c.Class == stepClass {
			done++
		}
	}
	return fmt.Sprintf("%d of %d", done, len(job.Steps))
}
