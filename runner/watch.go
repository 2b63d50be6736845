package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"b2c-runner/console"
	"b2c-runner/console/alarm"
	"b2c-runner/jobs"
)

// lastWords is how long a dying kernel may pause between them; alarm.Settle
// bounds them altogether.
const lastWords = 700 * time.Millisecond

// guestBoot is what boot2container said of its containers.
type guestBoot struct {
	started  int // containers
	line     int // of the console where the first one started
	statuses []int
	pipeline int  // status
	over     bool // the pipeline's status was said
	ended    bool // it shuts down or reboots
	err      string
}

// watch looks at every line of the console until a fatal alarm, or until the
// console is lost.
func (a *attempt) watch(ctx context.Context) error {
	marks, err := compileMarks()
	if err != nil {
		return err
	}
	lines := a.stream.CursorAt(0)
	var end time.Time // of a fatal report's last words
	for {
		limited, cancel := ctx, context.CancelFunc(func() {})
		if a.detector.Seen() {
			if end.IsZero() {
				end = time.Now().Add(alarm.Settle)
			}
			next := time.Now().Add(lastWords)
			if end.Before(next) {
				next = end
			}
			limited, cancel = context.WithDeadline(ctx, next)
		}
		line, err := lines.Next(limited)
		cancel()
		if err == nil {
			a.sawLine()
			marks.see(a, line)
			if a.guest != nil && a.reachedKernel() {
				a.guest.Feed(line.At, line.Text)
			}
			a.raise(a.detector.Feed(line.At, line.N, line.Text))
			if !a.detector.Seen() || a.detector.Pending() {
				continue
			}
		}
		a.raise(a.detector.Flush())
		if fatal := a.fatal(); fatal != nil {
			return alarmFailure(*fatal)
		}
		switch {
		case errors.Is(err, console.ErrLost):
			return &failure{verdict: jobs.Error, message: err.Error()}
		case ctx.Err() != nil:
			return nil // another one decided
		case err != nil && !errors.Is(err, context.DeadlineExceeded):
			return &failure{verdict: jobs.Error, message: err.Error()}
		}
	}
}

// reachedKernel reports whether the kernel has control: KUnit prints its results
// while it boots.
func (a *attempt) reachedKernel() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reached(jobs.PhaseKernel)()
}

// sawLine notes that the board lives.
func (a *attempt) sawLine() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lastLine = time.Now()
	if !a.alive {
		a.alive = true
		a.add(jobs.Event{Kind: "console", Detail: "first line"})
		a.wake()
	}
}

// raise keeps alarms for the report.
func (a *attempt) raise(alarms []alarm.Alarm) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, al := range alarms {
		if len(a.out.Alarms) >= maxAlarms && !al.Fatal {
			a.out.Dropped++
			continue
		}
		a.add(jobs.Event{Kind: "alarm", Detail: al.Title})
		a.out.Alarms = append(a.out.Alarms, jobs.Alarm{
			At: al.At, Kind: string(al.Kind), Fatal: al.Fatal, Title: al.Title, Trace: al.Trace,
		})
	}
}

// fatal is the first fatal alarm, or nil.
func (a *attempt) fatal() *jobs.Alarm {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.IndexFunc(a.out.Alarms, func(al jobs.Alarm) bool { return al.Fatal }); i >= 0 {
		return &a.out.Alarms[i]
	}
	return nil
}

// software changes what is known of the board's software.
func (a *attempt) software(change func(*jobs.Guest)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.r.result.Guest)
}

func (a *attempt) containerStarted(line console.Line, groups []string) {
	a.begin(jobs.PhaseContainer, groups[1][:12])
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.boot.started == 0 {
		a.boot.line = line.N
	}
	a.boot.started++
	a.wake()
}

func (a *attempt) containerExited(_ console.Line, groups []string) {
	status := 0
	if len(groups) > 1 {
		status, _ = strconv.Atoi(groups[1]) // the pattern has digits only
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(a.boot.statuses)
	if n >= len(a.r.job.Containers) {
		return
	}
	a.boot.statuses = append(a.boot.statuses, status)
	c := jobs.Case{Class: "containers", Name: a.r.job.Containers[n].Image, Verdict: jobs.Pass}
	if status != 0 {
		c.Verdict, c.Message = jobs.Fail, fmt.Sprintf("exited with status %d", status)
	}
	a.out.Cases = append(a.out.Cases, c)
	a.add(jobs.Event{Kind: "container-exit", Detail: strconv.Itoa(status)})
}

func (a *attempt) pipelineOver(_ console.Line, groups []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.boot.over {
		return
	}
	a.boot.pipeline, _ = strconv.Atoi(groups[1]) // the pattern has digits only
	a.boot.over = true
	a.add(jobs.Event{Kind: "pipeline", Detail: groups[1]})
	a.wake()
}

func (a *attempt) guestOver(console.Line, []string) {
	a.detector.ExpectReset()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.boot.ended = true
	a.wake()
}

func (a *attempt) b2cError(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.boot.err = text
}
