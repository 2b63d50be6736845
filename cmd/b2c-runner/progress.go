package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"b2c-runner/console"
	"b2c-runner/jobs"
)

// progress shows a run to a person: a line for each phase with its time since
// power on, the console beneath it. A terminal that is slow, or stopped with
// Ctrl-S, does not hold the run up: it loses lines, and is told how many.
type progress struct {
	color bool
	quiet bool
	lines chan string
	done  chan struct{}

	mu   sync.Mutex
	lost int
}

// maxBehind is how many lines the terminal may be behind the run.
const maxBehind = 10_000

// lastWords is how long a slow terminal is waited for at the end.
const lastWords = 2 * time.Second

func newProgress(w io.Writer, quiet bool) *progress {
	p := &progress{color: isTerminal(w), quiet: quiet, lines: make(chan string, maxBehind), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		for line := range p.lines {
			_, _ = io.WriteString(w, line) // a terminal that is gone is no reason to stop
		}
	}()
	return p
}

// say shows a line, or counts it as lost.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost > 0 {
		select {
		case p.lines <- fmt.Sprintf("[%d lines were not shown]\n", p.lost):
			p.lost = 0
		default:
		}
	}
	select {
	case p.lines <- fmt.Sprintf(format, args...):
	default:
		p.lost++
	}
}

// close waits until all is shown, but not for ever.
func (p *progress) close() {
	close(p.lines)
	select {
	case <-p.done:
	case <-time.After(lastWords):
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// paint puts text between an SGR sequence (ECMA-48, 8.3.117) and its reset.
func (p *progress) paint(sgr, text string) string {
	if !p.color {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

// Event implements runner.Observer.
func (p *progress) Event(attempt int, e jobs.Event) {
	switch {
	case e.Phase == jobs.PhaseSetup && attempt == 1: // said before
	case e.Phase != "":
		text := strings.TrimSpace(fmt.Sprintf("%-10s %s", e.Phase, e.Detail))
		p.say("%s %s\n", stamp(e.At), p.paint("1", text))
	case e.Kind == "retry", e.Kind == "alarm":
		p.say("%s %s\n", stamp(e.At), p.paint("33", e.Kind+": "+e.Detail))
	case e.Kind == "step":
		p.say("%s step %s\n", stamp(e.At), e.Detail)
	}
}

// Line implements runner.Observer.
func (p *progress) Line(l console.Line) {
	if p.quiet {
		return
	}
	p.say("%s\n", p.paint("2", "         | "+l.Text))
}

// stamp is a time since power on, in seconds.
func stamp(d time.Duration) string { return fmt.Sprintf("%8.2f", d.Seconds()) }

// summary ends the run's output: phases and times, the verdict, the files.
func (p *progress) summary(r *jobs.Result, dir string) {
	p.say("\n")
	if n := len(r.Attempts); n > 0 {
		p.phases(r.Attempts[n-1])
	}
	color := map[jobs.Verdict]string{jobs.Pass: "1;32", jobs.Fail: "1;31"}[r.Verdict]
	if color == "" {
		color = "1;33"
	}
	attempts := ""
	if n := len(r.Attempts); n > 1 {
		attempts = fmt.Sprintf(", %d attempts", n)
	}
	p.say("%s  %s on %s in %.1f s%s\n", p.paint(color, strings.ToUpper(string(r.Verdict))), r.Job, r.Board, r.Duration.Seconds(), attempts)
	if r.Verdict != jobs.Pass {
		p.say("  phase %s: %s\n", r.Phase, r.Message)
		p.tail(r)
	}
	for _, name := range []string{"junit.xml", "report.html", "result.json", "console.log"} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			p.say("  %s\n", path)
		}
	}
}

// tail shows the console's last words, unless they have just been shown.
func (p *progress) tail(r *jobs.Result) {
	if len(r.Attempts) == 0 || !p.quiet {
		return
	}
	lines := r.Attempts[len(r.Attempts)-1].Tail
	for _, line := range lines[max(0, len(lines)-10):] {
		p.say("%s\n", p.paint("2", "  | "+line))
	}
}

func (p *progress) phases(a jobs.Attempt) {
	for _, c := range a.Cases {
		if c.Class == "boot" {
			mark := p.paint("32", "ok")
			if c.Verdict != jobs.Pass {
				mark = p.paint("31", string(c.Verdict))
			}
			p.say("  %-10s %7.2f s  %s\n", c.Name, c.Duration.Seconds(), mark)
		}
	}
}
