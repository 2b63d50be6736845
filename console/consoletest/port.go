// Package consoletest has boards' consoles for tests: Port plays a script, Shell
// is a board that stands at a shell's prompt.
package consoletest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"b2c-runner/console"
)

// Step is one thing that a Port does.
type Step struct {
	say  []byte
	wait time.Duration
	hear string
	err  error
}

// Say makes text readable.
func Say(text string) Step { return Step{say: []byte(text)} }

// Wait lets d pass.
func Wait(d time.Duration) Step { return Step{wait: d} }

// Hear waits until text was written, counted from the last Hear.
func Hear(text string) Step { return Step{hear: text} }

// Gap reports that the console was away for d.
func Gap(d time.Duration) Step {
	return Step{err: &console.GapError{Since: time.Now().Add(-d), For: d}}
}

// Lose ends the console: Read fails with err; io.EOF if the far end closes it.
func Lose(err error) Step { return Step{err: err} }

// Bytes says text in reads of n bytes.
func Bytes(n int, text string) []Step {
	var steps []Step
	for n = max(n, 1); len(text) > 0; {
		k := min(n, len(text))
		steps = append(steps, Say(text[:k]))
		text = text[k:]
	}
	return steps
}

// Port is a console.Port that plays its steps, and then is silent.
type Port struct {
	mu      sync.Mutex
	steps   []Step
	written strings.Builder
	heard   int
	closed  bool
	wake    chan struct{} // closed and replaced at each change
}

// New makes a Port that plays steps.
func New(steps ...Step) *Port {
	return &Port{steps: steps, wake: make(chan struct{})}
}

// Feed appends steps.
func (p *Port) Feed(steps ...Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps = append(p.steps, steps...)
	p.signal()
}

// signal wakes a blocked Read; the lock is held.
func (p *Port) signal() {
	close(p.wake)
	p.wake = make(chan struct{})
}

// Written is all that was written.
func (p *Port) Written() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.written.String()
}

// Done is an error that names the first step that was not played; the end of the
// console is not asked for.
func (p *Port) Done() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.steps) > 1 || len(p.steps) == 1 && p.steps[0].err == nil {
		return fmt.Errorf("%d steps were not played, the first is %+v", len(p.steps), p.steps[0])
	}
	return nil
}

// Read plays the next step.
func (p *Port) Read(b []byte) (int, error) {
	for {
		n, pause, wake, err := p.next(b)
		if n > 0 || err != nil {
			return n, err
		}
		var timer <-chan time.Time
		if pause > 0 {
			timer = time.After(pause)
		}
		select {
		case <-wake:
			if pause > 0 {
				p.resume(timer)
			}
		case <-timer:
		}
	}
}

// resume goes on with a pause that a change interrupted, unless Close ended it.
func (p *Port) resume(timer <-chan time.Time) {
	for {
		p.mu.Lock()
		closed, wake := p.closed, p.wake
		p.mu.Unlock()
		if closed {
			return
		}
		select {
		case <-timer:
			return
		case <-wake:
		}
	}
}

// next plays what can be played at once; else it says how long to pause, or what
// to wait for.
func (p *Port) next(b []byte) (n int, pause time.Duration, wake chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if p.closed {
			return 0, 0, nil, os.ErrClosed
		}
		if len(p.steps) == 0 {
			return 0, 0, p.wake, nil
		}
		step := &p.steps[0]
		switch {
		case step.err != nil:
			if _, gap := errors.AsType[*console.GapError](step.err); gap {
				p.steps = p.steps[1:]
			}
			return 0, 0, nil, step.err
		case step.wait > 0:
			pause = step.wait
			p.steps = p.steps[1:]
			return 0, pause, p.wake, nil
		case step.hear != "":
			i := strings.Index(p.written.String()[p.heard:], step.hear)
			if i < 0 {
				return 0, 0, p.wake, nil
			}
			p.heard += i + len(step.hear)
			p.steps = p.steps[1:]
		default:
			n = copy(b, step.say)
			if step.say = step.say[n:]; len(step.say) == 0 {
				p.steps = p.steps[1:]
			}
			if n > 0 {
				return n, 0, nil, nil
			}
		}
	}
}

// Write notes what is typed at the board.
func (p *Port) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, io.ErrClosedPipe
	}
	p.written.Write(b)
	p.signal()
	return len(b), nil
}

// Close ends a blocked Read.
func (p *Port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		p.signal()
	}
	return nil
}
