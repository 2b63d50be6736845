package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"b2c-runner/jobs"
)

// process is the program, run as a user does.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	seen  strings.Builder
	out   string // directory of the reports
}

// startJob starts "b2c-runner run" on a job in a directory that anybody may use.
func startJob(t testing.TB, job string, credential *syscall.Credential) *process {
	t.Helper()
	dir, err := os.MkdirTemp("", "b2c-runner-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "job.yaml")
	if err := os.WriteFile(file, []byte(job), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	p := &process{out: filepath.Join(dir, "out")}
	p.cmd = exec.Command(publicCopy(t, dir), "run", "--out", p.out, "--cache", filepath.Join(dir, "cache"), file)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	if credential != nil { // a user with no home
		p.cmd.Env = append(os.Environ(), "HOME=/nonexistent")
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	p.lines = bufio.NewScanner(stderr)
	return p
}

// publicCopy puts the program where another user may execute it.
func publicCopy(t testing.TB, dir string) string {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "b2c-runner")
	if err := os.WriteFile(binary, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return binary
}

// until reads what the program says until it begins phase.
func (p *process) until(t testing.TB, phase jobs.Phase) {
	t.Helper()
	for p.lines.Scan() {
		p.seen.WriteString(p.lines.Text() + "\n")
		if fields := strings.Fields(p.lines.Text()); len(fields) > 1 && fields[1] == string(phase) {
			return
		}
	}
	t.Fatalf("the run ended before phase %s:\n%s", phase, p.seen.String())
}

// wait returns the exit status.
func (p *process) wait() int {
	for p.lines.Scan() {
		p.seen.WriteString(p.lines.Text() + "\n")
	}
	_ = p.cmd.Wait() // its status is what is asked for
	return p.cmd.ProcessState.ExitCode()
}

// machines are the QEMU processes that belong to the program.
func (p *process) machines(t *testing.T) []int {
	t.Helper()
	var pids []int
	children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range children {
		data, _ := os.ReadFile(file) // the thread may have ended
		for field := range strings.FieldsSeq(string(data)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// gone waits for a process to end.
func gone(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000)
	if err != nil || ready == 0 {
		t.Errorf("process %d is still there (%v)", pid, err)
	}
}

func TestSignals(t *testing.T) {
	dir := payload(t)
	hanging := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hanging:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(hanging) })
	prompt := bootJob(dir, busybox+"steps:\n  - {expect: never-to-come, timeout: 5m}\n")
	for _, test := range []struct {
		phase  jobs.Phase
		signal syscall.Signal
		job    string
	}{
		{jobs.PhaseSetup, syscall.SIGTERM, strings.Replace(prompt, dir+"/linux-x86_64", slow.URL+"/linux", 1)},
		{jobs.PhaseFirmware, syscall.SIGINT, prompt},
		{jobs.PhaseNetboot, syscall.SIGTERM, prompt},
		{jobs.PhaseKernel, syscall.SIGHUP, prompt},
		{jobs.PhasePull, syscall.SIGTERM, prompt},
		{jobs.PhaseSteps, syscall.SIGINT, prompt},
	} {
		t.Run(string(test.phase), func(t *testing.T) {
			p := startJob(t, test.job, nil)
			p.until(t, test.phase)
			machines := p.machines(t)
			if powered := len(machines) > 0; powered != (test.phase != jobs.PhaseSetup) {
				t.Errorf("powered in phase %s: %v", test.phase, powered)
			}
			sent := time.Now()
			if err := p.cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			if exit := p.wait(); exit != 130 {
				t.Errorf("exit %d, want 130\n%s", exit, p.seen.String())
			}
			if took := time.Since(sent); took > 5*time.Second {
				t.Errorf("it took %s to stop", took)
			}
			for _, pid := range machines {
				gone(t, pid)
			}
			var o outcome
			o.read(t, p.out)
			if o.result.Verdict != jobs.Canceled {
				t.Errorf("verdict %s: %s", o.result.Verdict, o.result.Message)
			}
		})
	}
}

func TestKillLeavesNoMachine(t *testing.T) {
	p := startJob(t, bootJob(payload(t), busybox), nil)
	p.until(t, jobs.PhaseNetboot)
	machines := p.machines(t)
	if len(machines) == 0 {
		t.Fatal("the board is not powered")
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait()
	for _, pid := range machines {
		gone(t, pid)
	}
}

func TestUnprivileged(t *testing.T) {
	dir := payload(t)
	if os.Getuid() != 0 {
		t.Skip("is not root: every other test shows it")
	}
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	readable := t.TempDir()
	if out, err := exec.Command("cp", "-r", dir+"/.", readable).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for d := readable; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := startJob(t, bootJob(readable, "containers: [{image: 'oci:PAYLOAD/busybox.oci', command: ['true']}]\n"), nobody)
	p.until(t, jobs.PhaseFirmware)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Uid:\t65534", "CapEff:\t0000000000000000"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in /proc/self/status", want)
		}
	}
	if exit := p.wait(); exit != 0 {
		t.Errorf("exit %d\n%s", exit, p.seen.String())
	}
}

// TestStoppedTerminal does not read what the program prints, as a terminal does
// after Ctrl-S, and then leaves altogether: the run ends all the same.
func TestStoppedTerminal(t *testing.T) {
	dir := payload(t)
	flood := "containers: [{image: 'oci:PAYLOAD/busybox.oci', command: [sh, -c, 'seq 30000']}]\n"
	p := startJob(t, bootJob(dir, flood), nil)
	p.until(t, jobs.PhaseContainer)
	exited := make(chan error, 1)
	go func() { exited <- p.cmd.Wait() }() // closes the pipe only when the program has ended
	select {
	case <-exited:
	case <-time.After(2 * time.Minute):
		t.Fatal("the run is held up by a terminal that does not read")
	}
	var o outcome
	o.read(t, p.out)
	if o.result.Verdict != jobs.Pass {
		t.Errorf("%s: %s", o.result.Verdict, o.result.Message)
	}
}
