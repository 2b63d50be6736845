package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/net/html"

	"b2c-runner/jobs"
	"b2c-runner/jobs/report"
)

const panicLine = "[    9.6] Kernel panic - not syncing: <tried> & failed"

func kernelLine(i int) string { return fmt.Sprintf("[    3.%03d] line of the kernel", i) }

// failedRun is a run whose second attempt panicked in a step, and the recording
// of that attempt, which began 5 s before power on.
func failedRun() (*jobs.Result, string) {
	const panicked = "kernel panic: tried & failed"
	const second = time.Second
	phase := func(p jobs.Phase, at time.Duration) jobs.Event {
		return jobs.Event{At: at, Phase: p, Kind: "phase"}
	}
	events := []jobs.Event{
		phase(jobs.PhaseSetup, -6*second), phase(jobs.PhasePower, -5*second), phase(jobs.PhaseFirmware, 0),
		{At: 2 * second, Kind: "dhcp-discover", Detail: "ipxe"}, phase(jobs.PhaseNetboot, 2*second),
		{At: 2500 * time.Millisecond, Kind: "script", Detail: "/boot.ipxe"}, {At: 3 * second, Kind: "http", Detail: "/kernel"},
		phase(jobs.PhaseKernel, 3*second), phase(jobs.PhaseUserspace, 7*second), phase(jobs.PhasePull, 8*second),
		phase(jobs.PhaseContainer, 9*second), phase(jobs.PhaseSteps, 9*second), {At: 10 * second, Kind: "step", Detail: "1 run uname -m: pass"},
		{At: 11 * second, Kind: "alarm", Detail: panicked}, phase(jobs.PhaseFinish, 11*second), {At: 12 * second, Kind: "power-off"},
	}
	var cases []jobs.Case
	for _, p := range jobs.Phases {
		cases = append(cases, boot(string(p), jobs.Pass))
	}
	cases[len(cases)-1].Verdict = jobs.Fail
	cases = append(cases,
		jobs.Case{Class: "steps", Name: "1 run uname -m", Verdict: jobs.Pass, Output: "x86_64\n"},
		jobs.Case{Class: "steps", Name: "2 run make test", Verdict: jobs.Canceled, Message: "not finished"},
		jobs.Case{Class: "alarms", Name: panicked, Verdict: jobs.Fail, Message: "panic"})
	r := result(jobs.Fail, jobs.PhaseFinish, panicked+" (try: another kernel)")
	r.Attempts = []jobs.Attempt{
		{Number: 1, Verdict: jobs.Error, Phase: jobs.PhaseFirmware, Message: "silent", Duration: 60 * second,
			Timeline: events[:3], Tail: []string{"last words of attempt 1"}},
		{Number: 2, Verdict: jobs.Fail, Phase: jobs.PhaseFinish, Message: panicked, Duration: 18 * second, Timeline: events, Cases: cases,
			Alarms: []jobs.Alarm{{At: 11 * second, Kind: "panic", Fatal: true, Title: panicked, Trace: []string{panicLine, "[    9.6] Call Trace:"}}}},
	}
	var c castText
	c.add(5.1, "\x1b[2JU-Boot")
	c.add(5.2, " 2024\r\n")
	for i := range 300 {
		c.add(8.5+float64(i)/100, kernelLine(i)+"\r\n")
	}
	c.add(14.5, "# una")
	c.input(14.6, "typed\n")
	c.add(14.7, "me -m\r\nx86_64\r\n")
	c.add(16, panicLine+"\r\n[    9.6] another thread\r\n[    9.6] Call Trace:\r\n[    9.6] end\r\n# ")
	return r, c.String()
}

// castText writes a recording.
type castText struct{ strings.Builder }

func (c *castText) add(at float64, text string)   { c.event(at, "o", text) }
func (c *castText) input(at float64, text string) { c.event(at, "i", text) }

func (c *castText) event(at float64, kind, text string) {
	if c.Len() == 0 {
		c.WriteString(`{"version": 2, "width": 80, "height": 24}` + "\n")
	}
	quoted, _ := json.Marshal(text) // of a string: no error
	fmt.Fprintf(c, "[%f, %q, %s]\n", at, kind, quoted)
}

func htmlOf(t testing.TB, r *jobs.Result, console io.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := report.HTML(&b, r, console); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// parsed is a page as a browser's parser sees it.
type parsed struct {
	root  *html.Node
	ids   map[string]*html.Node
	shape []string // element names with the names of their attributes, in order
}

// parse reads a page and checks what holds for every page: it refers only to
// itself, each reference has its target, only our own script and style are let
// in, and no character hides or reorders others.
func parse(t testing.TB, data []byte) *parsed {
	t.Helper()
	for _, r := range string(data) {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r) {
			t.Fatalf("the page has the character %U", r)
		}
	}
	root, err := html.Parse(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	p := &parsed{root: root, ids: map[string]*html.Node{}}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		shape := n.Data
		for _, a := range n.Attr {
			shape += " " + a.Key
			if a.Key == "id" {
				if p.ids[a.Val] != nil {
					t.Errorf("id %q is there twice", a.Val)
				}
				p.ids[a.Val] = n
			}
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" || a.Key == "action" {
				t.Errorf("attribute %s=%q of %s", a.Key, a.Val, n.Data)
			}
		}
		p.shape = append(p.shape, shape)
	}
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			switch {
			case a.Key == "href" && n.Data == "link" && a.Val == "data:,":
			case a.Key == "href":
				if target, ok := strings.CutPrefix(a.Val, "#"); !ok || p.ids[target] == nil {
					t.Errorf("link to %q", a.Val)
				}
			case a.Key == "aria-labelledby":
				for id := range strings.FieldsSeq(a.Val) {
					if p.ids[id] == nil || strings.TrimSpace(text(p.ids[id])) == "" {
						t.Errorf("%s is said to be named by %q, which says nothing", n.Data, id)
					}
				}
			}
		}
	}
	policy := ""
	for _, n := range p.find("meta") {
		if attr(n, "http-equiv") == "Content-Security-Policy" {
			policy = attr(n, "content")
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	for _, name := range []string{"script", "style"} {
		parts := p.find(name)
		if len(parts) != 1 {
			t.Fatalf("%d elements %q", len(parts), name)
		}
		sum := sha256.Sum256([]byte(text(parts[0])))
		if want := name + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("policy %q does not allow the page's own %s: %s", policy, name, want)
		}
	}
	return p
}

func (p *parsed) find(name string) []*html.Node {
	var out []*html.Node
	for n := range p.root.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			out = append(out, n)
		}
	}
	return out
}

// line is the text of a line of the console, without its number.
func (p *parsed) line(id string) string {
	if p.ids[id] == nil {
		return "no line " + id
	}
	return text(p.ids[id].FirstChild.NextSibling) + " " + strings.TrimSpace(text(p.ids[id].LastChild.PrevSibling)+text(p.ids[id].LastChild))
}

// linked is the line that the first link within n leads to.
func (p *parsed) linked(n *html.Node) string {
	for d := range n.Descendants() {
		if d.Data == "a" {
			return p.line(strings.TrimPrefix(attr(d, "href"), "#"))
		}
	}
	return "no link"
}

func text(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}
