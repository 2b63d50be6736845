package console_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	expect "github.com/google/goexpect"
	"google.golang.org/grpc/codes"

	"b2c-runner/console"
	"b2c-runner/console/consoletest"
)

// oracle is goexpect's own engine, which sees the bytes of a transcript one by one.
type oracle struct {
	e    *expect.GExpect
	feed chan string
	idle chan struct{}
	quit chan struct{}

	mu   sync.Mutex
	sent string
}

func newOracle(t *testing.T) *oracle {
	t.Helper()
	o := &oracle{feed: make(chan string), idle: make(chan struct{}), quit: make(chan struct{})}
	e, done, err := expect.SpawnGeneric(&expect.GenOptions{
		In: o, Out: o,
		Wait:  func() error { <-o.quit; return nil },
		Close: func() error { close(o.quit); return nil },
		Check: func() bool { return true },
	}, time.Minute, expect.PartialMatch(true))
	if err != nil {
		t.Fatal(err)
	}
	o.e = e
	t.Cleanup(func() { e.Close(); <-done })
	<-o.idle
	return o
}

// Read is asked for more when goexpect has taken what it got.
func (o *oracle) Read(p []byte) (int, error) {
	select {
	case o.idle <- struct{}{}:
	case <-o.quit:
		return 0, io.EOF
	}
	select {
	case text := <-o.feed:
		return copy(p, text), nil
	case <-o.quit:
		return 0, io.EOF
	}
}

func (o *oracle) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent += string(p)
	return len(p), nil
}
func (o *oracle) Close() error { return nil }

type step struct {
	Case   int
	Groups []string
	Output string // up to the end of the match
}

// play lists what goexpect matches in the transcript, and what it sends.
func (o *oracle) play(t *testing.T, transcript string, cases []expect.Caser) (steps []step, sent string) {
	t.Helper()
	rest := ""
	for i := range len(transcript) {
		o.feed <- rest + transcript[i:i+1]
		<-o.idle
		rest = ""
		for {
			output, groups, n, err := o.e.ExpectSwitchCase(cases, 0)
			if errors.As(err, new(expect.TimeoutError)) {
				rest = output
				break
			}
			steps = append(steps, step{n, groups, output})
		}
	}
	if err := o.e.Send(""); err != nil { // returns when what was sent before is written
		t.Fatal(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return steps, o.sent
}

// own is the same with our engine, the transcript cut into random reads.
func own(t *testing.T, transcript string, r *rand.Rand, cases []expect.Caser) (steps []step, sent string) {
	t.Helper()
	var script []consoletest.Step
	for len(transcript) > 0 {
		n := min(len(transcript), 1+r.IntN(1+r.IntN(20)))
		script = append(script, consoletest.Say(transcript[:n]), consoletest.Wait(time.Microsecond))
		transcript = transcript[n:]
	}
	script = append(script, consoletest.Lose(io.EOF))
	synctest.Test(t, func(t *testing.T) {
		s, port := open(t, console.Config{}, script...)
		c := s.CursorAt(0)
		synctest.Wait() // so that replies are not lost to the end of the console
		for {
			m, err := c.Expect(t.Context(), console.ExpectOptions{}, cases...)
			if err != nil {
				if !errors.Is(err, console.ErrLost) {
					t.Error(err)
				}
				break
			}
			steps = append(steps, step{m.Case, m.Groups, m.Before + m.Groups[0]})
		}
		sent = port.Written()
	})
	return steps, sent
}

// generate makes cases whose matches no further byte can change; what goexpect
// does with others is in TestIntendedDifferences.
func generate(r *rand.Rand) func() []expect.Caser {
	word := func(letters string) string {
		b := make([]byte, 1+r.IntN(3))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		return string(b)
	}
	status := expect.NewStatus(codes.Aborted, "failed")
	tags := []func() (expect.Tag, *expect.Status){expect.OK(), expect.OK(), expect.Fail(status), expect.Continue(status), expect.Next(), nil}
	var list []expect.BCase
	for range 1 + r.IntN(5) {
		var p string
		switch r.IntN(6) {
		case 0, 1:
			p = word("abc :")
		case 2:
			p = "(" + word("abc") + ")" + word(" :")
		case 3:
			p = word(":") + "([ab]+)(c)"
		case 4:
			p = "(?:" + word("a") + "|" + word("b") + ")x?" + word(":")
		case 5:
			p = "[bc](a)?" + word(" :") + word("abc")
		}
		list = append(list, expect.BCase{R: p, S: []string{"", "y", `<\1>`, `\\1\2`, `\0\9`}[r.IntN(5)], T: tags[r.IntN(len(tags))], Rt: r.IntN(4)})
	}
	return func() []expect.Caser {
		var cases []expect.Caser
		for _, one := range list {
			cases = append(cases, &one)
		}
		return cases
	}
}

// TestOracle: for generated transcripts, chunkings and cases, our engine and
// goexpect's give the same matches, captures, texts and replies, in the same order.
func TestOracle(t *testing.T) {
	rounds := uint64(400)
	if testing.Short() {
		rounds = 50
	}
	matches := 0
	for seed := range rounds {
		r := rand.New(rand.NewPCG(seed, 7))
		var b strings.Builder
		for range 20 + r.IntN(120) {
			b.WriteByte("aabbcc  ::x\n"[r.IntN(12)])
		}
		transcript := b.String()
		cases := generate(r)
		want, wantSent := newOracle(t).play(t, transcript, cases())
		got, gotSent := own(t, transcript, r, cases())
		matches += len(want)
		if diff := cmp.Diff(want, got); diff != "" || wantSent != gotSent {
			t.Fatalf("seed %d, transcript %q, cases %s: sent %q, want %q, matches (-goexpect +ours):\n%s",
				seed, transcript, describe(cases()), gotSent, wantSent, diff)
		}
	}
	if matches < int(rounds) {
		t.Errorf("only %d matches in %d transcripts", matches, rounds)
	}
	t.Logf("%d transcripts, %d matches", rounds, matches)
}

func describe(cases []expect.Caser) string {
	var b strings.Builder
	for _, c := range cases {
		one := c.(*expect.BCase)
		tag, _ := one.Tag()
		fmt.Fprintf(&b, "{%q %q tag %d retries %d} ", one.R, one.S, tag, one.Rt)
	}
	return b.String()
}

// TestIntendedDifferences lists where our engine and goexpect's disagree, and why.
func TestIntendedDifferences(t *testing.T) {
	tests := []struct {
		name, transcript, pattern string
		theirs, ours              []string // the first match and its captures
	}{
		{"a match that can grow is awaited", "took 123 ms\n", `took (\d+)`, []string{"took 1", "1"}, []string{"took 123", "123"}},
		{"the first alternative gets its chance", "foobar\n", `foobar|foo`, []string{"foo"}, []string{"foobar"}},
		{"^ is the begin of a line", "one\ntwo\n", `^t(w)o`, nil, []string{"two", "w"}},
		{"$ is the end of a line", "status: 12\nnext\n", `status: (\d+)$`, []string{"status: 1", "1"}, []string{"status: 12", "12"}},
		{"\\r is removed", "done\r\n", `done$`, []string{"done"}, []string{"done"}},
		{"\\r within a line is removed", "do\rne\n", `done`, nil, []string{"done"}},
		{"escape sequences are removed", "\x1b[31mer\x1b[0mror\n", `error`, nil, []string{"error"}},
		{"a kernel line is removed", "/ [    1.000000] foo\r\n# ", `/ # `, nil, []string{"/ # "}},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cases := func() []expect.Caser { return []expect.Caser{ok(tt.pattern)} }
			theirs, _ := newOracle(t).play(t, tt.transcript, cases())
			ours, _ := own(t, tt.transcript, rand.New(rand.NewPCG(uint64(i), 1)), cases())
			if diff := cmp.Diff(tt.theirs, first(theirs)); diff != "" {
				t.Errorf("goexpect (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.ours, first(ours)); diff != "" {
				t.Errorf("ours (-want +got):\n%s", diff)
			}
		})
	}
}

func first(steps []step) []string {
	if len(steps) == 0 {
		return nil
	}
	return steps[0].Groups
}

// TestReplyIsExpandedOnce: goexpect looks for references in what it inserted, so
// that a board could choose what is sent.
func TestReplyIsExpandedOnce(t *testing.T) {
	cases := func() []expect.Caser {
		return []expect.Caser{&expect.BCase{R: `([^ \n]+) ([^ ;\n]+);`, S: `\1`, T: expect.OK()}}
	}
	const transcript = `\2 secret;`
	_, theirs := newOracle(t).play(t, transcript, cases())
	_, ours := own(t, transcript, rand.New(rand.NewPCG(1, 1)), cases())
	if theirs != "secret" || ours != `\2` {
		t.Errorf("goexpect sent %q, ours %q", theirs, ours)
	}
}
