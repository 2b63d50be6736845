// Package runner does one job on one board: prepare, boot, steps, teardown. It
// knows no kind of board; whatever happens, it switches the board off and
// writes the report.
package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"b2c-runner/boards"
	"b2c-runner/boards/netboot"
	"b2c-runner/console"
	"b2c-runner/jobs"
	"b2c-runner/jobs/report"
)

// Config is a job, the board to do it on, and where its traces go.
type Config struct {
	Job     *jobs.Job
	Board   *boards.Board
	Network netboot.Network
	Uplink  bool // the network leads to the outside

	OutDir          string   // reports go to OutDir/JOB/TIME-BOARD
	CacheDir        string   // fetched files and images; may be shared by several runners
	DockerConfigDir string   // credentials for registries; empty: anonymous
	Secrets         []string // beside those of the job: starred out wherever they would be written
	// ConsoleSocket is a Unix socket on which others can attach to the console
	// while the run goes on; empty: none. See AttachTyping.
	ConsoleSocket string
	Observer      Observer     // nil: nobody watches
	Logger        *slog.Logger // nil: discard
}

// Observer is told of a run while it goes on. Calls come from several
// goroutines and must not block for long.
type Observer interface {
	// Event is a mark of the timeline of an attempt, numbered from 1; attempt 0
	// is what comes before the first.
	Event(attempt int, e jobs.Event)
	// Line is a line of the console.
	Line(l console.Line)
}

// teardownTimeout bounds switching off, also after Ctrl-C: a PDU that is asked over
// the network, retries and reads back may need most of it.
const teardownTimeout = 30 * time.Second

// run is one call of Run.
type run struct {
	cfg    Config
	job    *jobs.Job
	board  *boards.Board
	log    *slog.Logger
	mask   *console.Masker
	result *jobs.Result
	out    *output
	server *netboot.Server

	bootFiles   []string // names of what the boot loader fetches
	serverEnded chan struct{}
	serverErr   error // after serverEnded

	current        atomic.Pointer[attempt] // whose board is powered
	poweredMu      sync.Mutex
	poweredChanged chan struct{} // closed and replaced when current changes
}

// Run does the job and returns its result and the directory where the report
// is. What went wrong with the board, the test or the lab is in the result; the
// error is that the report could not be written.
func Run(ctx context.Context, cfg Config) (*jobs.Result, string, error) {
	cfg.Secrets = slices.Concat(cfg.Secrets, cfg.Job.Secrets())
	r := &run{cfg: cfg, job: cfg.Job, board: cfg.Board, log: cfg.Logger, mask: console.NewMasker(cfg.Secrets), poweredChanged: make(chan struct{})}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	started := time.Now()
	r.result = &jobs.Result{
		Schema:  jobs.ResultSchema,
		Job:     cfg.Job.Name,
		Board:   cfg.Board.Name,
		Model:   cfg.Board.Model.Name,
		Phase:   jobs.PhaseSetup,
		Started: started,
	}
	var err error
	if r.out, err = newOutput(cfg.OutDir, cfg.Job.Name, cfg.Board.Name, started); err != nil {
		return nil, "", err
	}
	if err := r.do(ctx); err != nil {
		r.fail(err)
	}
	r.result.Duration = time.Since(started)
	r.result.Mask(r.mask.String)
	return r.result, r.out.dir, report.Write(r.out.dir, r.result)
}

// do is setup and attempts. The error is a failure outside of any attempt.
func (r *run) do(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.job.Timeouts.Job, &failure{
		message: fmt.Sprintf("the job took longer than %s, retries included (timeouts.job)", r.job.Timeouts.Job)})
	defer cancel()
	r.observe(0, jobs.Event{Phase: jobs.PhaseSetup, Kind: "phase"})
	detach, err := r.serveConsole(ctx)
	if err != nil { // no reason not to run
		r.log.Warn("nobody can join the console of this run", "err", err)
	}
	defer detach()
	stop, err := r.setup(ctx)
	if err != nil {
		return err
	}
	defer stop()
	used := map[jobs.Phase]int{}
	for n := 1; ; n++ {
		a := r.attempt(ctx, n)
		r.result.Attempts = append(r.result.Attempts, a)
		r.result.Verdict, r.result.Phase, r.result.Message = a.Verdict, a.Phase, a.Message
		again := a.Verdict == jobs.Fail || a.Verdict == jobs.Error
		if !again || used[a.Phase] >= r.job.Retries[a.Phase] || ctx.Err() != nil {
			return nil
		}
		used[a.Phase]++
		r.observe(n, jobs.Event{Kind: "retry", Detail: fmt.Sprintf("%s in phase %s: %s; power cycle %d of %d",
			a.Verdict, a.Phase, a.Message, used[a.Phase], r.job.Retries[a.Phase])})
		if err := r.out.keep(n); err != nil {
			return err
		}
	}
}

// fail makes err, which came outside of any attempt, the result.
func (r *run) fail(err error) {
	f := asFailure(err)
	if f.phase != "" {
		r.result.Phase = f.phase
	}
	r.result.Verdict = f.blame(r.job, r.result.Phase)
	r.result.Message = f.Error()
}

func (r *run) observe(attempt int, e jobs.Event) {
	e.Detail = r.mask.String(e.Detail)
	r.log.Info("event", "attempt", attempt, "at", e.At, "kind", e.Kind, "phase", e.Phase, "detail", e.Detail)
	if r.cfg.Observer != nil {
		r.cfg.Observer.Event(attempt, e)
	}
}

// failure is why a run ended without passing.
type failure struct {
	phase   jobs.Phase   // to blame; empty: the furthest reached
	verdict jobs.Verdict // empty: by the phase
	message string
}

func (f *failure) Error() string { return f.message }

// blame is the verdict of a failure in a phase of a job.
func (f *failure) blame(job *jobs.Job, phase jobs.Phase) jobs.Verdict {
	if f.verdict != "" {
		return f.verdict
	}
	return job.BlameFor(phase)
}

// asFailure takes any error as a failure; a cancelled context is Canceled.
func asFailure(err error) *failure {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, context.Canceled):
		return &failure{verdict: jobs.Canceled, message: "canceled"}
	default:
		return &failure{message: err.Error()}
	}
}

// inPhase marks err as a failure of a phase, unless it is a failure already or
// the run was cancelled.
func inPhase(ctx context.Context, phase jobs.Phase, err error) error {
	var f *failure
	if err == nil || errors.As(err, &f) {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &failure{phase: phase, message: err.Error()}
}
