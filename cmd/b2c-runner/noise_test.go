package main

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b2c-runner/console"
	"b2c-runner/jobs"
	"b2c-runner/runner"
)

// noisyBoard runs a virtual board to its prompt, where the kernel prints 20 lines
// a second, at levels 0 and 4. It returns the socket of its console.
func noisyBoard(t testing.TB) string {
	t.Helper()
	state := t.TempDir()
	t.Setenv("B2C_RUNNER_STATE", state)
	job := strings.Replace(bootJob(payload(t), busybox), "retries:", "  cmdline: [printk.devkmsg=on]\nretries:", 1) + `
steps:
  - {expect: '/ # ', timeout: 5m}
  - send: "(while :; do echo '<4>noise: some driver is verbose' >/dev/kmsg; sleep 0.05; echo '<0>noise: an emergency that is none' >/dev/kmsg; sleep 0.05; done) & (while :; do echo '<4>noise: more of it' >/dev/kmsg; sleep 0.05; done) &\n"
  - {expect: never-to-come, timeout: 14m}
`
	p := startJob(t, job, nil)
	p.until(t, jobs.PhaseSteps)
	for p.lines.Scan() && !strings.Contains(p.lines.Text(), "emergency that is none") {
	}
	go p.wait() // reads on, so that the run is never held up
	sockets, err := filepath.Glob(filepath.Join(state, "consoles", "*.sock"))
	if err != nil || len(sockets) != 1 {
		t.Fatalf("console sockets: %v, %v", sockets, err)
	}
	return sockets[0]
}

// commands runs n commands at the board's prompt and returns how many timed out,
// how many gave a wrong answer, and how many lines of noise came meanwhile.
func commands(t testing.TB, socket string, n int) (timeouts, wrong, noise int) {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte{runner.AttachTyping}); err != nil {
		t.Fatal(err)
	}
	stream := console.NewStream(conn, console.Config{})
	defer stream.Close()
	lines := stream.Cursor()
	for i := range n {
		opts := console.ExpectOptions{Deadline: time.Now().Add(10 * time.Second)}
		got, err := lines.Run(t.Context(), fmt.Sprintf("echo out-%d; (exit %d)", i, i%256), opts)
		switch {
		case err != nil:
			timeouts++
			t.Logf("command %d: %v", i, err)
		case strings.TrimSpace(got.Output) != fmt.Sprintf("out-%d", i) || got.Status != i%256:
			wrong++
			t.Logf("command %d: status %d, output %q", i, got.Status, got.Output)
		}
		noise += len(got.Noise)
	}
	return timeouts, wrong, noise
}

func TestCommandsUnderKernelNoise(t *testing.T) {
	timeouts, wrong, noise := commands(t, noisyBoard(t), 60)
	if timeouts > 0 || wrong > 0 {
		t.Errorf("of 60 commands %d timed out and %d gave a wrong answer", timeouts, wrong)
	}
	if noise == 0 {
		t.Error("there was no noise: the test shows nothing")
	}
}

// BenchmarkNoise runs 300 commands under the kernel's noise, and the same with
// pexpect on the same board.
func BenchmarkNoise(b *testing.B) {
	socket := noisyBoard(b)
	const n = 300
	for b.Loop() {
		started := time.Now()
		timeouts, wrong, noise := commands(b, socket, n)
		b.Logf("b2c-runner: %d commands under %d lines of noise in %s: %d timed out, %d wrong",
			n, noise, time.Since(started).Round(time.Millisecond), timeouts, wrong)
		if timeouts+wrong > 0 {
			b.Fail()
		}
		started = time.Now()
		out, err := exec.Command("/usr/bin/python3", "testdata/bench/noise.py", socket, fmt.Sprint(n)).Output()
		if err != nil {
			b.Skipf("needs python3-pexpect: %v", err)
		}
		var theirTimeouts, theirWrong int
		if _, err := fmt.Sscan(string(out), &theirTimeouts, &theirWrong); err != nil {
			b.Fatal(err)
		}
		b.Logf("pexpect:    %d commands in %s: %d timed out, %d wrong", n, time.Since(started).Round(time.Millisecond), theirTimeouts, theirWrong)
		b.ReportMetric(float64(timeouts+wrong), "failed")
		b.ReportMetric(float64(theirTimeouts+theirWrong), "failed/pexpect")
	}
}
