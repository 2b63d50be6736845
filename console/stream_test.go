package console_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	expect "github.com/google/goexpect"

	"b2c-runner/console"
	"b2c-runner/console/consoletest"
)

// open starts a stream over steps, closed at the end of the test.
func open(t testing.TB, cfg console.Config, steps ...consoletest.Step) (*console.Stream, *consoletest.Port) {
	t.Helper()
	port := consoletest.New(steps...)
	s := console.NewStream(port, cfg)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("failed to close the stream: %v", err)
		}
	})
	return s, port
}

func ok(pattern string) *expect.BCase { return &expect.BCase{R: pattern, T: expect.OK()} }

func TestNextDeliversLinesAndThenTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t, console.Config{},
			consoletest.Wait(time.Second), consoletest.Say("one\r\ntw"),
			consoletest.Wait(time.Second), consoletest.Say("o\r\n\x1b[1mthr\x00ee"), consoletest.Lose(io.EOF))
		c := s.CursorAt(0)
		var got []console.Line
		for {
			line, err := c.Next(t.Context())
			if err != nil {
				if !errors.Is(err, console.ErrLost) || !strings.Contains(err.Error(), `"three"`) {
					t.Errorf("err = %v, want ErrLost with the last line", err)
				}
				break
			}
			got = append(got, line)
		}
		want := []console.Line{
			{N: 0, At: time.Second, Offset: 0, Text: "one"},
			{N: 1, At: time.Second, Offset: 5, Text: "two"},
			{N: 2, At: 2 * time.Second, Offset: 10, Text: "three"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
		<-s.Done()
		if err := s.Err(); !errors.Is(err, console.ErrLost) || !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "far end") {
			t.Errorf("Err() = %v", err)
		}
		if diff := cmp.Diff([]string{"two", "three"}, s.Tail(2)); diff != "" {
			t.Errorf("Tail (-want +got):\n%s", diff)
		}
	})
}

func TestThreeOutcomesAreDistinct(t *testing.T) {
	tests := []struct {
		name  string
		steps []consoletest.Step
		opts  time.Duration // silence
		want  error
		after time.Duration
	}{
		{"deadline is not extended by output", chatter(100, 300*time.Millisecond), 2 * time.Second, console.ErrDeadline, 10 * time.Second},
		{"silence", chatter(3, time.Second), 2 * time.Second, console.ErrSilence, 5 * time.Second},
		{"lost", append(chatter(3, time.Second), consoletest.Wait(time.Second), consoletest.Lose(errors.New("unplugged"))), 2 * time.Second, console.ErrLost, 4 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := open(t, console.Config{}, tt.steps...)
				begin := time.Now()
				_, err := s.CursorAt(0).Expect(t.Context(),
					console.ExpectOptions{Deadline: begin.Add(10 * time.Second), Silence: tt.opts}, ok("never"))
				for _, kind := range []error{console.ErrDeadline, console.ErrSilence, console.ErrLost} {
					if errors.Is(err, kind) != (kind == tt.want) {
						t.Errorf("errors.Is(%v, %v) = %t", err, kind, kind != tt.want)
					}
				}
				if !strings.Contains(err.Error(), "chatter") {
					t.Errorf("%v does not name the last line", err)
				}
				if after := time.Since(begin); after != tt.after {
					t.Errorf("after %s, want %s", after, tt.after)
				}
			})
		})
	}
}

func chatter(n int, every time.Duration) []consoletest.Step {
	var steps []consoletest.Step
	for range n {
		steps = append(steps, consoletest.Wait(every), consoletest.Say("chatter\r\n"))
	}
	return steps
}

func TestExpectEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t, console.Config{}, chatter(100, time.Second)...)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5500*time.Millisecond, errors.New("the user left"))
		defer cancel()
		begin := time.Now()
		_, err := s.CursorAt(0).Expect(ctx, console.ExpectOptions{}, ok("never"))
		if err == nil || !strings.Contains(err.Error(), "the user left") || time.Since(begin) != 5500*time.Millisecond {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
	})
}

func TestSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t, console.Config{}, chatter(4, 900*time.Millisecond)...)
		begin := time.Now()
		if err := s.Silent(t.Context(), time.Second); !errors.Is(err, console.ErrSilence) {
			t.Errorf("err = %v", err)
		}
		if got, want := time.Since(begin), 4600*time.Millisecond; got != want {
			t.Errorf("silent after %s, want %s", got, want)
		}
	})
}

func TestGapIsALineOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s, _ := open(t, console.Config{Log: &log},
			consoletest.Say("half a li"), consoletest.Gap(1200*time.Millisecond), consoletest.Say("next\r\n"), consoletest.Lose(io.EOF))
		c := s.CursorAt(0)
		var got []string
		for {
			line, err := c.Next(t.Context())
			if err != nil {
				break
			}
			got = append(got, line.Text)
			if raw := log.String()[line.Offset:]; !strings.HasPrefix(raw, line.Text) {
				t.Errorf("line %d: offset %d of the log has %q, want %q", line.N, line.Offset, raw, line.Text)
			}
		}
		want := []string{"half a li", "[b2c-runner: console was gone for 1.2s]", "next"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
	})
}

type fullDisk struct{ left int }

func (w *fullDisk) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errors.New("write console.log: no space left on device")
	}
	return len(p), nil
}

func TestFullDiskEndsTheStreamAndIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		port := consoletest.New(consoletest.Say("fits\r\n"), consoletest.Say("too much\r\n"))
		s := console.NewStream(port, console.Config{Log: &fullDisk{left: 10}})
		_, err := s.CursorAt(0).Expect(t.Context(), console.ExpectOptions{}, ok("too much"))
		if err == nil || !strings.Contains(err.Error(), "no space left") || errors.Is(err, console.ErrLost) {
			t.Errorf("err = %v", err)
		}
		s.Close()
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("Err() = %v", err)
		}
	})
}

func TestSetStartMovesAllTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t, console.Config{}, consoletest.Wait(3*time.Second), consoletest.Say("on\r\n"))
		begin := time.Now()
		c := s.CursorAt(0)
		synctest.Wait()
		s.SetStart(begin.Add(time.Second))
		line, err := c.Next(t.Context())
		if err != nil || line.At != 2*time.Second {
			t.Errorf("At = %s, %v; want 2s", line.At, err)
		}
	})
}

func TestPanickingDriverIsALostConsole(t *testing.T) {
	s := console.NewStream(panicPort{}, console.Config{})
	<-s.Done()
	if err := s.Err(); !errors.Is(err, console.ErrLost) || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("Err() = %v", err)
	}
	s.Close()
}

type panicPort struct{}

func (panicPort) Read([]byte) (int, error)    { panic("index out of range [17] with length 16") }
func (panicPort) Write(p []byte) (int, error) { return len(p), nil }
func (panicPort) Close() error                { return nil }

func TestSendPacesItsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, port := open(t, console.Config{CharDelay: 10 * time.Millisecond})
		begin := time.Now()
		if err := s.Send(t.Context(), "reboot\n"); err != nil {
			t.Fatal(err)
		}
		if got, want := time.Since(begin), 60*time.Millisecond; got != want || port.Written() != "reboot\n" {
			t.Errorf("sent %q in %s, want %s", port.Written(), got, want)
		}
	})
}

type stuckPort struct {
	consoletest.Port
	closed chan struct{}
}

func (p *stuckPort) Read([]byte) (int, error)  { <-p.closed; return 0, io.EOF }
func (p *stuckPort) Write([]byte) (int, error) { <-p.closed; return 0, io.ErrClosedPipe }
func (p *stuckPort) Close() error              { close(p.closed); return nil }

func TestSendToAStuckPortEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := console.NewStream(&stuckPort{closed: make(chan struct{})}, console.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Send(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		s.Close()
	})
}
