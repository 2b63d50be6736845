package report_test

import (
	"bytes"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"b2c-runner/jobs"
)

// hostile are texts that a board or a job could try.
var hostile = []string{
	`<script>alert(1)</script>`, `</script><script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`,
	`</style><style>@import "http://example.org/"`, `<!--`, `-->`, `]]>`, `</title></svg><script>`, `<svg onload=alert(1)>`, `javascript:alert(1)`,
	`{{.}}{{template "page"}}`, `&lt;script&gt;`, `<base href=//example.org>`, `</li></ol><form action=//example.org>`, "<\x00script>", "<scr\x1b[0mipt>alert(1)",
	"\x1b]0;title\x07\x1b[2J\x9b31m", "a\u202egnp.exe\u2066", "\xff\xfe<\xc0\xbcscript>", "\u2028\u2029alert(1)//", "x\r\x1b[0K<b>", `<plaintext>`, `<textarea>`, `<noscript>`,
}

// filled is a result with s in every text.
func filled(s string) (*jobs.Result, string) {
	r, _ := failedRun()
	r.Job, r.Board, r.Model, r.Message, r.Cmdline, r.Phase = s, s, "model", s, s, jobs.Phase(s)
	r.Guest = jobs.Guest{Kernel: s, Boot2container: s, Machine: s}
	r.Images = []jobs.Image{{Ref: s, Digest: s}}
	r.Assets = []jobs.FetchedFile{{Role: s, Source: s, SHA256: s}}
	for i := range r.Attempts {
		a := &r.Attempts[i]
		a.Message, a.Tail, a.Phase = s, []string{s}, jobs.Phase(s)
		a.Timeline = []jobs.Event{{Kind: s, Detail: s}, {Phase: jobs.Phase(s), Kind: s, Detail: s}}
		a.Cases = []jobs.Case{{Class: s, Name: s, Verdict: jobs.Fail, Message: s, Output: s}}
		a.Alarms = []jobs.Alarm{{Kind: s, Title: s, Trace: []string{"the alarm's line", s}}}
	}
	var c castText
	c.add(0.5, s+"\r\nthe alarm's line\r\n")
	return r, c.String()
}

func TestHostileTexts(t *testing.T) {
	r, cast := filled("harmless")
	want := parse(t, htmlOf(t, r, strings.NewReader(cast))).shape
	for _, s := range hostile {
		for _, s := range []string{s, "a" + s, strings.Repeat(s, 300)} {
			r, cast := filled(s)
			for name, console := range map[string]string{"cast": cast, "log": s + "\n"} {
				p := parse(t, htmlOf(t, r, strings.NewReader(console)))
				if name == "cast" && len(s) < 1000 {
					if diff := cmp.Diff(want, p.shape); diff != "" {
						t.Errorf("%q changes the page's elements (-want +got):\n%s", s, diff)
					}
				}
				if n := len(p.find("img")) + len(p.find("form")) + len(p.find("base")) + len(p.find("textarea")); n > 0 {
					t.Errorf("%q made %d elements", s, n)
				}
			}
		}
	}
}

// flood is what a board says that never ends, and the memory in use meanwhile.
type flood struct {
	chunk []byte
	off   int // in chunk
	left  int
	peak  uint64
}

func (f *flood) Read(p []byte) (int, error) {
	if f.left <= 0 && f.off == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.chunk[f.off:])
	f.off = (f.off + n) % len(f.chunk)
	if f.left>>23 != (f.left-n)>>23 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		f.peak = max(f.peak, m.HeapAlloc)
	}
	f.left -= n
	return n, nil
}

func TestFlood(t *testing.T) {
	const size = 24 << 20
	row := func(s string) []byte { return bytes.Repeat([]byte(s), 32768/len(s)) }
	var many castText
	for range 200 {
		many.add(1.5, "<&>\"'+\x1b[1m]]>\xff\r\n")
	}
	_, events, _ := strings.Cut(many.String(), "\n")
	tests := map[string]struct {
		begin string
		chunk []byte
		lines bool
	}{
		"lines":       {"first line\n", row("<&>\"'+\x1b[1m]]>\xff\r\n"), true},
		"empty lines": {"first line\n", row("\n"), true},
		"one line":    {"first line\n", row("no end of it <>"), false},
		"long lines":  {"first line\n", append(row("+"), '\n'), true},
		"recording":   {`{"version": 2}` + "\n" + `[0.1, "o", "first line\r\n"]` + "\n", []byte(events), true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := &flood{chunk: tt.chunk, left: size}
			end := "\nlast line"
			if strings.HasPrefix(tt.begin, "{") {
				end = `[9.5, "o", "last line"]`
			}
			r := result(jobs.Fail, jobs.PhaseSteps, "flooded")
			data := htmlOf(t, r, io.MultiReader(strings.NewReader(tt.begin), f, strings.NewReader(end)))
			t.Logf("page of %.1f MiB, heap of %d MiB", float64(len(data))/(1<<20), f.peak>>20)
			p := parse(t, data)
			begin, _, _ := bytes.Cut(data, []byte(`<ol id="console-lines">`))
			if n := len(data) - len(begin); n > 5<<20 {
				t.Errorf("the console takes %d bytes", n)
			}
			if f.peak > 100<<20 {
				t.Errorf("%d MiB in use", f.peak>>20)
			}
			whole := text(p.ids["console-lines"])
			if !strings.Contains(whole, "first line") || !strings.HasSuffix(strings.TrimSpace(whole), "last line") {
				t.Error("the first or the last line is missing")
			}
			if cut := strings.Contains(whole, "lines ("); cut != tt.lines {
				t.Errorf("says that lines are left out: %v", cut)
			}
			if got := p.linked(p.find("header")[0]); !strings.HasSuffix(got, " last line") {
				t.Errorf("the verdict leads to %q", got)
			}
		})
	}
}

func TestManyTexts(t *testing.T) {
	r, cast := failedRun()
	long := strings.Repeat("<long> ", 2000)
	r.Message = long
	a := r.Attempts[1]
	for i := range 6000 {
		a.Cases = append(a.Cases, jobs.Case{Class: "ktap", Name: strconv.Itoa(i) + long, Verdict: jobs.Pass, Message: long, Output: long})
		a.Timeline = append(a.Timeline, jobs.Event{At: time.Duration(math.MaxInt64), Kind: "http", Detail: long})
		a.Alarms = append(a.Alarms, jobs.Alarm{At: math.MinInt64, Title: long, Trace: []string{long}})
	}
	a.Cases = append(a.Cases, jobs.Case{Class: "ktap", Name: "the red one", Verdict: jobs.Fail})
	a.Duration = math.MaxInt64
	r.Attempts = append(slices.Repeat([]jobs.Attempt{a}, 13), a)
	for i := range r.Attempts {
		r.Attempts[i].Number = i + 1
	}
	data := htmlOf(t, r, strings.NewReader(cast))
	t.Logf("%.1f MiB", float64(len(data))/(1<<20))
	if len(data) > 25<<20 {
		t.Errorf("page of %d bytes", len(data))
	}
	p := parse(t, data)
	if whole := text(p.ids["case-rows"]); !strings.Contains(whole, "the red one") {
		t.Error("a failed case was left out before passed ones")
	}
	if !bytes.Contains(data, []byte("more cases are in result.json")) || !bytes.Contains(data, []byte("3 older ones")) {
		t.Error("does not say what was left out")
	}
}

func FuzzHTML(f *testing.F) {
	_, cast := failedRun()
	for _, s := range hostile {
		f.Add(s, s, int64(5))
	}
	f.Add("x", cast, int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, s, console string, at int64) {
		r, _ := filled(s)
		a := &r.Attempts[1]
		a.Timeline = append(a.Timeline, jobs.Event{At: time.Duration(at), Phase: jobs.PhasePower}, jobs.Event{At: time.Duration(-at), Kind: "step"})
		a.Alarms[0].At, a.Duration = time.Duration(at), time.Duration(-at)
		parse(t, htmlOf(t, r, strings.NewReader(console)))
	})
}
