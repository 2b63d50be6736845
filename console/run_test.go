package console_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"

	"b2c-runner/console"
	"b2c-runner/console/consoletest"
)

// kernelNoise is what a kernel prints at any moment.
var kernelNoise = map[string]string{
	"plain":  "[   12.345678] random: crng init done\r\n",
	"level":  "<4>[   12.345678] usb 1-1: new device # /\r\n",
	"caller": "[12345.678901][   T17] foo: ok\r\n",
	"three":  "[   12.345678] one\r\n<0>[   12.345679] two [ok]\r\n[   12.345680] three\r\n",
	"empty":  "[   12.345678] \r\n",
}

// TestKernelLineAtEveryByte injects a kernel line at every byte of all that a
// shell prints for a command: the echo, both marks, the output, the prompt.
func TestKernelLineAtEveryByte(t *testing.T) {
	for name, noise := range kernelNoise {
		t.Run(name, func(t *testing.T) {
			const output = "aarch64\n\tsecond line\nno newline"
			command := func(string) (string, int) { return output, 7 }
			for at, printed := 0, 1; at <= printed; at++ {
				synctest.Test(t, func(t *testing.T) {
					shell := consoletest.NewShell(command)
					shell.Filter = func(text string) string {
						printed = len(text)
						return text[:at] + noise + text[at:]
					}
					s := console.NewStream(shell, console.Config{})
					defer s.Close()
					c := s.CursorAt(0)
					opts := console.ExpectOptions{Deadline: time.Now().Add(soon)}
					if _, err := c.Expect(t.Context(), opts, ok("/ # ")); err != nil {
						t.Fatal(err)
					}
					r, err := c.Run(t.Context(), "uname -m", opts)
					if err != nil {
						t.Fatalf("noise at byte %d of %d: %v", at, printed, err)
					}
					if r.Status != 7 || r.Output != output {
						t.Errorf("noise at byte %d of %d: status %d, output %q", at, printed, r.Status, r.Output)
					}
					for _, line := range r.Noise {
						if !strings.Contains(noise, line.Text+"\r\n") {
							t.Errorf("noise at byte %d: %q is none", at, line.Text)
						}
					}
					begin := time.Now()
					if _, err := c.Expect(t.Context(), opts, ok("^/ # ")); err != nil || time.Since(begin) > 0 {
						t.Errorf("noise at byte %d of %d: prompt after %s, %v", at, printed, time.Since(begin), err)
					}
				})
			}
		})
	}
}

// TestKernelLineInAColouredPrompt: also within its escape sequences.
func TestKernelLineInAColouredPrompt(t *testing.T) {
	const prompt = "\r\n\x1b[1;32mroot@rpi3\x1b[0m:\x1b(B~# \x1b[6n"
	for name, noise := range kernelNoise {
		for at := range len(prompt) + 1 {
			synctest.Test(t, func(t *testing.T) {
				s, _ := open(t, console.Config{}, consoletest.Bytes(5, prompt[:at]+noise+prompt[at:])...)
				opts := console.ExpectOptions{Deadline: time.Now().Add(soon)}
				if _, err := s.CursorAt(0).Expect(t.Context(), opts, ok("root@rpi3:~# ")); err != nil {
					t.Errorf("%s at byte %d: %v (lines %q)", name, at, err, s.Tail(9))
				}
			})
		}
	}
}

// TestKernelLineInACapture: what is captured is whole, wherever the kernel prints.
func TestKernelLineInACapture(t *testing.T) {
	const text = "took 1234 ms\r\n"
	for name, noise := range kernelNoise {
		for at := range len(text) + 1 {
			for _, size := range []int{1, 7, 100} {
				got := outcome(t, text[:at]+noise+text[at:], slices.Repeat([]int{size}, 200), []string{`took (\d+)`})
				if len(got) != 1 || !strings.HasPrefix(got[0], `0 ["took 1234" "1234"]`) {
					t.Errorf("%s at byte %d, reads of %d: %q", name, at, size, got)
				}
			}
		}
	}
}

// TestRunSurvivesNoiseWithoutTime: a kernel without printk times cannot be told
// from output, but the status must be right all the same.
func TestRunSurvivesNoiseWithoutTime(t *testing.T) {
	for at, printed := 0, 1; at <= printed; at++ {
		synctest.Test(t, func(t *testing.T) {
			shell := consoletest.NewShell(func(string) (string, int) { return "out\n", 3 })
			shell.Filter = func(text string) string {
				printed = len(text)
				return text[:at] + "random: crng init done\r\n" + text[at:]
			}
			s := console.NewStream(shell, console.Config{})
			defer s.Close()
			r, err := s.CursorAt(0).Run(t.Context(), "true", console.ExpectOptions{Deadline: time.Now().Add(soon)})
			if err != nil || r.Status != 3 {
				t.Errorf("noise at byte %d of %d: status %d, %v", at, printed, r.Status, err)
			}
		})
	}
}

// TestRunKeepsReplayedKernelLines: what dmesg prints is output, what the kernel
// prints meanwhile is not.
func TestRunKeepsReplayedKernelLines(t *testing.T) {
	const dmesg = "[    0.000000] Linux version 6.12\n[    1.500000] usb: foo\n[    2.000000] eth0: up\n"
	const live = "[    2.100000] live\n"
	for name, output := range map[string]string{
		"alone": dmesg, "at the end": dmesg + live, "in a line": strings.Replace(dmesg, "foo", "f"+live+"oo", 1),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shell := consoletest.NewShell(func(string) (string, int) { return output, 0 })
				shell.Feed(consoletest.Say("[    2.000000] eth0: up\r\n"))
				s := console.NewStream(shell, console.Config{})
				defer s.Close()
				synctest.Wait()
				r, err := s.CursorAt(0).Run(t.Context(), "dmesg", console.ExpectOptions{})
				if err != nil || r.Output != dmesg || len(r.Noise) > 1 || len(r.Noise) == 1 && r.Noise[0].Text+"\n" != live {
					t.Errorf("%+v, %v", r, err)
				}
			})
		})
	}
}

func TestRunSaysHowFarItCame(t *testing.T) {
	tests := []struct {
		name, want string
		filter     func(string) string
	}{
		{"hangs", "began but did not end", nil},
		{"no shell", "expect its prompt first", func(string) string { return "" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shell := consoletest.NewShell(func(string) (string, int) { return "working\n", -1 })
				shell.Filter = tt.filter
				s := console.NewStream(shell, console.Config{})
				defer s.Close()
				_, err := s.CursorAt(0).Run(t.Context(), "sleep inf", console.ExpectOptions{Deadline: time.Now().Add(soon)})
				if !errors.Is(err, console.ErrDeadline) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("err = %v", err)
				}
			})
		})
	}
}

// ptyPort is a program on a pseudo-terminal.
type ptyPort struct{ *os.File }

// startShell runs a shell on a terminal of 80 columns; tty is the terminal's
// board side, for noise.
func startShell(t *testing.T, argv ...string) (s *console.Stream, tty *os.File) {
	t.Helper()
	if _, err := exec.LookPath(argv[0]); err != nil {
		t.Skipf("needs %s", argv[0])
	}
	master, tty, err := pty.Open()
	if err != nil {
		t.Skipf("needs a pseudo-terminal: %v", err)
	}
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "PS1=/ # ", "TERM=vt100", "HISTFILE=")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = sessionLeader
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s = console.NewStream(ptyPort{master}, console.Config{})
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		tty.Close()
		s.Close()
	})
	return s, tty
}

var shells = [][]string{{"busybox", "ash", "-i"}, {"dash", "-i"}, {"bash", "--norc", "-i"}}

func TestRunInRealShells(t *testing.T) {
	long := strings.Repeat("word ", 500)
	tests := []struct {
		name, cmd, output string
		status            int
	}{
		{"plain", "echo hello", "hello\n", 0},
		{"status", "sh -c 'exit 255'", "", 255},
		{"false", "false", "", 1},
		{"no newline", "printf foo", "foo", 0},
		{"several lines", "echo a; echo; echo b", "a\n\nb\n", 0},
		{"quotes", `echo "it's" '"quoted"' \$HOME`, "it's \"quoted\" $HOME\n", 0},
		{"script", "for i in 1 2; do\n\techo \"$i\"\ndone\n# end", "1\n2\n", 0},
		{"here document", "cat <<EOF\na $((1+1))!\nEOF\n", "a 2!\n", 0},
		{"comment", "echo x # y", "x\n", 0},
		{"state stays", "cd /; x=1", "", 0},
		{"state stayed", "echo $x $PWD", "1 /\n", 0},
		{"history character", "echo 'a!b' \"!!\"", "a!b !!\n", 0},
		{"UTF-8", "echo 'Grüße'", "Grüße\n", 0},
		{"percent and backslash", `printf '%s\n' '%d\n' 'a\b'`, "%d\\n\na\\b\n", 0},
		{"long", "set -- " + long + "; echo $#", "500\n", 0},
		{"long quoted", "echo '" + strings.Repeat("é", 600) + "' | wc -c", "1201\n", 0},
		{"option", "-nonsense-command 2>/dev/null", "", 127},
	}
	for _, argv := range shells {
		t.Run(argv[0], func(t *testing.T) {
			s, _ := startShell(t, argv...)
			c := s.CursorAt(0)
			opts := console.ExpectOptions{Deadline: time.Now().Add(time.Minute)}
			if _, err := c.Expect(t.Context(), opts, ok("/ # ")); err != nil {
				t.Fatal(err)
			}
			for _, tt := range tests {
				r, err := c.Run(t.Context(), tt.cmd, opts)
				if err != nil {
					t.Fatalf("%s: %v\n%s", tt.name, err, strings.Join(s.Tail(20), "\n"))
				}
				if diff := cmp.Diff(tt.output, r.Output); diff != "" || r.Status != tt.status {
					t.Errorf("%s: status %d, want %d; output (-want +got):\n%s", tt.name, r.Status, tt.status, diff)
				}
			}
			for _, cmd := range []string{"if", "echo 'open", "echo )", "echo $("} {
				r, err := c.Run(t.Context(), cmd, console.ExpectOptions{Deadline: time.Now().Add(soon)})
				if err != nil || r.Status == 0 {
					t.Errorf("%q: status %d, %v", cmd, r.Status, err)
				}
			}
			r, err := c.Run(t.Context(), "echo still here", opts)
			if err != nil || r.Output != "still here\n" {
				t.Errorf("%q, %v", r.Output, err)
			}
		})
	}
}

// TestRunUnderNoise runs 300 commands while a kernel line is printed every
// millisecond or two, between any two writes of the shell.
func TestRunUnderNoise(t *testing.T) {
	for _, argv := range shells {
		t.Run(argv[0], func(t *testing.T) {
			s, tty := startShell(t, argv...)
			stop := make(chan struct{})
			var group sync.WaitGroup
			group.Go(func() {
				ticker := time.NewTicker(1500 * time.Microsecond)
				defer ticker.Stop()
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					case <-ticker.C:
						fmt.Fprintf(tty, "%s[%5d.%06d] noise of the kernel %d\n", []string{"", "<0>", "<4>"}[i%3], 100+i/1000, i%1000*1000, i)
					}
				}
			})
			c := s.CursorAt(0)
			opts := console.ExpectOptions{Deadline: time.Now().Add(time.Minute)}
			noise := 0
			for i := range 100 {
				want := fmt.Sprintf("line one\nnumber %d\n", i)
				r, err := c.Run(t.Context(), fmt.Sprintf(`echo line one; echo "number %d"; sh -c 'exit %d'`, i, i), opts)
				if err != nil {
					t.Errorf("command %d: %v", i, err)
					break
				}
				if r.Status != i || r.Output != want {
					t.Errorf("command %d: status %d, output %q", i, r.Status, r.Output)
				}
				noise += len(r.Noise)
				if _, err := c.Expect(t.Context(), opts, ok("/ # ")); err != nil {
					t.Errorf("prompt %d: %v", i, err)
					break
				}
			}
			close(stop)
			group.Wait()
			if noise == 0 {
				t.Error("there was no noise")
			}
			t.Logf("%d lines of noise in the output of 100 commands", noise)
		})
	}
}

func TestRunOfMoreThanTheHistoryKeeps(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef\n"), 100_000)
	shell := consoletest.NewShell(func(string) (string, int) { return string(big), 0 })
	s := console.NewStream(shell, console.Config{History: 256 << 10})
	defer s.Close()
	r, err := s.CursorAt(0).Run(t.Context(), "cat big", console.ExpectOptions{Deadline: time.Now().Add(soon)})
	if err != nil || !r.Cut || len(r.Output) > 256<<10 || !bytes.HasSuffix(big, []byte(r.Output)) {
		t.Errorf("status %d, cut %t, %d bytes, %v", r.Status, r.Cut, len(r.Output), err)
	}
}
