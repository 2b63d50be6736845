package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/joshdk/go-junit"

	"b2c-runner/jobs"
)

// These tests run whole jobs on the virtual board: QEMU, iPXE, a kernel, podman.

// payload is the directory of the virtual board's kernel, initramfs and image.
func payload(t testing.TB) string {
	t.Helper()
	need := func(err error, hint string) {
		switch {
		case err == nil:
		case os.Getenv("CI") != "":
			t.Fatalf("%v (%s)", err, hint)
		default:
			t.Skipf("needs a virtual board: %v (%s)", err, hint)
		}
	}
	_, err := exec.LookPath("qemu-system-x86_64")
	need(err, "make demo-packages")
	dir, err := filepath.Abs("../../build/payload")
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat(filepath.Join(dir, "busybox.oci"))
	need(err, "make payload")
	return dir
}

// outcome is all that a run leaves.
type outcome struct {
	exit    int
	stderr  string
	result  jobs.Result
	suites  []junit.Suite
	console string
}

// runJob writes a job file and runs it as the program does.
func runJob(t *testing.T, job string) outcome {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "job.yaml")
	if err := os.WriteFile(file, []byte(job), 0o644); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	o := outcome{}
	o.exit = Main(t.Context(), []string{"run", "--out", filepath.Join(dir, "out"), "--cache", filepath.Join(dir, "cache"), file}, nil, &bytes.Buffer{}, &stderr)
	o.stderr = stderr.String()
	o.read(t, filepath.Join(dir, "out"))
	return o
}

// read loads the one report below out.
func (o *outcome) read(t *testing.T, out string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(out, "*", "*", "result.json"))
	if err != nil || len(found) != 1 {
		t.Fatalf("reports below %s: %v, %v\n%s", out, found, err, o.stderr)
	}
	dir := filepath.Dir(found[0])
	data, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &o.result); err != nil {
		t.Fatal(err)
	}
	if o.suites, err = junit.IngestFile(filepath.Join(dir, "junit.xml")); err != nil {
		t.Fatal(err)
	}
	console, _ := os.ReadFile(filepath.Join(dir, "console.log")) // none if nothing was powered
	o.console = string(console)
}

// worst is what the JUnit says: the status of its worst testcase, and its message.
func (o *outcome) worst() (junit.Status, string) {
	status, message := junit.StatusPassed, ""
	for _, s := range o.suites {
		for _, c := range s.Tests {
			if c.Status == junit.StatusFailed || c.Status == junit.StatusError {
				status, message = c.Status, c.Message
			}
		}
	}
	return status, message
}

// bootJob is a job for the virtual board; more is what else it says.
func bootJob(dir, more string) string {
	return fmt.Sprintf(`
version: 1
name: chain
board: {model: qemu-x86_64}
deploy:
  kernel: %[1]s/linux-x86_64
  initramfs: %[1]s/initramfs.linux_amd64.cpio.zst
retries: {firmware: 0, netboot: 0}
timeouts: {firmware: 3m, netboot: 3m, boot: 5m}
`, dir) + strings.ReplaceAll(more, "PAYLOAD", dir)
}

const busybox = `
containers:
  - image: oci:PAYLOAD/busybox.oci
    args: [-t, -i]
`

func TestShippedJobPasses(t *testing.T) {
	dir := payload(t)
	o := runJob(t, bootJob(dir, busybox+`
steps:
  - expect: '/ # '
    timeout: 2m
  - run: uname -m
    expect: x86_64
  - run: head -n 1 /proc/mounts
    expect: ^overlay / overlay
  - run: test -e /run/.containerenv
  - send: "exit\n"
  - expect: {pass: 'pipeline status: 0', fail: 'pipeline status: [1-9]'}
`))
	if o.exit != 0 || o.result.Verdict != jobs.Pass {
		t.Fatalf("exit %d, verdict %s in %s: %s\n%s", o.exit, o.result.Verdict, o.result.Phase, o.result.Message, o.stderr)
	}
	if status, message := o.worst(); status != junit.StatusPassed {
		t.Errorf("junit: %s %s", status, message)
	}
	if !regexp.MustCompile(`(?m)^\+ podman start -a [0-9a-f]{64}`).MatchString(o.console) {
		t.Errorf("console.log has no podman start:\n%s", o.console)
	}
	if len(o.result.Images) != 1 || !strings.HasPrefix(o.result.Images[0].Digest, "sha256:") {
		t.Errorf("images: %+v", o.result.Images)
	}
	phases := ""
	for _, e := range o.result.Attempts[0].Timeline {
		if e.Phase != "" {
			phases += string(e.Phase) + " "
		}
	}
	if want := "setup power firmware netboot kernel userspace pull container steps finish "; phases != want {
		t.Errorf("phases %q, want %q", phases, want)
	}
	if len(o.result.Cmdline) == 0 || o.result.Guest.Kernel == "" {
		t.Errorf("cmdline %q, guest %+v", o.result.Cmdline, o.result.Guest)
	}
}

func TestFaults(t *testing.T) {
	dir := payload(t)
	empty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(empty.Close)
	prompt := "steps:\n  - {expect: '/ # ', timeout: 2m}\n"
	for _, test := range []struct {
		name, job string
		verdict   jobs.Verdict
		phase     jobs.Phase
		exit      int
		junit     junit.Status
		message   string // a pattern
		powered   bool
	}{
		{"kernel panics", strings.Replace(bootJob(dir, busybox), "retries:", "  cmdline: [rdinit=/none, panic=5]\nretries:", 1),
			jobs.Fail, jobs.PhaseKernel, 1, junit.StatusFailed, `kernel panic: VFS: Unable to mount root fs`, true},
		{"initramfs is missing", strings.Replace(bootJob(dir, busybox), "initramfs.linux_amd64", "none", 1),
			jobs.Error, jobs.PhaseSetup, 3, junit.StatusError, `initramfs .*none`, false},
		{"image does not exist", bootJob(dir, "containers: [{image: '"+strings.TrimPrefix(empty.URL, "http://")+"/none:latest'}]\n"),
			jobs.Error, jobs.PhasePull, 3, junit.StatusError, `none:latest.*does not exist`, false},
		{"container exits 3", bootJob(dir, "containers: [{image: 'oci:PAYLOAD/busybox.oci', command: [sh, -c, exit 3]}]\n"),
			jobs.Fail, jobs.PhaseContainer, 1, junit.StatusFailed, `status 3`, true},
		{"pattern never comes", bootJob(dir, busybox+prompt+"  - {expect: never-to-come, timeout: 2s}\n"),
			jobs.Fail, jobs.PhaseSteps, 1, junit.StatusFailed, `never-to-come`, true},
		{"board resets", bootJob(dir, busybox+prompt+"  - send: \"echo b >/proc/sysrq-trigger\\n\"\n  - {expect: never-to-come, timeout: 2m}\n"),
			jobs.Fail, jobs.PhaseSteps, 1, junit.StatusFailed, `reset`, true},
		{"board panics in a step", bootJob(dir, busybox+prompt+"  - send: \"echo c >/proc/sysrq-trigger\\n\"\n  - {expect: never-to-come, timeout: 2m}\n"),
			jobs.Fail, jobs.PhaseSteps, 1, junit.StatusFailed, `kernel panic: sysrq triggered crash`, true},
		{"container never ends", strings.Replace(bootJob(dir, busybox+prompt), "boot: 5m", "boot: 5m, finish: 2s", 1),
			jobs.Fail, jobs.PhaseFinish, 1, junit.StatusFailed, `did not end`, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := runJob(t, test.job)
			if o.exit != test.exit || o.result.Verdict != test.verdict || o.result.Phase != test.phase {
				t.Errorf("exit %d, %s in %s, want exit %d, %s in %s: %s\n%s", o.exit, o.result.Verdict, o.result.Phase,
					test.exit, test.verdict, test.phase, o.result.Message, o.stderr)
			}
			status, message := o.worst()
			if !regexp.MustCompile(test.message).MatchString(o.result.Message) || status != test.junit || message == "" {
				t.Errorf("message %q, junit %s %q; want %s %q", o.result.Message, status, message, test.junit, test.message)
			}
			if powered := o.console != ""; powered != test.powered {
				t.Errorf("powered: %v", powered)
			}
			if test.powered && len(o.result.Attempts[0].Tail) == 0 {
				t.Error("the report has no last lines of the console")
			}
		})
	}
}

func TestTwoRunsAtOnce(t *testing.T) {
	dir := payload(t)
	job := bootJob(dir, "containers: [{image: 'oci:PAYLOAD/busybox.oci', command: ['true']}]\n")
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if o := runJob(t, job); o.exit != 0 {
				t.Errorf("exit %d: %s\n%s", o.exit, o.result.Message, o.stderr)
			}
		})
	}
	wg.Wait()
}

func TestGuestResults(t *testing.T) {
	dir := payload(t)
	job := bootJob(dir, "results: {from: [ktap, lava]}\n"+busybox+`
steps:
  - {expect: '/ # ', timeout: 2m}
  - run: "printf 'TAP version 13\\n1..3\\nok 1 first\\nnot ok 2 second\\nok 3 third # SKIP not here\\n'"
  - run: 'echo "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=smoke RESULT=pass>" >/dev/kmsg'
  - send: "exit\n"
`)
	o := runJob(t, job)
	if o.exit != 1 || o.result.Verdict != jobs.Fail || !strings.Contains(o.result.Message, "1 of 4 testcases of the board failed, the first is second") {
		t.Errorf("exit %d, %s in %s: %s\n%s", o.exit, o.result.Verdict, o.result.Phase, o.result.Message, o.stderr)
	}
	names := map[string]junit.Status{}
	for _, s := range o.suites {
		for _, c := range s.Tests {
			names[c.Name] = c.Status
		}
	}
	if names["first"] != junit.StatusPassed || names["second"] != junit.StatusFailed || names["smoke"] != junit.StatusPassed {
		t.Errorf("junit: %v", names)
	}
}
