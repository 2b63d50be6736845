package power

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Exec is any device that is switched by commands, which are started without a
// shell. A command must end with status 0.
type Exec struct {
	On     []string   `yaml:"on" strict:"required"`
	Off    []string   `yaml:"off" strict:"required"`
	Answer string     `yaml:"answer"` // a regular expression that the output of on and off matches
	State  *ExecState `yaml:"state"`  // left out, the state is unknown
}

// ExecState is a command whose output tells the state: the regular expression
// that it matches is On's or Off's.
type ExecState struct {
	Command []string `yaml:"command" strict:"required"`
	On      string   `yaml:"on" strict:"required"`
	Off     string   `yaml:"off" strict:"required"`
}

func (c *Exec) check() error {
	errs := []error{checkCommand("on", c.On), checkCommand("off", c.Off), checkPattern("answer", c.Answer)}
	if s := c.State; s != nil {
		errs = append(errs, checkCommand("state.command", s.Command), checkPattern("state.on", s.On), checkPattern("state.off", s.Off))
		if s.On == "" || s.Off == "" {
			errs = append(errs, errors.New("state needs both on and off"))
		}
	}
	return errors.Join(errs...)
}

func checkCommand(name string, argv []string) error {
	if len(argv) == 0 || argv[0] == "" {
		return fmt.Errorf("%s is empty: want a command as a list", name)
	}
	return nil
}

// device tells commands apart by a digest, since they may hold secrets.
func (c *Exec) device() string {
	if len(c.On) == 0 {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join(c.On, "\x00")))
	return fmt.Sprintf("%s#%x", filepath.Base(c.On[0]), sum[:4])
}

func (c *Exec) secrets() []string { return nil }

func (c *Exec) open(Options) (outlet, error) { return &execOutlet{*c}, nil }

type execOutlet struct{ Exec }

func (e *execOutlet) set(ctx context.Context, on bool) error {
	argv := e.Off
	if on {
		argv = e.On
	}
	output, err := run(ctx, argv)
	if err == nil && e.Answer != "" && !regexp.MustCompile(e.Answer).Match(output) {
		err = fmt.Errorf("the output of %q does not match %q: %s", argv[0], e.Answer, excerpt(output))
	}
	return err
}

func (e *execOutlet) state(ctx context.Context) (State, error) {
	if e.State == nil {
		return Unknown, nil
	}
	output, err := run(ctx, e.State.Command)
	if err != nil {
		return Unknown, err
	}
	return matchState(output, e.State.On, e.State.Off)
}

// run runs a command in a process group of its own, which is killed when ctx
// ends, and returns its stdout. A process that the command leaves behind holds
// run up for WaitDelay at most.
func run(ctx context.Context, argv []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stdout, stderr limitedBuffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return bytes.TrimSpace(stdout.kept), nil
	}
	if said := bytes.TrimSpace(stderr.kept); len(said) > 0 {
		return nil, fmt.Errorf("command %q: %w: %s", argv[0], err, excerpt(said))
	}
	return nil, fmt.Errorf("command %q: %w", argv[0], err)
}

// limitedBuffer keeps the first maxAnswer bytes.
type limitedBuffer struct{ kept []byte }

func (b *limitedBuffer) Write(data []byte) (int, error) {
	b.kept = append(b.kept, data[:min(len(data), maxAnswer-len(b.kept))]...)
	return len(data), nil
}
