package runner_test

import (
	"bytes"
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"b2c-runner/boards"
	"b2c-runner/boards/virtual"
	"b2c-runner/console"
	"b2c-runner/console/consoletest"
	"b2c-runner/jobs"
	"b2c-runner/runner"
)

// noSupply feeds a board that is only a recording.
type noSupply struct{}

func (noSupply) On(context.Context) error  { return nil }
func (noSupply) Off(context.Context) error { return nil }

// transcript keeps what an observer is shown.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *transcript) Event(_ int, e jobs.Event) { s.add(e.Detail) }
func (s *transcript) Line(l console.Line)       { s.add(l.Text) }

func (s *transcript) add(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.WriteString(text + "\n")
}

// replay does a job on a board whose console says what steps say, and whose
// network is silent.
func replay(t *testing.T, job string, steps ...consoletest.Step) *jobs.Result {
	t.Helper()
	result, _ := replayIn(t, job, steps...)
	return result
}

// replayIn is replay, and returns where the reports are too.
func replayIn(t *testing.T, job string, steps ...consoletest.Step) (result *jobs.Result, out string) {
	t.Helper()
	out = t.TempDir()
	shown := &transcript{}
	defer func() {
		if err := os.WriteFile(filepath.Join(out, "shown"), []byte(shown.text.String()), 0o644); err != nil {
			t.Error(err)
		}
	}()
	dir := t.TempDir()
	for _, name := range []string{"linux", "initramfs"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text := `
version: 1
name: replay
board: {model: qemu-x86_64}
deploy: {kernel: linux, initramfs: initramfs}
retries: {firmware: 0, netboot: 0}
` + job
	parsed, err := jobs.Parse("job.yaml", dir, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	segment, err := virtual.NewUsernet(virtual.UsernetConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer segment.Close()
	model, err := boards.FindModel("qemu-x86_64")
	if err != nil {
		t.Fatal(err)
	}
	board := &boards.Board{
		Name: "replay", Model: model, MAC: net.HardwareAddr{0x52, 0x54, 0, 1, 2, 3}, Supply: noSupply{},
		Console: func(context.Context) (console.Port, error) { return consoletest.New(steps...), nil },
	}
	result, out, err = runner.Run(t.Context(), runner.Config{
		Job: parsed, Board: board, Network: segment, OutDir: out, CacheDir: t.TempDir(), Observer: shown,
	})
	if err != nil {
		t.Fatal(err)
	}
	return result, out
}

const (
	linux    = "[    0.000000] Linux version 6.1.0 (gcc)\n"
	initLine = "[    1.000000] Run /init as init process\n"
	pull     = "[2.00]: Pull, create, and init the container\n"
	start    = "+ podman start -a 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef -i\n"
	over0    = "[9.00]: Execution is over, pipeline status: 0\n"
	over1    = "[9.00]: Execution is over, pipeline status: 1\n"
	safe     = "[9.10]: It's now safe to turn off your computer\n"
	exited   = "[8.00]: The container exited with error code 7, aborting the pipeline...\n"
	good     = "[8.00]: The container run successfully, load the next one!\n"

	later = "<later>" // the board takes its time

	oneContainer = "containers: [{image: 'oci:BUSYBOX'}]\n"
)

// TestJudgement has what the console says, and the verdict that it must give.
// The first five are the ways in which boot2container's own words mislead.
func TestJudgement(t *testing.T) {
	container := strings.Replace(oneContainer, "BUSYBOX", payload(t)+"/busybox.oci", 1)
	two := strings.Replace(container, "]\n", ", {image: 'oci:"+payload(t)+"/busybox.oci'}]\n", 1)
	for _, test := range []struct {
		name, job, console string
		verdict            jobs.Verdict
		phase              jobs.Phase
		message            string
	}{
		{"pull failed, status 1 like a test's", container, linux + initLine + pull + over1 + safe, jobs.Error, jobs.PhasePull, "never started"},
		{"no network, no status at all", container, linux + initLine + "[3.0]: ERROR: Could not connect to the network, shutting down!\n" + safe, jobs.Fail, jobs.PhaseUserspace, "Could not connect to the network"},
		{"service failed, status 0, nothing ran", container, linux + initLine + pull + over0 + safe, jobs.Error, jobs.PhasePull, "never started"},
		{"bad image name, exits at once", container, linux + initLine + pull + safe, jobs.Error, jobs.PhasePull, "never started"},
		{"only one of two containers ran", two, linux + initLine + pull + start + good + over0 + safe, jobs.Error, jobs.PhasePull, "only 1 of 2"},
		{"second container cannot be pulled, status 1 like a test's", two, linux + initLine + pull + start + good + pull + over1 + safe, jobs.Error, jobs.PhasePull, "could not pull or create container 2"},

		{"all is well", container, linux + initLine + pull + start + good + over0 + safe, jobs.Pass, jobs.PhaseFinish, ""},
		{"container fails", container, linux + initLine + pull + start + exited + strings.Replace(over1, "1\n", "7\n", 1) + safe, jobs.Fail, jobs.PhaseContainer, "status 7"},
		{"the end without a status", container, linux + initLine + pull + start + good + safe, jobs.Fail, jobs.PhaseContainer, "without a pipeline status"},
		{"second container fails", two, linux + pull + start + good + start + exited + strings.Replace(over1, "1\n", "7\n", 1), jobs.Fail, jobs.PhaseContainer, "container 2"},
		{"panic during the pull is the kernel's", container, linux + initLine + pull + "[    5.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009\n[    5.000001] ---[ end Kernel panic - not syncing: Attempted to kill init! ]---\n", jobs.Fail, jobs.PhasePull, "panic"},
		{"a forged end before the start", container, over0 + linux + initLine + pull + safe, jobs.Error, jobs.PhasePull, "never started"},
		{"boot loader that never gets to a kernel", "timeouts: {netboot: 100ms}\n" + container, "U-Boot 2025.01\niPXE initialising devices...\n", jobs.Error, jobs.PhaseFirmware, `last words, .* "iPXE initialising devices...`},
		{"kernel that goes silent", "timeouts: {silence: 100ms}\n" + container, linux, jobs.Fail, jobs.PhaseKernel, "timeouts.silence"},
		{"nothing at all", "timeouts: {firmware: 100ms}\n" + container, "", jobs.Error, jobs.PhaseFirmware, "no sign of life"},
		{"line noise is no sign of life", "timeouts: {firmware: 100ms}\n" + container, "\x00\xff\x00~~", jobs.Error, jobs.PhaseFirmware, "no sign of life"},
		{"blame moved by the job", "blame: {firmware: fail}\ntimeouts: {firmware: 100ms}\n" + container, "", jobs.Fail, jobs.PhaseFirmware, "no sign of life"},
		{"a container without steps may take its time", "timeouts: {finish: 1ms}\n" + container, linux + initLine + pull + start + later + good + over0, jobs.Pass, jobs.PhaseFinish, ""},
		{"alarm silenced by the job", "alarms: {silence: ['sysrq triggered crash']}\n" + container,
			linux + initLine + pull + start + "[    5.0] Kernel panic - not syncing: sysrq triggered crash\n" + good + over0, jobs.Pass, jobs.PhaseFinish, ""},
		{"a panic is no pass, whatever comes after it", container,
			linux + initLine + pull + start + "[    5.000000] Kernel panic - not syncing: once\n" + good + over0, jobs.Fail, jobs.PhaseFinish, "kernel panic: once"},
		{"alarm added by the job", "alarms: {add: [{name: gpu-hang, pattern: GPU HANG, severity: fatal}]}\n" + container,
			linux + initLine + pull + start + "[    5.000000] i915: GPU HANG: ecode 9\n", jobs.Fail, jobs.PhaseContainer, "gpu-hang"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var steps []consoletest.Step
			for i, text := range strings.Split(test.console, later) {
				if i > 0 {
					steps = append(steps, consoletest.Wait(50*time.Millisecond))
				}
				steps = append(steps, consoletest.Say(strings.ReplaceAll(text, "\n", "\r\n")))
			}
			r := replay(t, test.job, steps...)
			if r.Verdict != test.verdict || r.Phase != test.phase || !regexp.MustCompile(test.message).MatchString(r.Message) {
				t.Errorf("%s in %s: %q, want %s in %s: %q", r.Verdict, r.Phase, r.Message, test.verdict, test.phase, test.message)
			}
		})
	}
}

// TestSecretsStayInside has the board and the job say a secret in every way that
// reaches a file.
func TestSecretsStayInside(t *testing.T) {
	const secret = "s3cr3t-of-the-job"
	container := strings.Replace(oneContainer, "BUSYBOX", payload(t)+"/busybox.oci", 1)
	job := "b2c: {minio: 'gw,http://10.0.0.1:9000,access," + secret + "'}\n" + container +
		"steps: [{expect: 'none', timeout: 50ms}]\n"
	board := linux + "[    0.1] Kernel command line: b2c.minio=gw,http://10.0.0.1:9000,access," + secret + "\n" + initLine +
		"+ mcli --no-color alias set gw http://10.0.0.1:9000 access " + secret + "\n" + pull + start +
		"[    5.000000] WARNING: CPU: 0 PID: 1 at drivers/" + secret + ".c:1 probe+0x1/0x2\n" + secret
	r, out := replayIn(t, job, consoletest.Say(strings.ReplaceAll(board, "\n", "\r\n")))
	if r.Verdict != jobs.Fail {
		t.Errorf("%s in %s: %s", r.Verdict, r.Phase, r.Message)
	}
	seen := 0
	err := fs.WalkDir(os.DirFS(out), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(out, path))
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("%s has the secret", path)
		}
		seen++
		return err
	})
	if err != nil || seen < 7 {
		t.Errorf("%d files were looked at: %v", seen, err)
	}
}
