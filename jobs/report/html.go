package report

import (
	"bufio"
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"os"
	"strings"
	"time"

	"b2c-runner/jobs"
)

// Limits of report.html. Of cases the red ones stay, of attempts the newest.
const (
	maxRows     = 5000
	maxAttempts = 10 // beside the one that decided
	maxEvents   = 1000
	maxAlarms   = 200
)

var (
	//go:embed page.tmpl
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

// page is what page.tmpl shows.
type page struct {
	*jobs.Result
	CSP     string
	CSS     template.CSS
	Script  template.JS
	Blame   string
	What    string // the message without its advice
	Advice  string
	Failure int // line of the console, 0 if not known
	Last    *attemptView
	Earlier []*attemptView
	Older   int // attempts that are not shown
	Cases   []caseView
	Counts  struct{ All, Pass, Fail, Skipped, LeftOut int }
	Alarms  []alarmView
	Console *recording
}

// attemptView is a power cycle with its picture.
type attemptView struct {
	jobs.Attempt
	Picture *picture
	Events  []eventView
}

type eventView struct {
	jobs.Event
	Line int
}

type alarmView struct {
	jobs.Alarm
	Text string
	Line int
}

// HTML writes r as one page that needs no other file and makes no request. console
// is the last attempt's recording, an asciicast v2, or the raw log, whose lines
// have no times; nil if there is none. What of it cannot be read is said in the
// page. The page is bounded, and so is the memory it takes; nothing that the board
// said can become markup or script.
func HTML(w io.Writer, r *jobs.Result, console io.Reader) error {
	room := shown(maxShown)
	funcs := template.FuncMap{
		"line":    room.line,
		"text":    room.text,
		"seconds": showSeconds,
		"clock":   func(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) },
		"bytes":   showBytes,
		"utc":     func(t time.Time) string { return t.UTC().Format(time.DateTime) },
		"iso":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"upper":   strings.ToUpper,
		"tone":    tone,
		"join":    func(s []string) string { return strings.Join(s, "\n") },
	}
	t, err := template.New("page").Funcs(funcs).Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("failed to read the page's template: %w", err)
	}
	buffered := bufio.NewWriter(w)
	if err := t.Execute(buffered, newPage(r, console)); err != nil {
		return fmt.Errorf("failed to write the page: %w", err)
	}
	return buffered.Flush()
}

// consoleFiles are the recordings of a run, the one with times first.
var consoleFiles = []string{"console.cast", "console.log"}

// writeHTML writes the page with the recording that lies in root, if there is one.
func writeHTML(w io.Writer, r *jobs.Result, root *os.Root) error {
	for _, name := range consoleFiles {
		info, err := root.Stat(name)
		if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
			continue
		}
		f, err := root.Open(name)
		if err != nil {
			continue
		}
		defer f.Close()
		return HTML(w, r, f)
	}
	return HTML(w, r, nil)
}

func newPage(r *jobs.Result, console io.Reader) *page {
	p := &page{
		Result: r, Blame: blame(r.Verdict),
		CSS: template.CSS(pageCSS), Script: template.JS(pageJS),
		CSP: fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; img-src data:; base-uri 'none'; form-action 'none'",
			hashSource(pageCSS), hashSource(pageJS)),
	}
	p.What, p.Advice = splitAdvice(r.Message)
	p.Console = readConsole(console)
	n := len(r.Attempts)
	if n == 0 {
		p.Last = &attemptView{}
		return p
	}
	last := &r.Attempts[n-1]
	p.Console.start(last.Timeline)
	p.Older = max(n-1-maxAttempts, 0)
	for i := p.Older; i < n-1; i++ {
		p.Earlier = append(p.Earlier, newAttemptView(&r.Attempts[i], nil))
	}
	p.Last = newAttemptView(last, p.Console)
	for _, a := range last.Alarms[:min(len(last.Alarms), maxAlarms)] {
		p.Alarms = append(p.Alarms, alarmView{a, strings.Join(a.Trace, "\n"), p.Console.markAlarm(a)})
	}
	p.addCases(last)
	if r.Verdict != jobs.Pass {
		p.Failure = p.failureLine()
	}
	for i := range p.Cases {
		if c := &p.Cases[i]; c.Class == "boot" && c.Tone != tonePass {
			c.Line = p.Failure
		}
	}
	return p
}

func newAttemptView(a *jobs.Attempt, console *recording) *attemptView {
	v := &attemptView{Attempt: *a, Picture: draw(a)}
	for _, e := range a.Timeline[:min(len(a.Timeline), maxEvents)] {
		v.Events = append(v.Events, eventView{e, console.lineAt(e.At)})
	}
	return v
}

// failureLine is where on the console to begin to look: the fatal alarm that
// decided, the failed case, or the last line.
func (p *page) failureLine() int {
	for _, a := range p.Alarms {
		if a.Fatal && a.Line > 0 {
			return a.Line
		}
	}
	for _, c := range p.Cases {
		if c.Tone == toneFail && c.Line > 0 && c.Class != "boot" {
			return c.Line
		}
	}
	return p.Console.last()
}

func blame(v jobs.Verdict) string {
	switch v {
	case jobs.Pass:
		return "Everything that was asked for was seen."
	case jobs.Fail:
		return "What is under test failed; the lab did its part."
	case jobs.Canceled:
		return "The run was cancelled; it says nothing about what is under test."
	default:
		return "The lab failed; it says nothing about what is under test."
	}
}

// splitAdvice takes the "(try: …)" off the end of a message.
func splitAdvice(message string) (what, advice string) {
	if i := strings.LastIndex(message, "(try: "); i >= 0 && strings.HasSuffix(message, ")") {
		return strings.TrimSpace(message[:i]), message[i+len("(try: ") : len(message)-1]
	}
	return message, ""
}

// hashSource allows exactly this inline text (CSP Level 3, section 2.3.1).
func hashSource(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
