package console_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"b2c-runner/console"
	"b2c-runner/console/consoletest"
)

// corpus lists recorded consoles.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	dir := os.Getenv("B2C_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	names, err := filepath.Glob(filepath.Join(dir, "serial", "*.log"))
	if err != nil || len(names) == 0 {
		t.Skipf("needs the corpus in %s", dir)
	}
	logs := map[string][]byte{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		logs[filepath.Base(name)] = data
	}
	return logs
}

// TestCorpusReplay: recorded consoles, cut anyhow, are logged byte by byte, and
// give the same lines.
func TestCorpusReplay(t *testing.T) {
	for name, data := range corpus(t) {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(len(data))))
			var steps []consoletest.Step
			for rest := string(data); len(rest) > 0; {
				n := min(len(rest), 1+r.IntN(200))
				steps = append(steps, consoletest.Say(rest[:n]))
				rest = rest[n:]
			}
			var log, cast bytes.Buffer
			port := consoletest.New(append(steps, consoletest.Lose(io.EOF))...)
			s := console.NewStream(port, console.Config{Log: &log, Cast: &cast})
			<-s.Done()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(log.Bytes(), data) {
				t.Error("the log differs from what was read")
			}
			if output, _ := events(t, cast.Bytes()); output != strings.ToValidUTF8(string(data), "\ufffd") && utf8.Valid(data) {
				t.Error("the cast differs from what was read")
			}
			c := s.CursorAt(0)
			count := 0
			for {
				line, err := c.Next(t.Context())
				if errors.Is(err, console.ErrLost) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				count++
				raw, _, _ := bytes.Cut(data[line.Offset:], []byte("\n"))
				if want := bytes.TrimRight(raw, "\r"); !bytes.ContainsAny(want, "\x1b\b\r\x00") && string(want) != line.Text {
					t.Errorf("line %d is %q, the log has %q", line.N, line.Text, want)
				}
			}
			if lines := bytes.Count(data, []byte("\n")); count < lines || count > lines+1 {
				t.Errorf("%d lines, the log has %d", count, lines)
			}
		})
	}
}

// events reads an asciicast v2 recording.
func events(t *testing.T, data []byte) (output, input string) {
	t.Helper()
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	var header struct{ Version, Width, Height, Timestamp int64 }
	if err := json.Unmarshal(lines[0], &header); err != nil || header.Version != 2 || header.Width == 0 || header.Height == 0 || header.Timestamp == 0 {
		t.Fatalf("header %s: %v", lines[0], err)
	}
	last := 0.0
	for _, line := range lines[1:] {
		var event []any
		if err := json.Unmarshal(line, &event); err != nil || len(event) != 3 {
			t.Fatalf("event %s: %v", line, err)
		}
		if at := event[0].(float64); at < last {
			t.Errorf("event at %f after %f", at, last)
		} else {
			last = at
		}
		switch event[1] {
		case "o":
			output += event[2].(string)
		case "i":
			input += event[2].(string)
		default:
			t.Errorf("event %s", line)
		}
	}
	return output, input
}

// TestSecretsAreInNoCopy: in the log, the cast and viewers a secret is starred
// out however it is cut; matching sees it.
func TestSecretsAreInNoCopy(t *testing.T) {
	const text = "+ mcli alias set gw http://gw KEY hunter2!\r\nGr\u00fc\u00dfe\r\npassword: "
	want := strings.Replace(text, "hunter2!", "********", 1)
	for size := 1; size < len(text); size++ {
		synctest.Test(t, func(t *testing.T) {
			var log, cast bytes.Buffer
			port := consoletest.New(append(append([]consoletest.Step{consoletest.Wait(time.Second)}, consoletest.Bytes(size, text)...),
				consoletest.Hear("hunter2!"), consoletest.Say("hunte"), consoletest.Lose(io.EOF))...)
			s := console.NewStream(port, console.Config{Log: &log, Cast: &cast, Secrets: []string{"hunter2!"}})
			viewer := s.Subscribe(0)
			m, err := s.CursorAt(0).Expect(t.Context(), console.ExpectOptions{}, ok(`hunter2!`))
			if err != nil || m.Line.N != 0 {
				t.Errorf("match %+v, %v", m, err)
			}
			if err := s.Send(t.Context(), "echo hunter2!\n"); err != nil {
				t.Error(err)
			}
			<-s.Done()
			s.Close()
			seen, err := io.ReadAll(viewer)
			if err != nil {
				t.Error(err)
			}
			output, input := events(t, cast.Bytes())
			for name, got := range map[string]string{"log": log.String(), "viewer": string(seen), "cast": output} {
				if got != want+"hunte" {
					t.Errorf("reads of %d: %s is %q", size, name, got)
				}
			}
			if input != "echo ********\n" || port.Written() != "echo hunter2!\n" {
				t.Errorf("typed %q, recorded %q", port.Written(), input)
			}
		})
	}
}

func TestFullDiskOfTheCastIsReportedAndDoesNotEndTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		port := consoletest.New(consoletest.Say("one\r\n"), consoletest.Say("two\r\n"), consoletest.Lose(io.EOF))
		s := console.NewStream(port, console.Config{Log: &log, Cast: &fullDisk{left: 100}})
		<-s.Done()
		if err := s.Close(); err == nil || !strings.Contains(err.Error(), "no space left") || log.String() != "one\r\ntwo\r\n" {
			t.Errorf("Close() = %v, log %q", err, log.String())
		}
	})
}

// TestSlowViewerStallsNobody: a viewer that is slow, or does not read at all,
// costs neither the log nor the lines anything, and its loss is counted.
func TestSlowViewerStallsNobody(t *testing.T) {
	data := kernelLog(8 << 20)
	var log bytes.Buffer
	port := consoletest.New()
	s := console.NewStream(port, console.Config{Log: &log})
	stuck, slow := s.Subscribe(1000), s.Subscribe(64<<10)
	c := s.Cursor()
	port.Feed(consoletest.Say(string(data)))
	small := make([]byte, 100)
	n, err := slow.Read(small)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Expect(t.Context(), console.ExpectOptions{Deadline: time.Now().Add(time.Minute)}, ok(`exit_code: 0`)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if !bytes.Equal(log.Bytes(), data) {
		t.Error("the log is not what was read")
	}
	for name, v := range map[string]*console.Viewer{"stuck": stuck, "slow": slow} {
		rest, err := io.ReadAll(v)
		if err != nil {
			t.Fatal(err)
		}
		total := len(rest) + int(v.Dropped())
		if name == "slow" {
			total += n
		}
		if total != len(data) || v.Dropped() == 0 || !bytes.HasSuffix(data, rest) {
			t.Errorf("%s: read %d, dropped %d of %d", name, len(rest), v.Dropped(), len(data))
		}
	}
}

func TestViewerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t, console.Config{}, consoletest.Say("before"))
		v := s.Subscribe(10)
		done := make(chan string)
		go func() {
			seen, _ := io.ReadAll(v)
			done <- string(seen)
		}()
		synctest.Wait()
		v.Close()
		v.Close()
		if got := <-done; !strings.HasSuffix("before", got) {
			t.Errorf("seen %q", got)
		}
		s.Close()
		if n, err := s.Subscribe(0).Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("a viewer of an ended console read %d, %v", n, err)
		}
	})
}

// FuzzExpect: a literal that is on a line is found on the first such line or,
// where kernel lines are taken out, before it; nothing panics.
func FuzzExpect(f *testing.F) {
	f.Add([]byte("boot\r\nlogin: "), "login: ", uint8(3))
	f.Add([]byte("/ [   12.345678] x\r\n# "), "/ # ", uint8(1))
	f.Add([]byte("\x1b[1mER\x1b[0mROR\xff\r\n"), "ERROR", uint8(2))
	f.Fuzz(func(t *testing.T, raw []byte, literal string, size uint8) {
		if literal == "" || len(raw) > 4000 || console.Check(regexp.QuoteMeta(literal)) != nil {
			t.Skip()
		}
		steps := append(consoletest.Bytes(int(size)+1, string(raw)), consoletest.Lose(io.EOF))
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			s, _ := open(t, console.Config{Log: &log}, steps...)
			lines, finder := s.CursorAt(0), s.CursorAt(0)
			m, err := finder.Expect(t.Context(), console.ExpectOptions{}, quoted(literal))
			want := -1
			for {
				line, err := lines.Next(t.Context())
				if err != nil {
					break
				}
				if want < 0 && strings.Contains(line.Text, literal) {
					want = line.N
				}
			}
			switch {
			case err == nil && m.Groups[0] != literal:
				t.Fatalf("%q matched %q", literal, m.Groups[0])
			case want >= 0 && (err != nil || m.Line.N > want):
				t.Fatalf("%q is on line %d of %q, match %+v, %v", literal, want, raw, m, err)
			case want < 0 && err == nil && !bytes.Contains(raw, []byte("[")):
				t.Fatalf("%q was found in %q: %+v", literal, raw, m)
			}
			<-s.Done()
			if diff := cmp.Diff(raw, log.Bytes()); diff != "" && len(raw) > 0 {
				t.Fatalf("log (-want +got):\n%s", diff)
			}
		})
	})
}
