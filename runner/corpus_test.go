package runner_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"b2c-runner/console/consoletest"
	"b2c-runner/jobs"
)

// recording is a console log and the verdict that it must give.
type recording struct {
	log     string
	verdict jobs.Verdict
	phase   jobs.Phase
	message string
}

// judge replays recordings of a directory, with a job that waits for ready.
func judge(t *testing.T, dir, ready string, recordings []recording) {
	t.Helper()
	for _, test := range recordings {
		t.Run(test.log, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, test.log))
			if err != nil {
				t.Fatal(err)
			}
			r := replay(t, "timeouts: {netboot: 1s}\nsteps: [{expect: '"+ready+"', timeout: 2s}]\n", consoletest.Say(string(data)))
			if r.Verdict != test.verdict || r.Phase != test.phase || !regexp.MustCompile(test.message).MatchString(r.Message) {
				t.Errorf("%s in %s: %q, want %s in %s: %q", r.Verdict, r.Phase, r.Message, test.verdict, test.phase, test.message)
			}
		})
	}
}

// TestOwnRecordings judges logs of runs on the virtual board.
func TestOwnRecordings(t *testing.T) {
	judge(t, "testdata", "pipeline status: 0", []recording{
		{"busybox-pass.log", jobs.Pass, jobs.PhaseFinish, ""},
		{"panic-in-a-step.log", jobs.Fail, jobs.PhaseContainer, "kernel panic: sysrq triggered crash"},
		{"reset-in-a-step.log", jobs.Fail, jobs.PhaseContainer, "the board reset in the middle of the run"},
	})
}

// TestRecordedBoots judges real serial logs of the corpus: $B2C_CORPUS, or the
// directory beside the checkout.
func TestRecordedBoots(t *testing.T) {
	corpus := os.Getenv("B2C_CORPUS")
	if corpus == "" {
		corpus = "../../shared/data"
	}
	if _, err := os.Stat(filepath.Join(corpus, "serial")); err != nil {
		t.Skipf("needs the corpus of serial logs: %v", err)
	}
	judge(t, filepath.Join(corpus, "serial"), "READY|/ # ", []recording{
		{"x86-podman-http-run1.log", jobs.Pass, jobs.PhaseFinish, ""},
		{"virt-uboot12env-ipxe13stock-autoexec-tap-run1.log", jobs.Pass, jobs.PhaseFinish, ""},
		{"virt-uboot12env-ipxe13stock-autoexec-nopxedhcp-tap-run1.log", jobs.Pass, jobs.PhaseFinish, ""},
		{"virt-edk2-pxe-ipxe13-tap.log", jobs.Pass, jobs.PhaseFinish, ""},
		{"uboot-virt-pxe-boot-run1.log", jobs.Pass, jobs.PhaseFinish, ""},
		{"raspi3b-kernel-usbnet-user-run1.log", jobs.Pass, jobs.PhaseFinish, ""},
		{"fail-kernel-panic-then-reboot-user.log", jobs.Fail, jobs.PhaseKernel, "kernel panic: VFS: Unable to mount root fs"},
		{"virt-uboot12-ipxe13-disk-tap.log", jobs.Error, jobs.PhaseFirmware, "did not get as far as a kernel.*last words.*Ctrl-B"},
		{"fail-tftp-404-user.log", jobs.Error, jobs.PhaseFirmware, "did not get as far as a kernel.*last words"},
		{"raspi3b-uboot12-miniuart.log", jobs.Error, jobs.PhaseFirmware, "did not get as far as a kernel.*last words"},
	})
}
