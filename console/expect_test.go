package console_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	expect "github.com/google/goexpect"
	"google.golang.org/grpc/codes"

	"b2c-runner/console"
	"b2c-runner/console/consoletest"
)

var soon = 10 * time.Second

func TestExpectReturnsCapturesAndContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t, console.Config{},
			consoletest.Say("boot\r\nLinux version 6.12.3 (gcc)\r\nalpine login: "))
		c := s.CursorAt(0)
		m, err := c.Expect(t.Context(), console.ExpectOptions{}, ok("panic"), ok(`version (\d+)\.(\d+)`))
		if err != nil {
			t.Fatal(err)
		}
		if m.Case != 1 || m.Tag != expect.OKTag || m.Status != nil || m.Before != "boot\nLinux " || m.After != ".3 (gcc)" ||
			m.Line.N != 1 || m.Line.Text != "Linux version 6.12.3 (gcc)" || m.Line.Offset != 6 {
			t.Errorf("match = %+v", m)
		}
		if diff := cmp.Diff([]string{"version 6.12", "6", "12"}, m.Groups); diff != "" {
			t.Errorf("groups (-want +got):\n%s", diff)
		}
		m, err = c.Expect(t.Context(), console.ExpectOptions{}, ok("login: "))
		if err != nil || m.Before != ".3 (gcc)\nalpine " || m.Line.N != 2 {
			t.Errorf("match = %+v, %v", m, err)
		}
	})
}

func TestExpectTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, port := open(t, console.Config{},
			consoletest.Say("login: "), consoletest.Hear("root\n"), consoletest.Say("\r\nPassword: "), consoletest.Hear("secret\n"),
			consoletest.Say("\r\n--More--"), consoletest.Hear(" "), consoletest.Say("--More--"), consoletest.Hear(" "),
			consoletest.Say("\r\nmust not be\r\n"))
		failed := expect.NewStatus(codes.Aborted, "not wanted")
		m, err := s.CursorAt(0).Expect(t.Context(), console.ExpectOptions{},
			&expect.BCase{R: `(log)in: `, S: "root\n", T: expect.Continue(failed), Rt: 1},
			&expect.BCase{R: `Password: `, S: "secret\n", T: expect.Continue(failed), Rt: 1},
			&expect.BCase{R: `--More--`, S: " ", T: expect.Next(), Rt: 5},
			&expect.BCase{R: `must (not) be`, S: `\1 \\1` + "\n", T: expect.Fail(failed)})
		if err != nil {
			t.Fatal(err)
		}
		if m.Case != 3 || m.Tag != expect.FailTag || m.Status == nil || m.Status.Error() != "not wanted" {
			t.Errorf("match = %+v", m)
		}
		if want := "root\nsecret\n  not \\1\n"; port.Written() != want {
			t.Errorf("sent %q, want %q", port.Written(), want)
		}
	})
}

func TestContinueWithoutRetriesDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, port := open(t, console.Config{}, consoletest.Say("again\r\nagain\r\nagain\r\n"))
		m, err := s.CursorAt(0).Expect(t.Context(), console.ExpectOptions{},
			&expect.BCase{R: `again`, S: "y", T: expect.Continue(expect.NewStatus(codes.ResourceExhausted, "too often")), Rt: 2})
		if err != nil || m.Status == nil || m.Line.N != 2 || port.Written() != "yyy" {
			t.Errorf("match = %+v, %v, sent %q", m, err, port.Written())
		}
	})
}

func TestNextWithoutRetriesLeavesItsCaseOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, port := open(t, console.Config{}, consoletest.Say("page\r\npage\r\npage end\r\n"))
		m, err := s.CursorAt(0).Expect(t.Context(), console.ExpectOptions{},
			&expect.BCase{R: `page`, S: " ", T: expect.Next(), Rt: 2}, ok("pa(ge)"))
		if err != nil || m.Case != 1 || m.Line.N != 2 || port.Written() != "  " {
			t.Errorf("match = %+v, %v, sent %q", m, err, port.Written())
		}
	})
}

func TestRefusedPatternsAreNamed(t *testing.T) {
	s, _ := open(t, console.Config{})
	for _, pattern := range []string{`a\nb`, `(?s)a.b`, `done\r$`, `(`} {
		if _, err := s.Cursor().Expect(t.Context(), console.ExpectOptions{}, ok(pattern)); err == nil {
			t.Errorf("%q was taken", pattern)
		}
	}
	if _, err := s.Cursor().Expect(t.Context(), console.ExpectOptions{}); err == nil {
		t.Error("no pattern at all was taken")
	}
}

func TestClassesStayOnTheirLine(t *testing.T) {
	for _, pattern := range []string{`a\s+b`, `a[^x]b`, `a\Wb`, `a[^x]*b`} {
		s, _ := open(t, console.Config{}, consoletest.Say("a\nb\na\n b\na b\n"))
		m, err := s.CursorAt(0).Expect(t.Context(), console.ExpectOptions{Deadline: time.Now().Add(5 * time.Second)}, ok(pattern))
		if err != nil || m.Line.N != 4 || m.Groups[0] != "a b" {
			t.Errorf("%s: match %+v, %v, want the one on line 4", pattern, m, err)
		}
	}
}

func TestMatchesThatCouldGrowWaitForQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t, console.Config{},
			consoletest.Say("took 1"), consoletest.Wait(16*time.Millisecond), consoletest.Say("2"),
			consoletest.Wait(16*time.Millisecond), consoletest.Say("3"), consoletest.Wait(time.Second), consoletest.Say(" # "))
		c := s.CursorAt(0)
		begin := time.Now()
		m, err := c.Expect(t.Context(), console.ExpectOptions{}, ok(`took (\d+)`))
		if err != nil || m.Groups[1] != "123" {
			t.Errorf("match = %+v, %v", m, err)
		}
		if got, want := time.Since(begin), 82*time.Millisecond; got != want {
			t.Errorf("after %s, want %s", got, want)
		}
		begin = time.Now()
		if _, err = c.Expect(t.Context(), console.ExpectOptions{}, ok(`# $`)); err != nil || time.Since(begin) != time.Second {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
	})
}

// TestRestOfAMatchedLine: the newline behind a match is not an empty line.
func TestRestOfAMatchedLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t, console.Config{}, consoletest.Say("one"), consoletest.Wait(time.Millisecond), consoletest.Say("\r\ntwo\r\n\r\nthree\r\nfour\r\n"))
		c := s.CursorAt(0)
		for _, tt := range []struct {
			pattern string
			line    int
		}{{`one`, 0}, {`^$`, 2}, {`three`, 3}} {
			if m, err := c.Expect(t.Context(), console.ExpectOptions{}, ok(tt.pattern)); err != nil || m.Line.N != tt.line {
				t.Errorf("%q: %+v, %v, want line %d", tt.pattern, m, err, tt.line)
			}
		}
		if line, err := c.Next(t.Context()); err != nil || line.Text != "four" {
			t.Errorf("next line is %+v, %v", line, err)
		}
	})
}

func TestDeadlineTakesWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t, console.Config{}, consoletest.Say("took 1"))
		c := s.CursorAt(0)
		synctest.Wait()
		if _, err := c.Expect(t.Context(), console.ExpectOptions{Deadline: time.Now()}, ok(`took \d+`)); err != nil {
			t.Error(err)
		}
		if _, err := c.Expect(t.Context(), console.ExpectOptions{Deadline: time.Now()}, ok(`took`)); !errors.Is(err, console.ErrDeadline) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestFailedExpectConsumesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t, console.Config{}, consoletest.Say("one\r\ntwo\r\n"))
		c := s.CursorAt(0)
		if _, err := c.Expect(t.Context(), console.ExpectOptions{Silence: time.Second}, ok(`three`)); err == nil {
			t.Fatal("three was seen")
		}
		if line, err := c.Next(t.Context()); err != nil || line.Text != "one" {
			t.Errorf("next line is %+v, %v", line, err)
		}
	})
}

// TestCutsDoNotMatter: the outcome is the same however the bytes were cut.
func TestCutsDoNotMatter(t *testing.T) {
	transcripts := []string{
		"U-Boot 2023.01\r\nHit any key: 3 \b\b 2 \r\n\x1b[0;31merror 12 of 345\x1b[0m\r\nlogin: root\r\n/ # ls\r\n/ # ",
		"done with errors\r\nstatus: 0\r\nstatus: 12\r\n$ \xff\xfe junk\r\nfoobarbaz\r\nab[1:\n",
		"a [ 1.0] foo\r\ntook 1[   12.345678] x\r\n[   12.345679] y\r\n2 ms\r\nfoo[ x <5 ab[   1",
		"/ [   12.345678] random: crng init done\r\n# echo\r\nroo<6>[   13.000001][   T12] foo\r\n[   13.000002] bar\r\nt@h:~# \r\n",
	}
	cases := [][]string{
		{`error (\d+) of (\d+)`, `login: `}, {`done`, `done with errors`}, {`status: (\d+)$`}, {`foo.*z`, `bar`},
		{`^/ # `}, {`/ # $`, `never`}, {`root@h:[~/a-z]*# `, `foo$`}, {`\d+`}, {`(foobarbaz|bar)`}, {`junk\b`, `j`},
		{`# [a-z]+`}, {`[$#] `}, {`^[^\n]*: `}, {`(?i)ERROR|LOGIN`}, {`took (\d+)`, `(foo$|fo)`},
	}
	for i, transcript := range transcripts {
		for j, patterns := range cases {
			want := outcome(t, transcript, []int{len(transcript)}, patterns)
			for seed := range uint64(20) {
				r := rand.New(rand.NewPCG(seed, uint64(i*100+j)))
				var cuts []int
				for range r.IntN(len(transcript)) {
					cuts = append(cuts, 1+r.IntN(1+r.IntN(8)))
				}
				if diff := cmp.Diff(want, outcome(t, transcript, cuts, patterns)); diff != "" {
					t.Errorf("transcript %d, patterns %q, cut %v (-whole +cut):\n%s", i, patterns, cuts, diff)
					break
				}
			}
		}
	}
}

// outcome lists all matches of patterns in transcript, cut into reads of these
// sizes and then the rest.
func outcome(t *testing.T, transcript string, cuts []int, patterns []string) []string {
	t.Helper()
	var steps []consoletest.Step
	for _, n := range cuts {
		n = min(n, len(transcript))
		steps = append(steps, consoletest.Say(transcript[:n]), consoletest.Wait(time.Microsecond))
		transcript = transcript[n:]
	}
	steps = append(steps, consoletest.Say(transcript), consoletest.Wait(soon), consoletest.Lose(io.EOF))
	var got []string
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t, console.Config{}, steps...)
		c := s.CursorAt(0)
		var list []expect.Caser
		for _, p := range patterns {
			list = append(list, ok(p))
		}
		for {
			m, err := c.Expect(t.Context(), console.ExpectOptions{}, list...)
			if err != nil {
				if !errors.Is(err, console.ErrLost) {
					t.Error(err)
				}
				return
			}
			got = append(got, fmt.Sprintf("%d %q before %q line %d", m.Case, m.Groups, m.Before, m.Line.N))
		}
	})
	return got
}

// TestWhatTheKernelCutIsJoinedOnce: only with the line behind the kernel's.
func TestWhatTheKernelCutIsJoinedOnce(t *testing.T) {
	for transcript, want := range map[string]int{
		"/ [   12.345678] x\r\nother\r\n# ": 0, "/ [   12.345678] x\r\n# o\r\n# ": 1,
	} {
		if got := outcome(t, transcript, []int{3}, []string{`/ # `}); len(got) != want {
			t.Errorf("%q: %q", transcript, got)
		}
	}
}

// TestFastPortWaitsForACursor: a port that can wait is not read faster than a
// cursor at work can follow, so that no line is missed.
func TestFastPortWaitsForACursor(t *testing.T) {
	log := kernelLog(8 << 20)
	s := console.NewStream(&memoryPort{data: log, size: 4096, end: make(chan struct{})}, console.Config{})
	defer s.Close()
	c := s.CursorAt(0)
	opts := console.ExpectOptions{Deadline: time.Now().Add(time.Minute)}
	if _, err := c.Expect(t.Context(), opts, benchCases()...); err != nil || c.Dropped() > 0 {
		t.Errorf("dropped %d, %v", c.Dropped(), err)
	}
}

// TestFastPortWaitsForANewCursor: also before it has asked for its first line.
func TestFastPortWaitsForANewCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, port := open(t, console.Config{History: 256 << 10}, consoletest.Say("on\r\n"))
		time.Sleep(5 * time.Second)
		c := s.CursorAt(0)
		port.Feed(consoletest.Say(strings.Repeat("0123456\r\n", 100_000) + "end\r\n"))
		synctest.Wait()
		for {
			line, err := c.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if line.Text == "end" {
				break
			}
		}
		if c.Dropped() > 0 {
			t.Errorf("dropped %d", c.Dropped())
		}
	})
}

func TestOutrunCursorCountsWhatItMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := strings.Repeat("x", 99) + "\n"
		s, _ := open(t, console.Config{History: 128 << 10}, consoletest.Wait(5*time.Second),
			consoletest.Say(strings.Repeat(line, 5000)), consoletest.Say("end\n"))
		c := s.CursorAt(0)
		time.Sleep(6 * time.Second)
		var read int64
		for {
			l, err := c.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			read += int64(len(l.Text)) + 1
			if l.Text == "end" {
				break
			}
		}
		if c.Dropped() == 0 || read+c.Dropped() != 500_004 {
			t.Errorf("read %d, dropped %d, want 500004 together", read, c.Dropped())
		}
	})
}
