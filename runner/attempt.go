package runner

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"b2c-runner/console"
	"b2c-runner/console/alarm"
	"b2c-runner/jobs"
	"b2c-runner/jobs/guest"
)

// maxTimeline bounds the events of an attempt; what comes after is counted.
const maxTimeline = 1000

// maxAlarms bounds the alarms of an attempt; a sick kernel can raise one a line.
const maxAlarms = 200

// errPassed ends an attempt whose every proof has been seen.
var errPassed = errors.New("passed")

// attempt is one power cycle.
type attempt struct {
	r        *run
	number   int
	stream   *console.Stream
	detector *alarm.Detector
	guest    *guest.Collector // what the board itself prints; nil: nothing is looked for

	mu      sync.Mutex
	changed chan struct{} // closed and replaced whenever what follows changes
	out     jobs.Attempt
	zero    time.Time // power on
	alive   bool      // a console line or a DHCP request was seen
	// lastLine is when the console's last line came; zero: none has.
	lastLine time.Time
	boot     guestBoot
	fetched  map[string]bool // boot files that were sent whole
}

// attempt powers the board once and sees it through to its end.
func (r *run) attempt(ctx context.Context, number int) jobs.Attempt {
	started := time.Now()
	a := &attempt{
		r: r, number: number, changed: make(chan struct{}), zero: started, fetched: map[string]bool{},
		out: jobs.Attempt{Number: number, Started: started},
	}
	a.begin(jobs.PhaseSetup, "")
	err := a.powered(ctx)
	if a.stream != nil {
		a.out.Tail = a.stream.Tail(40)
	}
	a.conclude(err)
	a.out.Duration = time.Since(started)
	return a.out
}

// powered opens the console, switches the board on, and off again at the end
// whatever happens.
func (a *attempt) powered(ctx context.Context) (err error) {
	logFile, err := a.r.out.create("console.log")
	if err != nil {
		return err
	}
	defer logFile.Close()
	castFile, err := a.r.out.create("console.cast")
	if err != nil {
		return err
	}
	defer castFile.Close()
	textFile, err := a.r.out.create("console.txt")
	if err != nil {
		return err
	}
	defer textFile.Close()
	if a.detector, err = newDetector(a.r.job.Alarms); err != nil {
		return inPhase(ctx, jobs.PhaseSetup, err)
	}
	if a.guest, err = newCollector(a.r.job.Results); err != nil {
		return inPhase(ctx, jobs.PhaseSetup, err)
	}
	port, err := a.r.board.Console(ctx)
	if err != nil {
		return inPhase(ctx, jobs.PhaseSetup, err)
	}
	a.stream = console.NewStream(port, console.Config{
		Log: logFile, Cast: castFile, Secrets: a.r.cfg.Secrets, Logger: a.r.log,
		CharDelay: a.r.board.Model.CharDelay,
	})
	transcribed := a.transcribe(textFile)
	defer func() {
		a.stream.Close()
		err = cmp.Or(err, <-transcribed)
	}()

	a.begin(jobs.PhasePower, "")
	supply := a.r.board.Supply
	if err := supply.Off(ctx); err != nil {
		return inPhase(ctx, jobs.PhasePower, fmt.Errorf("failed to switch the board off before the run: %w", err))
	}
	defer func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardownTimeout)
		defer cancel()
		if offErr := supply.Off(limited); offErr != nil {
			err = &failure{phase: jobs.PhasePower, verdict: jobs.Error,
				message: fmt.Sprintf("failed to switch the board off, IT MAY STILL BE ON: %v (before that: %v)", offErr, err)}
			return
		}
		a.event("power-off", "")
	}()
	a.r.setCurrent(a)
	defer a.r.setCurrent(nil)
	a.setZero(time.Now())
	if err := supply.On(ctx); err != nil {
		return inPhase(ctx, jobs.PhasePower, fmt.Errorf("failed to switch the board on: %w", err))
	}
	a.begin(jobs.PhaseFirmware, "")
	return a.drive(ctx)
}

// drive runs everything that watches a powered board; the first to return
// decides.
func (a *attempt) drive(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.watch(ctx) })
	g.Go(func() error { return a.deadlines(ctx) })
	g.Go(func() error { return a.silence(ctx) })
	g.Go(func() error { return a.steps(ctx) })
	g.Go(func() error { return a.pipelineEnd(ctx) })
	g.Go(func() error { return a.serverLost(ctx) })
	if a.r.cfg.Observer != nil {
		g.Go(func() error { return a.show(ctx) })
	}
	return g.Wait()
}

// transcribe writes each line of the console with its time since power-on, until
// the stream ends; then it sends why writing failed, or nil.
func (a *attempt) transcribe(w io.Writer) <-chan error {
	done := make(chan error, 1)
	lines := a.stream.CursorAt(0)
	go func() {
		out := bufio.NewWriter(w)
		for {
			line, err := lines.Next(context.Background()) // ends with the stream
			if err != nil {
				done <- out.Flush()
				return
			}
			fmt.Fprintf(out, "%10.3f %s\n", line.At.Seconds(), a.r.mask.String(line.Text))
		}
	}()
	return done
}

// serverLost ends the attempt when the board's network does.
func (a *attempt) serverLost(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-a.r.serverEnded:
		return &failure{verdict: jobs.Error, message: fmt.Sprintf("the board's network servers ended: %v", a.r.serverErr)}
	}
}

// show hands the console to the observer.
func (a *attempt) show(ctx context.Context) error {
	lines := a.stream.CursorAt(0)
	for {
		line, err := lines.Next(ctx)
		if err != nil {
			return nil // the watch says why
		}
		line.Text = a.r.mask.String(line.Text)
		a.r.cfg.Observer.Line(line)
	}
}

// begin notes that the attempt has come to a phase; it never goes back.
func (a *attempt) begin(p jobs.Phase, detail string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.out.Phase != "" && !a.out.Phase.Before(p) {
		return
	}
	a.out.Phase = p
	a.add(jobs.Event{Phase: p, Kind: "phase", Detail: detail})
	a.wake()
}

// setZero makes t, power on, the zero of all times.
func (a *attempt) setZero(t time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.out.Timeline {
		a.out.Timeline[i].At -= t.Sub(a.zero)
	}
	a.zero = t
	a.stream.SetStart(t)
}

// event adds a mark to the timeline.
func (a *attempt) event(kind, detail string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.add(jobs.Event{Kind: kind, Detail: detail})
}

// add appends to the timeline, with a.mu held.
func (a *attempt) add(e jobs.Event) {
	e.At = time.Since(a.zero)
	if len(a.out.Timeline) >= maxTimeline {
		a.out.Dropped++
		return
	}
	a.out.Timeline = append(a.out.Timeline, e)
	a.r.observe(a.number, e)
}

// wake tells those who wait that something changed, with a.mu held.
func (a *attempt) wake() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// until waits until cond, which is called with a.mu held, is true.
func (a *attempt) until(ctx context.Context, cond func() bool) error {
	for {
		a.mu.Lock()
		ok, changed := cond(), a.changed
		a.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

// reached is a condition for until.
func (a *attempt) reached(p jobs.Phase) func() bool {
	return func() bool { return !a.out.Phase.Before(p) }
}
