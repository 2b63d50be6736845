package alarm

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// corpus returns a directory of the recorded logs, or skips the test.
func corpus(t *testing.T, sub string) string {
	t.Helper()
	root := os.Getenv("B2C_CORPUS")
	if root == "" {
		root = "../../../shared/data"
	}
	dir := filepath.Join(root, sub)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("needs the recorded logs: %v", err)
	}
	return dir
}

// replay feeds a log as a board prints it, line by line.
func replay(t testing.TB, opts Options, log string) (*Detector, []Alarm) {
	t.Helper()
	d, err := NewDetector(opts)
	if err != nil {
		t.Fatal(err)
	}
	var out []Alarm
	n := 0
	for line := range strings.Lines(log) {
		n++
		out = append(out, d.Feed(time.Duration(n)*time.Millisecond, n, strings.TrimRight(line, "\r\n"))...)
	}
	return d, append(out, d.Flush()...)
}

// kindOf is the kind a kernel developer reads from a title. It is written from
// the titles of the corpus, not from the rules.
var kindOf = []struct {
	title string
	kind  Kind
}{
	{`^KASAN`, KASAN}, {`^KMSAN`, KMSAN}, {`^KCSAN`, KCSAN}, {`^KFENCE`, KFENCE}, {`^UBSAN`, UBSAN},
	{`^kernel panic`, Panic},
	{`^memory leak`, Memleak},
	{`^INFO: rcu`, RCUStall}, {`^INFO: task`, HungTask},
	{`^BUG: (soft|workqueue) lockup`, Lockup},
	{`deadlock|circular locking|lock state|RCU usage|unlock balance|held lock|locks? held|non-static key|spinlock|locking bug|preemptible|MAX_STACK`, Lockdep},
	{`^WARNING`, Warning},
	{`^BUG: (unable to handle|stack guard)|^general protection|^divide|^PANIC: double|^Internal error|^Unhandled fault|^Alignment trap`, Oops},
	{`^BUG|^kernel BUG|^VFS: Busy|^INFO: (Allocated|Freed)|subtract with overflow`, Bug},
}

func TestCorpus(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus(t, "oops"), "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no logs: %v", err)
	}
	var total, kinds, titles int
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		header, log, _ := strings.Cut("\n"+string(data), "\n\n")
		log, _, _ = strings.Cut(log, "\nREPORT:\n")
		var want []string
		for line := range strings.SplitSeq(header, "\n") {
			if key, value, ok := strings.Cut(line, ": "); ok && (key == "TITLE" || key == "ALT") && value != "" {
				want = append(want, value)
			}
		}
		_, got := replay(t, Options{}, log)
		slices.SortStableFunc(got, func(a, b Alarm) int { return a.Line - b.Line }) // they come as they end
		if len(want) == 0 {
			if len(got) != 0 {
				t.Errorf("%s: alarm %q, want none", filepath.Base(file), got[0].Title)
			}
			continue
		}
		total++
		if len(got) == 0 {
			t.Logf("%s: no alarm, want %q", filepath.Base(file), want[0])
			continue
		}
		for _, k := range kindOf {
			if regexp.MustCompile(k.title).MatchString(want[0]) {
				if got[0].Kind == k.kind {
					kinds++
				} else {
					t.Logf("%s: kind %s, want %s (%s)", filepath.Base(file), got[0].Kind, k.kind, want[0])
				}
				break
			}
		}
		ok := false
		for _, w := range want {
			ok = ok || w == got[0].Title
		}
		if ok {
			titles++
		} else {
			t.Logf("%s: title %q, want %q", filepath.Base(file), got[0].Title, want)
		}
	}
	t.Logf("%d reports: kind right in %.1f %%, title in %.1f %%", total, percent(kinds, total), percent(titles, total))
	if percent(kinds, total) < 95 {
		t.Errorf("kind right in %.1f %%, want 95 %%", percent(kinds, total))
	}
	if percent(titles, total) < 80 {
		t.Errorf("title right in %.1f %%, want 80 %%", percent(titles, total))
	}
}

func percent(part, of int) float64 { return 100 * float64(part) / float64(of) }
