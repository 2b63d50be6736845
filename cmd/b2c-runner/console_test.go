package main

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	expect "github.com/google/goexpect"

	"b2c-runner/jobs"
)

const answerTimeout = 20 * time.Second

// spawn runs the program on a pseudo-terminal, driven by goexpect's own engine.
func spawn(t *testing.T, args ...string) (*expect.GExpect, <-chan error) {
	t.Helper()
	e, ended, err := expect.SpawnWithArgs(append([]string{"b2c-runner"}, args...), answerTimeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e, ended
}

func await(t *testing.T, e *expect.GExpect, pattern string) {
	t.Helper()
	if text, _, err := e.Expect(regexp.MustCompile(pattern), answerTimeout); err != nil {
		t.Fatalf("%s did not come: %v\n%s", pattern, err, text)
	}
}

func send(t *testing.T, e *expect.GExpect, text string) {
	t.Helper()
	if err := e.Send(text); err != nil {
		t.Fatal(err)
	}
}

// oneBoardLab makes a lab file whose board's console is a Unix socket that echoes
// lines in upper case. What it heard comes when a connection ends.
func oneBoardLab(t *testing.T) (file string, heard <-chan string) {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "console.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	said := make(chan string, 8)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				all := ""
				defer func() { said <- all }()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					all += lines.Text()
					_, _ = conn.Write([]byte("\x1b]0;owned\x07" + strings.ToUpper(lines.Text()) + "\r\n"))
				}
			}()
		}
	}()
	file = filepath.Join(dir, "lab.yaml")
	text := `
version: 1
boards:
  - name: desk-1
    model: rpi3bplus
    mac: b8:27:eb:12:34:56
    console: {unix: ` + socket + `}
    power: {exec: {on: ["true"], off: ["true"]}}
`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("B2C_RUNNER_STATE", filepath.Join(dir, "state"))
	return file, said
}

func TestConsoleByHand(t *testing.T) {
	lab, _ := oneBoardLab(t)
	e, ended := spawn(t, "--lab", lab, "console", "desk-1")
	await(t, e, "connected to desk-1, Ctrl-] leaves")
	send(t, e, "hello board\n")
	await(t, e, "HELLO BOARD")

	var stderr bytes.Buffer
	if exit := Main(t.Context(), []string{"--lab", lab, "console", "desk-1"}, strings.NewReader(""), &bytes.Buffer{}, &stderr); exit != 2 {
		t.Errorf("a second console: exit %d, want 2", exit)
	}
	if !strings.Contains(stderr.String(), "console desk-1 (pid ") {
		t.Errorf("the second one is not told who holds the board: %s", stderr.String())
	}

	send(t, e, "\x1d")
	await(t, e, "left desk-1")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestConsoleReadOnly(t *testing.T) {
	lab, heard := oneBoardLab(t)
	for _, test := range []struct{ flag, want string }{{"--read-only", ""}, {"--read-only=false", "typed"}} {
		var errs bytes.Buffer
		exit := Main(t.Context(), []string{"--lab", lab, "console", test.flag, "desk-1"},
			strings.NewReader("typed\n\x1d"), &bytes.Buffer{}, &errs)
		if got := <-heard; exit != 0 || got != test.want {
			t.Errorf("%s: exit %d, the board heard %q, want %q: %s", test.flag, exit, got, test.want, errs.String())
		}
	}
}

func TestConsoleOfARun(t *testing.T) {
	state := t.TempDir()
	t.Setenv("B2C_RUNNER_STATE", state)
	p := startJob(t, bootJob(payload(t), busybox+"steps:\n  - {expect: '/ # ', timeout: 5m}\n  - {expect: never-to-come, timeout: 5m}\n"), nil)
	p.until(t, jobs.PhaseSteps)
	e, ended := spawn(t, "console", "qemu-x86_64")
	await(t, e, "podman start|/ # ")
	send(t, e, "echo by-hand-$((40+2))\r")
	await(t, e, "by-hand-42")
	send(t, e, "\x1d")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.wait()
	var o outcome
	o.read(t, p.out)
	if !strings.Contains(o.console, "by-hand-42") {
		t.Error("the run did not record what was typed by hand")
	}
}

func TestSafeTerminal(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"plain\r\n\ttext\b", "plain\r\n\ttext\b"},
		{"\x1b[1;31mred\x1b[0m\x1b[2J\x1b[10;20H", "\x1b[1;31mred\x1b[0m\x1b[2J\x1b[10;20H"},
		{"a\x1b]0;title\x07b", "ab"},
		{"a\x1b]52;c;aGk=\x1b\\b", "ab"},
		{"a\x1bP1$r\x1b\\b", "ab"},
		{"a\x1b[6nb\x1b[cb", "abb"},
		{"a\x1b[21tb", "ab"},
		{"a\x1bcb", "ab"},
		{"\x00\x01\x7fa", "a"},
		{"größe", "größe"},
	} {
		for chunk := 1; chunk <= len(test.in); chunk++ {
			var out bytes.Buffer
			w := &safeTerminal{w: &out}
			for rest := test.in; rest != ""; {
				n := min(chunk, len(rest))
				if _, err := w.Write([]byte(rest[:n])); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if out.String() != test.want {
				t.Errorf("%q in chunks of %d: %q, want %q", test.in, chunk, out.String(), test.want)
			}
		}
	}
}
