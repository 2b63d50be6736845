package report

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"b2c-runner/jobs"
)

// document writes XML. The first error is kept by the buffer.
type document struct {
	w      *bufio.Writer
	room   int // bytes of XML left for text
	indent string
}

// writeSuites writes the file; texts take at most room bytes of XML.
func writeSuites(w io.Writer, suites []suite, room int) error {
	d := &document{w: bufio.NewWriter(w), room: room}
	d.w.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
	var all counts
	for _, s := range suites {
		all = all.plus(count(s))
	}
	d.open("testsuites", "name", "b2c-runner", "tests", itoa(all.tests), "failures", itoa(all.failures),
		"errors", itoa(all.errors), "time", seconds(all.duration))
	for _, s := range suites {
		d.suite(s)
	}
	d.close("testsuites")
	return d.w.Flush()
}

// counts are what the attributes of suites say.
type counts struct {
	tests, failures, errors, skipped int
	duration                         time.Duration
}

func count(s suite) counts {
	n := counts{tests: len(s.cases), duration: s.result.Duration}
	for _, c := range s.cases {
		switch {
		case c.skipped != "":
			n.skipped++
		case c.verdict == jobs.Fail:
			n.failures++
		case c.red():
			n.errors++
		}
	}
	return n
}

func (n counts) plus(o counts) counts {
	return counts{
		n.tests + o.tests, n.failures + o.failures, n.errors + o.errors, n.skipped + o.skipped,
		n.duration + o.duration,
	}
}

func (d *document) suite(s suite) {
	r, n := s.result, count(s)
	d.open("testsuite", "name", line(r.Job+" on "+r.Board, maxName), "tests", itoa(n.tests),
		"failures", itoa(n.failures), "errors", itoa(n.errors), "skipped", itoa(n.skipped),
		"time", seconds(n.duration), "timestamp", r.Started.UTC().Format("2006-01-02T15:04:05"),
		"hostname", line(r.Board, maxName))
	d.properties(r)
	for _, c := range s.cases {
		d.testcase(c)
	}
	d.close("testsuite")
}

func (d *document) properties(r *jobs.Result) {
	d.open("properties")
	property := func(name, value string) {
		if value != "" {
			d.empty("property", "name", line(name, maxName), "value", line(value, 4*maxError))
		}
	}
	property("job", r.Job)
	property("board", r.Board)
	property("model", r.Model)
	property("verdict", string(r.Verdict))
	property("phase", string(r.Phase))
	property("attempts", itoa(len(r.Attempts)))
	property("kernel", r.Guest.Kernel)
	property("boot2container", r.Guest.Boot2container)
	property("machine", r.Guest.Machine)
	property("cmdline", r.Cmdline)
	for i, image := range r.Images[:min(len(r.Images), 100)] {
		property(fmt.Sprintf("image.%d", i), strings.TrimSuffix(image.Ref+" "+image.Digest, " "))
	}
	for i, file := range r.Assets[:min(len(r.Assets), 100)] {
		property(fmt.Sprintf("file.%d", i), fmt.Sprintf("%s %s sha256:%s", file.Role, file.Source, file.SHA256))
	}
	d.close("properties")
}

func (d *document) testcase(c testcase) {
	attrs := []string{"classname", c.class, "name", c.name, "time", seconds(c.duration)}
	if c.skipped == "" && !c.red() && c.output == "" {
		d.empty("testcase", attrs...)
		return
	}
	d.open("testcase", attrs...)
	switch {
	case c.skipped != "":
		d.empty("skipped", "message", c.skipped)
	case c.verdict == jobs.Fail:
		d.text("failure", c.body, "message", c.message, "type", string(c.verdict))
	case c.red():
		d.text("error", c.body, "message", c.message, "type", line(string(c.verdict), maxName))
	}
	if c.output != "" {
		d.text("system-out", c.output)
	}
	d.close("testcase")
}

// text writes an element with as much of content as there is room for.
func (d *document) text(name, content string, attrs ...string) {
	content = clip(content, min(maxText, max(d.room, len(leftOut))))
	d.room -= escapedSize(content)
	d.tag(name, "", attrs)
	for _, r := range content {
		d.w.WriteString(escaped(r))
	}
	d.w.WriteString("</" + name + ">\n")
}

func (d *document) open(name string, attrs ...string) {
	d.tag(name, "", attrs)
	d.w.WriteByte('\n')
	d.indent += "  "
}

func (d *document) close(name string) {
	d.indent = d.indent[2:]
	d.w.WriteString(d.indent + "</" + name + ">\n")
}

func (d *document) empty(name string, attrs ...string) {
	d.tag(name, "/", attrs)
	d.w.WriteByte('\n')
}

// tag writes a start tag; attrs are names and values in turn, the values of one
// clean line.
func (d *document) tag(name, end string, attrs []string) {
	d.w.WriteString(d.indent + "<" + name)
	for i := 0; i+1 < len(attrs); i += 2 {
		d.w.WriteString(" " + attrs[i] + `="`)
		for _, r := range attrs[i+1] {
			d.w.WriteString(escaped(r))
		}
		d.w.WriteByte('"')
	}
	d.w.WriteString(end + ">")
}

func itoa(n int) string { return strconv.Itoa(n) }

// seconds is d in seconds, to a millisecond, never negative.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(max(d, 0).Seconds(), 'f', 3, 64)
}
