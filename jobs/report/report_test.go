package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/joshdk/go-junit"

	"b2c-runner/jobs"
	"b2c-runner/jobs/report"
)

var update = flag.Bool("update", false, "write the golden files")

// result is a run with one attempt that came to verdict in phase.
func result(verdict jobs.Verdict, phase jobs.Phase, message string, cases ...jobs.Case) *jobs.Result {
	return &jobs.Result{
		Schema: jobs.ResultSchema, Job: "busybox-qemu", Board: "qemu-x86_64", Model: "qemu-x86_64",
		Verdict: verdict, Phase: phase, Message: message,
		Started: time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC), Duration: 12345678 * time.Microsecond,
		Images:  []jobs.Image{{Ref: "oci:busybox.oci", Digest: "sha256:0123"}},
		Assets:  []jobs.FetchedFile{{Role: "kernel", Source: "linux", SHA256: "abcd", Size: 10}},
		Cmdline: `console=ttyS0 b2c.run="-t -i image"`,
		Guest:   jobs.Guest{Kernel: "Linux version 6.12", Machine: "x86_64"},
		Attempts: []jobs.Attempt{{
			Number: 1, Verdict: verdict, Phase: phase, Message: message, Duration: 12 * time.Second, Cases: cases,
			Tail: []string{"[    1.2] last but one", "\x1b[31m<last> & line\x1b[0m"},
		}},
	}
}

func boot(name string, verdict jobs.Verdict) jobs.Case {
	return jobs.Case{Class: "boot", Name: name, Verdict: verdict, Duration: 1500 * time.Millisecond}
}

// samples are the runs of the golden files.
func samples() map[string][]*jobs.Result {
	pass := result(jobs.Pass, jobs.PhaseFinish, "",
		boot("firmware", jobs.Pass), boot("kernel", jobs.Pass),
		jobs.Case{Class: "steps", Name: "1 run uname -m", Verdict: jobs.Pass, Output: "x86_64\r\n", Duration: time.Millisecond},
		jobs.Case{Class: "alarms", Name: "WARNING in foo", Verdict: jobs.Fail, Message: "warning", Output: "trace"},
	)
	repeated := result(jobs.Pass, jobs.PhaseFinish, "", boot("firmware", jobs.Pass))
	first := jobs.Attempt{
		Number: 1, Verdict: jobs.Error, Phase: jobs.PhaseFirmware, Message: "the board stayed silent",
		Duration: time.Minute, Cases: []jobs.Case{boot("firmware", jobs.Error)}, Tail: []string{"U-Boot"},
	}
	repeated.Attempts = append([]jobs.Attempt{first}, repeated.Attempts...)
	repeated.Attempts[1].Number = 2
	setup := result(jobs.Error, jobs.PhaseSetup, `failed to find the kernel "linux" (try: make payload)`)
	setup.Attempts = nil
	other := result(jobs.Fail, jobs.PhaseKernel, "Kernel panic", boot("kernel", jobs.Fail))
	other.Board = "desk-3"
	return map[string][]*jobs.Result{
		"pass":     {pass},
		"repeated": {repeated},
		"setup":    {setup},
		"canceled": {result(jobs.Canceled, jobs.PhaseNetboot, "canceled", boot("firmware", jobs.Pass))},
		"boards":   {pass, other},
		"steps": {result(jobs.Fail, jobs.PhaseSteps, "step 2 (expect # ) failed",
			boot("kernel", jobs.Pass),
			jobs.Case{Class: "steps", Name: "expect # ", Verdict: jobs.Pass},
			jobs.Case{Class: "steps", Name: "expect # ", Verdict: jobs.Fail, Message: "# did not come", Output: "what came"},
			jobs.Case{Class: "steps", Name: "expect # ", Verdict: jobs.Canceled, Message: "not finished"},
		)},
	}
}

func TestGolden(t *testing.T) {
	for name, results := range samples() {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := report.JUnit(&got, results...); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".xml")
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("wrong file (-want +got), -update writes it:\n%s", diff)
			}
		})
	}
}

// TestIndependentReader reads the files with another parser.
func TestIndependentReader(t *testing.T) {
	type totals struct{ Tests, Passed, Skipped, Failed, Error int }
	tests := map[string]totals{
		"pass":     {4, 3, 1, 0, 0},
		"repeated": {2, 1, 1, 0, 0},
		"setup":    {1, 0, 0, 0, 1},
		"canceled": {2, 1, 0, 0, 1},
		"boards":   {5, 3, 1, 1, 0},
		"steps":    {4, 2, 0, 1, 1},
	}
	for name, results := range samples() {
		t.Run(name, func(t *testing.T) {
			suites := read(t, results...)
			var got totals
			for _, s := range suites {
				got.Tests += s.Totals.Tests
				got.Passed += s.Totals.Passed
				got.Skipped += s.Totals.Skipped
				got.Failed += s.Totals.Failed
				got.Error += s.Totals.Error
			}
			if diff := cmp.Diff(tests[name], got); diff != "" {
				t.Errorf("wrong totals (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFailureShowsTheConsole(t *testing.T) {
	suites := read(t, samples()["steps"]...)
	failed := suites[0].Tests[2]
	if failed.Classname != "busybox-qemu.steps" || failed.Name != "expect # (2)" {
		t.Errorf("case %q of %q", failed.Name, failed.Classname)
	}
	var e junit.Error
	if !errors.As(failed.Error, &e) || e.Message != "# did not come" || e.Type != "fail" {
		t.Errorf("error %#v", failed.Error)
	}
	const tail = "[    1.2] last but one\n<last> & line"
	if want := "# did not come\n\nlast lines of the console:\n" + tail; e.Body != want {
		t.Errorf("body %q, want %q", e.Body, want)
	}
	if want := "what came\n\nconsole:\n" + tail; failed.SystemOut != want {
		t.Errorf("system-out %q, want %q", failed.SystemOut, want)
	}
}

// read renders results and parses them with another library.
func read(t *testing.T, results ...*jobs.Result) []junit.Suite {
	t.Helper()
	var b bytes.Buffer
	if err := report.JUnit(&b, results...); err != nil {
		t.Fatal(err)
	}
	checkXML(t, b.Bytes())
	suites, err := junit.Ingest(b.Bytes())
	if err != nil {
		t.Fatalf("%v\n%.2000s", err, b.Bytes())
	}
	return suites
}

// checkXML reads a file strictly, checks what GitLab needs, and counts failures
// and errors.
func checkXML(t *testing.T, data []byte) (red int) {
	t.Helper()
	if len(data) >= 30_000_000 {
		t.Errorf("%d bytes, GitLab takes less than 30 MB", len(data))
	}
	if !utf8.Valid(data) {
		t.Error("not UTF-8")
	}
	if bytes.Contains(data, []byte("]]>")) || bytes.Contains(data, []byte("[[ATTACHMENT|")) {
		t.Error("a forged mark came through")
	}
	seen := map[[2]string]bool{}
	d := xml.NewDecoder(bytes.NewReader(data))
	for {
		token, err := d.RawToken() // refuses characters that XML 1.0 does not allow
		if err == io.EOF {
			return red
		}
		if err != nil {
			t.Fatalf("not XML: %v", err)
		}
		switch token := token.(type) {
		case xml.CharData:
			if len(token) > 1<<20 {
				t.Errorf("text of %d bytes", len(token))
			}
		case xml.StartElement:
			switch token.Name.Local {
			case "failure", "error":
				red++
			case "testcase":
				key := [2]string{token.Attr[0].Value, token.Attr[1].Value}
				if seen[key] || key[0] == "" || key[1] == "" {
					t.Errorf("case %q has no name of its own", key)
				}
				seen[key] = true
			}
		}
	}
}

func TestHostile(t *testing.T) {
	every := strings.Builder{}
	for b := range 256 {
		every.WriteByte(byte(b))
	}
	every.WriteString("]]>\x1b[2J\x1b]0;title\x07\x1b[0Ksection_end:1:x\r\x1b[0K[[ATTACHMENT|/etc/passwd]]\ufffe\uffff\U0001F600&amp;<!--")
	many := make([]jobs.Case, 40_000)
	for i := range many {
		many[i] = jobs.Case{Class: "ktap", Name: "same name", Verdict: jobs.Pass, Message: every.String()}
	}
	many[len(many)-1].Verdict = jobs.Fail
	tests := map[string]*jobs.Result{
		"every byte": result(jobs.Fail, jobs.PhaseSteps, every.String(),
			jobs.Case{Class: every.String(), Name: every.String(), Verdict: jobs.Fail, Message: every.String(), Output: every.String()}),
		"big output": result(jobs.Fail, jobs.PhaseSteps, "big",
			jobs.Case{Class: "steps", Name: strings.Repeat("n", 1<<20), Verdict: jobs.Fail, Message: strings.Repeat("&\n", 4<<20), Output: strings.Repeat("\x1b[1m\"\x00<", 100<<20/7)}),
		"many outputs": result(jobs.Fail, jobs.PhaseSteps, "many", func() (cs []jobs.Case) {
			text := strings.Repeat("&&&&&&&\n", 1<<17)
			for i := range 100 {
				cs = append(cs, jobs.Case{Class: "steps", Name: fmt.Sprint(i), Verdict: jobs.Fail, Output: text})
			}
			return cs
		}()...),
		"many cases": result(jobs.Fail, jobs.PhaseSteps, "many", many...),
		"no names":   result(jobs.Fail, jobs.PhaseSteps, "", jobs.Case{Verdict: jobs.Pass}, jobs.Case{Verdict: jobs.Pass}, jobs.Case{}),
		"nothing":    {},
	}
	for name, r := range tests {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := report.JUnit(&b, r); err != nil {
				t.Fatal(err)
			}
			if checkXML(t, b.Bytes()) == 0 {
				t.Error("a failed run has no failure in its report")
			}
		})
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	want := samples()["repeated"][0]
	for _, old := range []string{".junit.xml.tmp", "junit.xml"} { // of a run that was killed
		if err := os.WriteFile(filepath.Join(dir, old), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := report.Write(dir, want); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("directory has %v, %v", entries, err)
	}
	f, err := os.Open(filepath.Join(dir, report.ResultFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := report.ReadJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("result.json does not give the result back (-want +got):\n%s", diff)
	}
	data, err := os.ReadFile(filepath.Join(dir, report.JUnitFile))
	if err != nil {
		t.Fatal(err)
	}
	checkXML(t, data)
	if !bytes.Contains(data, []byte("<testsuites")) {
		t.Errorf("junit.xml is %q", data)
	}
}

func TestWriteWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	// A directory in the way of one file must not keep the other from being written.
	if err := os.MkdirAll(filepath.Join(dir, report.ResultFile, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := report.Write(dir, samples()["pass"][0]); err == nil || !strings.Contains(err.Error(), report.ResultFile) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, report.JUnitFile)); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestReadJSONRefuses(t *testing.T) {
	for name, text := range map[string]string{"schema": `{"schema": 99}`, "cut": `{"schema": 1, "job": "a`, "nothing": ""} {
		if r, err := report.ReadJSON(strings.NewReader(text)); err == nil {
			t.Errorf("%s: read %+v", name, r)
		}
	}
}

func FuzzJUnit(f *testing.F) {
	f.Add("name", "message\x00", "out\x1b[1m]]>\xff", byte(1))
	f.Fuzz(func(t *testing.T, name, message, output string, verdict byte) {
		v := []jobs.Verdict{jobs.Pass, jobs.Fail, jobs.Error, jobs.Canceled}[verdict%4]
		r := result(v, jobs.PhaseSteps, message, jobs.Case{Class: output, Name: name, Verdict: v, Message: message, Output: output},
			jobs.Case{Class: output, Name: name, Verdict: jobs.Pass})
		r.Job, r.Attempts[0].Tail = name, strings.Split(output, "\n")
		red := 0
		for _, s := range read(t, r) {
			red += s.Totals.Failed + s.Totals.Error
		}
		if (red > 0) != (v != jobs.Pass) {
			t.Errorf("verdict %q, %d red cases", v, red)
		}
	})
}
