package alarm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzFeed feeds any bytes: nothing may panic, nothing may grow without bound,
// and every line with a rule's first words at its start must be noticed.
func FuzzFeed(f *testing.F) {
	files, err := filepath.Glob("testdata/*.log")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Add("[    1.000000]\n[    1.000000][\n<4>[\nJan kernel: \n[ 1.000000] BUG: KASAN: \n[ 1.000000] ? +0x\n")
	f.Fuzz(func(t *testing.T, log string) {
		d, err := NewDetector(Options{Rules: []Rule{{"x", "xyzzy", Fatal}}, Silence: []string{"hush"}})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		check := func(alarms []Alarm) {
			for _, a := range alarms {
				size := 0
				for _, line := range a.Trace {
					size += len(line)
				}
				if a.Title == "" || len(a.Title) > maxTitle || a.Kind == "" || a.Line < 1 || a.Line > n ||
					len(a.Trace) < 1 || len(a.Trace) > maxTraceLines || size > maxTraceBytes {
					t.Fatalf("bad alarm %+v", a)
				}
				if a.Fatal && !d.Seen() {
					t.Fatalf("fatal %q is not seen", a.Title)
				}
			}
		}
		for line := range strings.SplitSeq(log, "\n") {
			n++
			check(d.Feed(time.Duration(n)*time.Millisecond, n, line))
			if len(d.open) > maxOpen || len(d.seen) > maxSeen || len(d.boot.early) > maxEarly || len(d.boot.fresh) > proof {
				t.Fatalf("%d open, %d seen, %d early, %d fresh", len(d.open), len(d.seen), len(d.boot.early), len(d.boot.fresh))
			}
		}
		check(d.Flush())
		if len(d.open) != 0 {
			t.Fatal("open after Flush")
		}

		// After any bytes, the next panic is still seen.
		d.Feed(time.Hour, n+1, "[ 7777.777777] Kernel panic - not syncing: the end "+time.Duration(len(log)).String())
		if !d.Seen() {
			t.Fatal("a panic is missed")
		}
	})
}
