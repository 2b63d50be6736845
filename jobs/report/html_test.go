package report_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"b2c-runner/jobs"
	"b2c-runner/jobs/report"
)

func TestPage(t *testing.T) {
	r, cast := failedRun()
	p := parse(t, htmlOf(t, r, strings.NewReader(cast)))

	header := strings.Join(strings.Fields(text(p.find("header")[0])), " ")
	if want := "FAIL busybox-qemu on qemu-x86_64 kernel panic: tried & failed Try: another kernel " +
		"What is under test failed; the lab did its part. It came as far as phase finish. Show line 304 of the console " +
		"12.3 s, 2 attempts, started 2026-11-22 10:30:00 UTC"; header != want {
		t.Errorf("header %q, want %q", header, want)
	}
	const panicAt = "11.000 " + panicLine
	if got := p.linked(p.find("header")[0]); got != panicAt {
		t.Errorf("the verdict leads to %q, want %q", got, panicAt)
	}
	lines := map[string]string{}
	for row := range p.ids["case-rows"].ChildNodes() {
		if row.Type == html.ElementNode {
			cells := slices.Collect(row.ChildNodes())
			name := strings.Join(strings.Fields(cells[1].FirstChild.NextSibling.Data), " ")
			lines[name] = strings.TrimPrefix(attr(row, "class")+" "+p.linked(row), " ")
		}
	}
	want := map[string]string{
		"setup": "pass 0.100 U-Boot 2024", "power": "pass 0.100 U-Boot 2024", "firmware": "pass 0.100 U-Boot 2024",
		"netboot": "pass 3.500 " + kernelLine(0), "kernel": "pass 3.500 " + kernelLine(0), "userspace": "pass 9.500 # uname -m",
		"pull": "pass 9.500 # uname -m", "container": "pass 9.500 # uname -m", "steps": "pass 9.500 # uname -m",
		"finish": "fail " + panicAt, "1 run uname -m": "pass 9.700 x86_64", "2 run make test": "skipped no link",
		"kernel panic: tried & failed": "fail " + panicAt,
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("cases and the lines they lead to (-want +got):\n%s", diff)
	}
	var alarm []string
	for n := range p.ids["console-lines"].ChildNodes() {
		if attr(n, "class") == "a" {
			alarm = append(alarm, p.line(attr(n, "id")))
		}
	}
	if diff := cmp.Diff([]string{panicAt, "11.000 [    9.6] Call Trace:"}, alarm); diff != "" {
		t.Errorf("lines marked as an alarm's (-want +got):\n%s", diff)
	}
	var phases []string
	for n := range p.ids["console-lines"].ChildNodes() {
		if attr(n, "class") == "phase" {
			phases = append(phases, strings.TrimSpace(text(n))+" before "+attr(n.NextSibling, "id"))
		}
	}
	wantPhases := []string{"setup · power · firmware before L1", "netboot · kernel before L2", "userspace · pull · container · steps before L302", "finish before L304"}
	if diff := cmp.Diff(wantPhases, phases); diff != "" {
		t.Errorf("phases noted in the console (-want +got):\n%s", diff)
	}
	if whole := text(p.root); !strings.Contains(whole, "last words of attempt 1") || strings.Contains(text(p.ids["console-lines"]), "typed") {
		t.Error("the first attempt is missing, or what was typed stands among what the board said")
	}
	for _, th := range p.find("th") {
		if attr(th, "scope") != "col" {
			t.Errorf("head %q of a table has no scope", text(th))
		}
	}
}

// TestWhereToLook is about the line that the verdict and the failed phase lead to.
func TestWhereToLook(t *testing.T) {
	const panicAt = "11.000 " + panicLine
	for name, tt := range map[string]struct {
		change func(a *jobs.Attempt)
		want   string
	}{
		"a fatal alarm, whatever else failed": {func(*jobs.Attempt) {}, panicAt},
		"an alarm whose line is not found":    {func(a *jobs.Attempt) { a.Alarms[0].Trace = []string{"masked"} }, "11.000 #"},
		"a failed step":                       {func(a *jobs.Attempt) { a.Alarms = nil }, "9.700 x86_64"},
		"an alarm that is not fatal":          {func(a *jobs.Attempt) { a.Alarms[0].Fatal = false }, "9.700 x86_64"},
		"nothing but silence":                 {func(a *jobs.Attempt) { a.Alarms, a.Cases = nil, a.Cases[:10] }, "11.000 #"},
	} {
		t.Run(name, func(t *testing.T) {
			r, cast := failedRun()
			a := &r.Attempts[1]
			a.Cases[8].Verdict, a.Cases[9].Verdict, a.Cases[10].Verdict = jobs.Fail, jobs.Pass, jobs.Fail // the phase and the step
			a.Timeline[12].Detail = "1 run uname -m: fail"
			tt.change(a)
			p := parse(t, htmlOf(t, r, strings.NewReader(cast)))
			if got := p.linked(p.find("header")[0]); got != tt.want {
				t.Errorf("the verdict leads to %q, want %q", got, tt.want)
			}
			for row := range p.ids["case-rows"].ChildNodes() {
				if strings.Contains(text(row), "boot steps") && p.linked(row) != tt.want {
					t.Errorf("the failed phase leads to %q, want %q", p.linked(row), tt.want)
				}
			}
		})
	}
}

func TestVerdicts(t *testing.T) {
	for verdict, want := range map[jobs.Verdict]string{
		jobs.Pass: "Everything", jobs.Fail: "What is under test failed", jobs.Error: "The lab failed", jobs.Canceled: "cancelled",
	} {
		r := result(verdict, jobs.PhaseNetboot, "x", boot("netboot", verdict))
		p := parse(t, htmlOf(t, r, strings.NewReader("a line\n\n")))
		header := text(p.find("header")[0])
		if !strings.Contains(header, want) || !strings.Contains(header, strings.ToUpper(string(verdict))) {
			t.Errorf("%s: header %q", verdict, header)
		}
		if got := strings.Contains(header, "line 1 of the console"); got != (verdict != jobs.Pass) {
			t.Errorf("%s: the header has a link: %v", verdict, got)
		}
	}
}

func TestPicture(t *testing.T) {
	r, _ := failedRun()
	r.Attempts[0].Duration = 61 * time.Second // the silence after its last event
	p := parse(t, htmlOf(t, r, nil))
	if first := text(p.ids["picture-text-1"]); first != "setup 1.0 s. power 5.0 s. firmware 55.0 s. " {
		t.Errorf("the first attempt's picture says %q", first)
	}
	var picture *html.Node
	for _, svg := range p.find("svg") {
		if attr(svg, "aria-labelledby") == "picture-title-2 picture-text-2" && attr(svg, "role") == "img" {
			picture = svg
		}
	}
	if picture == nil {
		t.Fatal("no picture of the second attempt")
	}
	var bars, marks []string
	for n := range picture.Descendants() {
		switch {
		case strings.HasPrefix(attr(n, "class"), "bar "):
			bars = append(bars, fmt.Sprintf("%s %s %s", strings.TrimSpace(text(n)), attr(n, "x"), attr(n, "width")))
		case strings.HasPrefix(attr(n, "class"), "mark "):
			marks = append(marks, attr(n, "class")+" "+attr(n, "x"))
		}
	}
	wantBars := []string{
		"setup 1.0 s 0.000% 5.556%", "power 5.0 s 5.556% 27.778%", "firmware 2.0 s 33.333% 11.111%", "netboot 1.0 s 44.444% 5.556%",
		"kernel 4.0 s 50.000% 22.222%", "userspace 1.0 s 72.222% 5.556%", "pull 1.0 s 77.778% 5.556%", "container 0.0 s 83.333% 0.500%",
		"steps 2.0 s 83.333% 11.111%", "finish 1.0 s 94.444% 5.556%",
	}
	wantMarks := []string{"mark dhcp 44.444%", "mark script 47.222%", "mark file 50.000%", "mark step 88.889%", "mark alarm bad 94.444%", "mark other 100.000%"}
	if diff := cmp.Diff(wantBars, bars); diff != "" {
		t.Errorf("bars (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantMarks, marks); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
}

func TestBrokenRecordings(t *testing.T) {
	const begin = `{"version": 2}` + "\n" + `[1, "o", "kept\r\n"]` + "\n"
	for name, console := range map[string]io.Reader{
		"no event":  strings.NewReader(begin + "nonsense\n"),
		"cut":       strings.NewReader(begin + `[2, "o", "half a li`),
		"no text":   strings.NewReader(begin + `[2, "o", 5]`),
		"no number": strings.NewReader(begin + `["2", "o", "x"]`),
		"not read":  io.MultiReader(strings.NewReader(begin), iotest.ErrReader(errors.New("disk is gone"))),
		"no log":    io.MultiReader(strings.NewReader("kept\n"), iotest.ErrReader(errors.New("disk is gone"))),
	} {
		t.Run(name, func(t *testing.T) {
			p := parse(t, htmlOf(t, result(jobs.Pass, jobs.PhaseFinish, ""), console))
			if whole := text(p.root); !strings.Contains(whole, "could not be read to its end") {
				t.Error("does not say that the recording is broken")
			}
			if got := strings.TrimSpace(p.line("L1")); !strings.HasSuffix(got, "kept") {
				t.Errorf("line 1 is %q", got)
			}
		})
	}
}

func TestConsoleText(t *testing.T) {
	for raw, want := range map[string]string{
		"plain\r\n":                           "plain",
		"a\x1b[1;31mb\x1b[0mc\n":              "abc",
		"section_start:1:x\r\x1b[0Kshown\n":   "shown",
		"tab\tkept \x00\x08\x7f\n":            "tab\tkept",
		"\xffbad\xc3\n":                       "\ufffdbad\ufffd",
		"no end":                              "no end",
		strings.Repeat("x", 5000) + "\n":      strings.Repeat("x", 4096) + " [… 904 bytes]",
		strings.Repeat("é", 70_000) + "\n":    strings.Repeat("é", 2048) + " [… 135904 bytes]",
		"\x1b]0;title\x07\x1b(B\x1b=prompt\n": "prompt",
	} {
		p := parse(t, htmlOf(t, result(jobs.Pass, jobs.PhaseFinish, ""), strings.NewReader(raw)))
		if got := strings.TrimPrefix(p.line("L1"), " "); got != want {
			t.Errorf("%.40q is shown as %.80q, want %.80q", raw, got, want)
		}
	}
}

func TestWriteTakesTheRecording(t *testing.T) {
	_, cast := failedRun()
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"both":  {map[string]string{"console.cast": cast, "console.log": "raw\n"}, "U-Boot 2024"},
		"log":   {map[string]string{"console.log": "raw\n"}, "raw"},
		"empty": {map[string]string{"console.cast": "", "console.log": "raw\n"}, "raw"},
		"none":  {nil, "The board said nothing."},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := report.Write(dir, samples()["pass"][0]); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(filepath.Join(dir, report.HTMLFile))
			if err != nil {
				t.Fatal(err)
			}
			if got := text(parse(t, data).root); !strings.Contains(got, tt.want) {
				t.Errorf("the page does not have %q", tt.want)
			}
		})
	}
}

// TestRealConsoles makes pages of recorded consoles.
func TestRealConsoles(t *testing.T) {
	dir := os.Getenv("B2C_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	logs, _ := filepath.Glob(filepath.Join(dir, "*", "*.log"))
	if len(logs) == 0 {
		t.Skipf("needs console logs in %s ($B2C_CORPUS)", dir)
	}
	for _, log := range logs {
		f, err := os.Open(log)
		if err != nil {
			t.Fatal(err)
		}
		parse(t, htmlOf(t, result(jobs.Fail, jobs.PhaseKernel, "x"), f))
		f.Close()
	}
	t.Logf("%d logs", len(logs))
}
