package runner_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"b2c-runner/boards"
	"b2c-runner/boards/virtual"
	"b2c-runner/console"
	"b2c-runner/jobs"
	"b2c-runner/runner"
)

// payload is the directory of the virtual board's kernel, initramfs and image.
func payload(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../build/payload")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "busybox.oci")); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v (make payload)", err)
		}
		t.Skipf("needs a virtual board: %v (make payload)", err)
	}
	return dir
}

// observer calls a function at each event.
type observer func(jobs.Event)

func (o observer) Event(_ int, e jobs.Event) { o(e) }
func (observer) Line(console.Line)           {}

// run does a job, written in YAML, on a virtual board of the model.
func run(t testing.TB, model *boards.Model, dir, job string, seen func(jobs.Event)) *jobs.Result {
	t.Helper()
	result, _ := runIn(t, model, dir, job, seen)
	return result
}

// runIn is run, and returns where the reports are too.
func runIn(t testing.TB, model *boards.Model, dir, job string, seen func(jobs.Event)) (result *jobs.Result, out string) {
	t.Helper()
	out = t.TempDir()
	parsed, err := jobs.Parse("job.yaml", dir, []byte(job))
	if err != nil {
		t.Fatal(err)
	}
	segment, err := virtual.NewUsernet(virtual.UsernetConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- segment.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		segment.Close()
	}()
	result, _, err = runner.Run(ctx, runner.Config{
		Job: parsed, Board: virtual.New(model, segment), Network: segment,
		OutDir: out, CacheDir: t.TempDir(), Observer: observer(seen),
	})
	if err != nil {
		t.Fatal(err)
	}
	return result, out
}

func model(t testing.TB, args ...string) *boards.Model {
	t.Helper()
	m, err := boards.FindModel("qemu-x86_64")
	if err != nil {
		t.Fatal(err)
	}
	m.QEMU.Args = append(slices.Clone(m.QEMU.Args), args...)
	return m
}

const job = `
version: 1
name: chain
board: {model: qemu-x86_64}
deploy:
  kernel: linux-x86_64
  initramfs: initramfs.linux_amd64.cpio.zst
containers: [{image: 'oci:busybox.oci', args: [-t, -i]}]
timeouts: {firmware: 3m, netboot: 3m, boot: 5m}
retries: {firmware: 0, netboot: 0}
`

func TestSilentBoardIsTheLabsFault(t *testing.T) {
	frozen := model(t, "-S") // powered, its CPU stopped
	text := strings.Replace(job, "firmware: 3m", "firmware: 1s", 1)
	text = strings.Replace(text, "firmware: 0", "firmware: 1", 1)
	result := run(t, frozen, payload(t), text, func(jobs.Event) {})
	if result.Verdict != jobs.Error || result.Phase != jobs.PhaseFirmware || !strings.Contains(result.Message, "no sign of life") {
		t.Errorf("%s in %s: %s", result.Verdict, result.Phase, result.Message)
	}
	if len(result.Attempts) != 2 {
		t.Errorf("%d attempts, want one and one retry", len(result.Attempts))
	}
}

func TestImageThatVanishesIsTheLabsFault(t *testing.T) {
	from := payload(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	vanish := func(e jobs.Event) {
		if e.Phase == jobs.PhaseKernel {
			if err := os.RemoveAll(filepath.Join(dir, "busybox.oci", "blobs")); err != nil {
				t.Error(err)
			}
		}
	}
	result := run(t, model(t), dir, job, vanish)
	if result.Verdict != jobs.Error || result.Phase != jobs.PhasePull {
		t.Errorf("%s in %s: %s", result.Verdict, result.Phase, result.Message)
	}
}

func TestMachineThatDiesIsTheLabsFault(t *testing.T) {
	started := time.Now()
	killed := false
	result := run(t, model(t), payload(t), job, func(e jobs.Event) {
		if e.Phase == jobs.PhaseKernel && !killed {
			killed = true
			killMachines(t)
			started = time.Now()
		}
	})
	if result.Verdict != jobs.Error || !strings.Contains(result.Message, "console lost") {
		t.Errorf("%s in %s: %s", result.Verdict, result.Phase, result.Message)
	}
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("it took %s to notice", took)
	}
}
