package consoletest

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"b2c-runner/console"
)

func TestPortPlaysItsScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Say("login: "), Hear("root"), Wait(time.Second), Say("# "), Gap(time.Minute), Lose(io.EOF))
		defer p.Close()
		begin := time.Now()
		buf := make([]byte, 100)
		if n, err := p.Read(buf); string(buf[:n]) != "login: " || err != nil {
			t.Errorf("read %q, %v", buf[:n], err)
		}
		go func() {
			time.Sleep(time.Second)
			p.Write([]byte("ro"))
			p.Write([]byte("ot\n"))
			p.Write([]byte("ignored"))
		}()
		if n, err := p.Read(buf); string(buf[:n]) != "# " || err != nil || time.Since(begin) != 2*time.Second {
			t.Errorf("read %q, %v after %s", buf[:n], err, time.Since(begin))
		}
		if err := p.Done(); err == nil {
			t.Error("the script is not done yet")
		}
		if _, err := p.Read(buf); !errors.As(err, new(*console.GapError)) {
			t.Errorf("err = %v, want a gap", err)
		}
		if err := p.Done(); err != nil {
			t.Error(err)
		}
		for range 2 {
			if _, err := p.Read(buf); err != io.EOF {
				t.Errorf("err = %v", err)
			}
		}
		if p.Written() != "root\nignored" {
			t.Errorf("written %q", p.Written())
		}
	})
}

func TestPortCloseEndsARead(t *testing.T) {
	for name, p := range map[string]*Port{"idle": New(), "waiting": New(Wait(time.Hour)), "listening": New(Hear("x"))} {
		synctest.Test(t, func(t *testing.T) {
			p.wake = make(chan struct{}) // of this bubble
			done := make(chan error)
			go func() {
				for {
					if _, err := p.Read(make([]byte, 1)); err != nil {
						done <- err
						return
					}
				}
			}()
			synctest.Wait()
			begin := time.Now()
			p.Close()
			if err := <-done; err == nil || time.Since(begin) > 0 {
				t.Errorf("%s: %v after %s", name, err, time.Since(begin))
			}
		})
	}
}

func TestShellUnderstandsRun(t *testing.T) {
	tests := []struct {
		cmd, output string
		status      int
	}{
		{"uname -m", "aarch64\n", 0}, {"", "", 0}, {"it's\n\t'quoted' \\ !", "no newline", 255},
		{strings.Repeat("a long one ", 500), "x\n\n", 7},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			shell := NewShell(func(cmd string) (string, int) {
				if cmd != tt.cmd {
					t.Errorf("command %q, want %q", cmd, tt.cmd)
				}
				return tt.output, tt.status
			})
			s := console.NewStream(shell, console.Config{})
			defer s.Close()
			r, err := s.Cursor().Run(t.Context(), tt.cmd, console.ExpectOptions{Deadline: time.Now().Add(time.Minute)})
			if err != nil || r.Output != tt.output || r.Status != tt.status {
				t.Errorf("%.40q: %+v, %v", tt.cmd, r, err)
			}
		})
	}
}
