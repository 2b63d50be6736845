package runner_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"b2c-runner/jobs"
)

// BenchmarkReaction prints how long a run takes to notice that its machine died,
// and that its kernel panicked in a step, counted from the panic's last line.
func BenchmarkReaction(b *testing.B) {
	dir := payload(b)
	for b.Loop() {
		var killed, noticed time.Time
		run(b, model(b), dir, job, func(e jobs.Event) {
			switch {
			case e.Phase == jobs.PhaseKernel && killed.IsZero():
				killMachines(b)
				killed = time.Now()
			case e.Kind == "power-off" && !killed.IsZero():
				noticed = time.Now()
			}
		})
		b.ReportMetric(float64(noticed.Sub(killed).Microseconds())/1000, "ms/machine-died")

		steps := "steps:\n  - {expect: '/ # ', timeout: 2m}\n  - send: \"echo c >/proc/sysrq-trigger\\n\"\n  - {expect: never-to-come, timeout: 2m}\n"
		_, out := runIn(b, model(b), dir, job+steps, func(e jobs.Event) {
			if e.Kind == "alarm" {
				noticed = time.Now()
			}
			if e.Kind == "phase" && e.Phase == jobs.PhasePower {
				killed = time.Now() // now: power on
			}
		})
		b.ReportMetric(float64((noticed.Sub(killed) - lastLine(b, out)).Milliseconds()), "ms/panicked")
	}
}

// lastLine is when the console's last line came, since power-on.
func lastLine(b *testing.B, out string) time.Duration {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(out, "*", "*", "console.txt"))
	if err != nil || len(files) != 1 {
		b.Fatalf("console.txt: %v, %v", files, err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var last float64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if at, err := strconv.ParseFloat(strings.Fields(lines.Text() + " 0")[0], 64); err == nil {
			last = at
		}
	}
	return time.Duration(last * float64(time.Second))
}
