package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// execGrace is how long the command may take to end by itself; ipmitool
	// closes its session in that time.
	execGrace = 2 * time.Second
	// execDrain is how long a descendant that outlives the command and its
	// process group may keep quiet before its output is given up.
	execDrain = 100 * time.Millisecond
)

// execPort is a command, in a process group of its own, whose stdin and stdout
// are the console.
type execPort struct {
	name   string
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *os.File
	stderr lastWords
	ended  chan struct{} // closed after the command was waited for
	err    error         // of the command; valid once ended is closed

	mu     sync.Mutex
	gone   bool // there is no process group to signal
	closed bool
}

func dialExec(ctx context.Context, spec Spec, logger *slog.Logger) (Port, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stdinReader, stdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stdout, stdoutWriter, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdinReader.Close(), stdin.Close())
	}
	p := &execPort{
		name: spec.Exec[0], stdin: stdin, stdout: stdout,
		cmd: exec.Command(spec.Exec[0], spec.Exec[1:]...), ended: make(chan struct{}),
		stderr: lastWords{logger: logger, name: spec.Exec[0]},
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdinReader, stdoutWriter, &p.stderr
	p.cmd.WaitDelay = execGrace
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go p.run(started)
	err = errors.Join(<-started, stdinReader.Close(), stdoutWriter.Close())
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// run owns the command from start to end, and its thread as long: PR_SET_PDEATHSIG
// fires when the thread that started the command ends (prctl(2)).
func (p *execPort) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.ended)
	if err := p.cmd.Start(); err != nil {
		p.disown()
		started <- err
		return
	}
	started <- nil
	p.awaitExit()
	p.signal(unix.SIGKILL) // what is left of the group
	p.disown()
	p.err = p.cmd.Wait()
	if err := p.stdout.SetReadDeadline(time.Now().Add(execDrain)); err != nil && !errors.Is(err, os.ErrClosed) {
		p.err = errors.Join(p.err, err)
	}
}

// awaitExit leaves the command a zombie, so that its process group stays ours.
func (p *execPort) awaitExit() {
	for unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

// disown ends the signals: the number of the group may soon belong to others.
func (p *execPort) disown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
}

func (p *execPort) signal(signal unix.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.gone {
		unix.Kill(-p.cmd.Process.Pid, signal)
	}
}

// Read returns io.EOF after a command that ended well, and an error with its
// status and last words after any other.
func (p *execPort) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err := p.stdout.Read(b)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		if err := p.stdout.SetReadDeadline(time.Now().Add(execDrain)); err == nil {
			n, _ = p.stdout.Read(b)
		}
	}
	if n > 0 {
		return n, nil
	}
	return 0, p.end()
}

// end waits for a command that has closed its stdout.
func (p *execPort) end() error {
	grace := time.NewTimer(execGrace)
	defer grace.Stop()
	select {
	case <-p.ended:
	case <-grace.C:
		p.signal(unix.SIGKILL)
		<-p.ended
	}
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	words := p.stderr.text()
	switch {
	case closed:
		return os.ErrClosed
	case p.err == nil && words == "":
		return io.EOF
	case p.err == nil:
		return fmt.Errorf("console command %q ended, saying %q: %w", p.name, words, io.EOF)
	}
	return fmt.Errorf("console command %q ended, saying %q: %w", p.name, words, p.err)
}

func (p *execPort) Write(b []byte) (int, error) {
	n, err := p.stdin.Write(b)
	if err != nil {
		return n, fmt.Errorf("failed to write to console command %q: %w", p.name, err)
	}
	return n, nil
}

// Close ends the command by closing its stdin and by SIGTERM, and its whole
// process group by SIGKILL when that takes too long. It returns when it is gone.
func (p *execPort) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		<-p.ended
		return nil
	}
	p.closed = true
	p.mu.Unlock()
	err := p.stdin.Close()
	p.signal(unix.SIGTERM)
	grace := time.NewTimer(execGrace)
	defer grace.Stop()
	select {
	case <-p.ended:
	case <-grace.C:
		p.signal(unix.SIGKILL)
		<-p.ended
	}
	return errors.Join(err, p.stdout.Close())
}

func execDevice(spec Spec) string { return fmt.Sprintf("exec:%q", spec.Exec) }

const (
	maxWords    = 10      // lines kept of a command's stderr
	maxWordLine = 4 << 10 // bytes of one
)

// lastWords is the stderr of a command: logged by the line, its end kept.
type lastWords struct {
	logger *slog.Logger
	name   string

	mu    sync.Mutex
	line  []byte
	lines []string
}

func (w *lastWords) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range b {
		if c == '\n' || len(w.line) == maxWordLine {
			w.flush()
		}
		if c != '\n' {
			w.line = append(w.line, c)
		}
	}
	return len(b), nil
}

func (w *lastWords) flush() {
	line := strings.TrimSpace(strings.ToValidUTF8(string(w.line), "\uFFFD"))
	w.line = w.line[:0]
	if line == "" {
		return
	}
	w.logger.Info("console command", "command", w.name, "stderr", line)
	if len(w.lines) == maxWords {
		w.lines = w.lines[:copy(w.lines, w.lines[1:])]
	}
	w.lines = append(w.lines, line)
}

func (w *lastWords) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
	return strings.Join(w.lines, "\n")
}
