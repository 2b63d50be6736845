package report_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"b2c-runner/jobs/report"
)

// browser is a headless Chromium with one page, spoken to through the DevTools
// protocol on a pipe (--remote-debugging-pipe: JSON texts that end with NUL).
type browser struct {
	t        *testing.T
	in       *os.File
	out      *bufio.Reader
	session  string
	id       int
	page     string   // its URL
	requests []string // URLs that were asked for
	problems []string // of the page: script errors, what its CSP refused
}

// newBrowser starts Chromium, or skips the test.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("needs chromium")
	}
	commands, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, answers, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "report-browser-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(profile) }) // a helper of Chromium's may still write as it dies
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
		"--disable-dev-shm-usage", "--user-data-dir="+profile, "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{commands, answers} // 3 and 4
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // and its helpers
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	commands.Close()
	answers.Close()
	t.Cleanup(func() {
		in.Close() // Chromium ends with its pipe
		ended := time.AfterFunc(10*time.Second, kill)
		cmd.Wait() // its exit status says nothing
		ended.Stop()
		kill()
		out.Close()
	})
	stuck := time.AfterFunc(time.Minute, kill)
	t.Cleanup(func() { stuck.Stop() })
	b := &browser{t: t, in: in, out: bufio.NewReaderSize(out, 1<<20)}
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Network", "Log", "Runtime"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// message is an answer or an event.
type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct{ Message string }
}

// call asks Chromium for something and decodes the answer into result.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.id++
	text, err := json.Marshal(map[string]any{"id": b.id, "method": method, "params": params, "sessionId": b.session})
	if err != nil {
		b.t.Fatal(err)
	}
	if b.session == "" {
		text = bytes.Replace(text, []byte(`,"sessionId":""`), nil, 1)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Fatalf("failed to ask chromium for %s: %v", method, err)
	}
	id := b.id
	m := b.until(func(m message) bool { return m.ID == id })
	if m.Error != nil {
		b.t.Fatalf("chromium refused %s: %s", method, m.Error.Message)
	}
	if result != nil {
		if err := json.Unmarshal(m.Result, result); err != nil {
			b.t.Fatal(err)
		}
	}
}

// until reads messages until one is wanted, and notes the others.
func (b *browser) until(wanted func(message) bool) message {
	b.t.Helper()
	for {
		text, err := b.out.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("lost chromium: %v", err)
		}
		var m message
		if err := json.Unmarshal(text[:len(text)-1], &m); err != nil {
			b.t.Fatal(err)
		}
		switch m.Method {
		case "Network.requestWillBeSent":
			var p struct{ Request struct{ URL string } }
			if err := json.Unmarshal(m.Params, &p); err != nil {
				b.t.Fatal(err)
			}
			b.requests = append(b.requests, p.Request.URL)
		case "Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening":
			b.problems = append(b.problems, m.Method+" "+string(m.Params))
		}
		if wanted(m) {
			return m
		}
	}
}

// open shows a file in a window of that width and height and waits until it is
// loaded.
func (b *browser) open(file string, width, height int) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride",
		map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}, nil)
	b.page = "file://" + file
	b.call("Page.navigate", map[string]any{"url": b.page}, nil)
	b.until(func(m message) bool { return m.Method == "Page.loadEventFired" })
}

// eval is the value of an expression in the page, a promise's once it is there.
func (b *browser) eval(expression string) any {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails)
	}
	return r.Result.Value
}

// check compares the values of expressions with what is wanted.
func (b *browser) check(want map[string]any) {
	b.t.Helper()
	for expression, value := range want {
		if got := b.eval(expression); fmt.Sprint(got) != fmt.Sprint(value) {
			b.t.Errorf("%s is %v, want %v", expression, got, value)
		}
	}
}

// screenshot writes what the window shows, if $B2C_SCREENSHOTS names a directory.
func (b *browser) screenshot(name string) {
	b.t.Helper()
	dir := os.Getenv("B2C_SCREENSHOTS")
	if dir == "" {
		return
	}
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// quiet fails the test if the page asked for anything but itself, or complained.
func (b *browser) quiet() {
	b.t.Helper()
	for _, url := range b.requests {
		if url != b.page && !strings.HasPrefix(url, "data:") {
			b.t.Errorf("the page asked for %q", url)
		}
	}
	if len(b.problems) > 0 {
		b.t.Errorf("the page has problems: %q", b.problems)
	}
}

func TestInBrowser(t *testing.T) {
	dir := t.TempDir()
	r, cast := failedRun()
	if err := os.WriteFile(filepath.Join(dir, "console.cast"), []byte(cast), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := report.Write(dir, r); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t)
	for width, height := range map[int]int{1200: 900, 390: 800} {
		t.Run(fmt.Sprintf("%d wide", width), func(t *testing.T) {
			b.t = t
			b.open(filepath.Join(dir, report.HTMLFile), width, height)
			b.screenshot(fmt.Sprintf("fail-%d.png", width))
			b.check(map[string]any{
				// The timeline is drawn, within the window, and nothing makes the page wider.
				"document.querySelectorAll('[aria-labelledby=timeline] .bar').length":                                                  10,
				"document.querySelector('.bar.fail').getBoundingClientRect().width > 10":                                               true,
				"Math.max(...[...document.querySelectorAll('.picture text')].map(e => e.getBoundingClientRect().right)) <= innerWidth": true,
				"Math.min(...[...document.querySelectorAll('.picture text')].map(e => e.getBoundingClientRect().left)) >= 0":           true,
				"document.documentElement.scrollWidth <= innerWidth":                                                                   true,
			})
			const nextFrames = "new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r())))"
			b.eval("document.querySelector('.jump').click()")
			b.eval(nextFrames)
			b.screenshot(fmt.Sprintf("line-%d.png", width))
			b.check(map[string]any{
				"document.querySelector(':target').querySelector('b').textContent":                                        panicLine,
				"(r => r.top >= 0 && r.bottom <= innerHeight)(document.querySelector(':target').getBoundingClientRect())": true,
			})
			const shown = "[...document.querySelectorAll('#case-rows tr')].filter(e => e.offsetHeight > 0).length"
			b.check(map[string]any{shown: len(r.Attempts[1].Cases)})
			b.eval("document.querySelector('#show-fail').click()")
			b.check(map[string]any{shown: 2})
			b.eval("document.querySelector('#show-all').click()")
			b.eval("(e => { e.value = 'UNAME'; e.dispatchEvent(new Event('input')); })(document.querySelector('#find-case'))")
			b.check(map[string]any{shown: 1})

			b.eval("(e => { e.value = 'LINE OF THE kernel'; e.dispatchEvent(new Event('input')); })(document.querySelector('#find-line'))")
			b.eval("document.querySelector('#find-next').click()") // does not wait until typing pauses
			b.check(map[string]any{"document.querySelector('#find-count').value": "1 of 300"})
			b.eval("document.querySelector('#find-before').click()")
			b.eval(nextFrames)
			b.check(map[string]any{
				"document.querySelector('#find-count').value":                                                          "300 of 300",
				"document.querySelector('.now b').textContent":                                                         kernelLine(299),
				"document.querySelectorAll('#console-lines .hit').length":                                              300,
				"(r => r.top >= 0 && r.bottom <= innerHeight)(document.querySelector('.now').getBoundingClientRect())": true,
			})
			b.quiet()
		})
	}
}

// TestWithoutScript shows a page in a browser that runs none.
func TestWithoutScript(t *testing.T) {
	r, cast := failedRun()
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, htmlOf(t, r, strings.NewReader(cast)), 0o644); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t)
	b.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
	b.open(file, 1200, 900)
	b.check(map[string]any{
		"document.querySelector('#find-line').offsetHeight":                                      0,
		"document.querySelector('#find-case').offsetHeight":                                      0,
		"[...document.querySelectorAll('#case-rows tr')].filter(e => e.offsetHeight > 0).length": len(r.Attempts[1].Cases),
		"document.querySelector('#console-lines').offsetHeight > 1000":                           true,
	})
	b.quiet()
}
