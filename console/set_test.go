package console

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLiterals(t *testing.T) {
	tests := []struct {
		pattern string
		want    []string
	}{
		{`Kernel panic`, []string{"kernel panic"}},
		{`^\[ *[\d.]+\] Run /init`, []string{"] run /init"}},
		{`.*foo.*barbar.*`, []string{"barbar"}},
		{`(foo|ba[rR])x?`, []string{"foo", "bar"}},
		{`(?:Rebooting|Restarting) in \d+ seconds`, []string{" seconds"}},
		{`(?i)Kernel Panic`, []string{"ernel panic"}},
		{`(?i)login`, []string{"login"}},
		{`(?i)booked`, []string{"boo"}},
		{`a+b{2}c{0,3}`, []string{"a"}},
		{`(abc)+`, []string{"abc"}},
		{`x*|foo`, nil}, {`\d+`, nil}, {``, nil}, {`[ab]c`, []string{"c"}}, {`foo|`, nil},
		{`[A-a]b`, []string{"b"}},
		{`(?i)Ünder`, []string{"nder"}},
		{strings.Repeat("y", 100), []string{strings.Repeat("y", maxLiteral)}},
	}
	for _, tt := range tests {
		re, err := syntax.Parse(tt.pattern, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, word := range literals(re) {
			got = append(got, string(word))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.pattern, diff)
		}
	}
}

func TestSetMatchesAsRegexpDoes(t *testing.T) {
	patterns := []string{`Kernel panic`, `(?i)kernel panic - (.*)`, `^\d+$`, `panic|oops`, `K\x{212A}`, `(?i)\x{212A}ernel`, `(?i)hauſ`, ``, `\bnot\b`}
	for i := range 200 {
		patterns = append(patterns, fmt.Sprintf("word%d[ab]*x", i))
	}
	set, err := NewSet(patterns)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"", "KERNEL PANIC - not syncing", "\u212aernel panic - x", "42", "haus", "HAUS", "hauſ", "K\u212a", "kernel", "word7abax word199x word19", "not"} {
		var want, got []string
		for i, p := range patterns {
			if loc := regexp.MustCompile(p).FindStringSubmatchIndex(line); loc != nil {
				want = append(want, fmt.Sprint(i, loc))
			}
		}
		set.Match(line, func(i int, loc []int) { got = append(got, fmt.Sprint(i, loc)) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", line, diff)
		}
	}
}

func TestSetMatchDoesNotAllocateWithoutAMatch(t *testing.T) {
	set, err := NewSet([]string{`Kernel panic`, `usb: [x-z]`, `(?i)oops: \d`})
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("[    1.000000] usb 1-1: new device, no fault: none ", 3)
	hit := func(int, []int) { t.Error("hit") }
	if n := testing.AllocsPerRun(100, func() { set.Match(line, hit) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestFinality(t *testing.T) {
	tests := []struct {
		pattern, line string
		want          int // bytes after which the match is final; 0: not before the line's end
	}{
		{`took \d+`, "took 12 ms", 8},
		{`took \d+`, "took 12", 0},
		{`took \d+?`, "took 12", 6},
		{`root@\w+:[~/a-z]*# `, "root@rpi3:~# ls", 13},
		{`foo|foobar`, "foobar", 3},
		{`foobar|foo`, "foobar", 6},
		{`foobar|foo`, "foobaz", 6},
		{`foobar|foo`, "fooba", 0},
		{`(foo$|fo)`, "foo", 0},
		{`(foo$|fo)`, "food", 4},
		{`foo\b|f`, "foo", 0},
		{`foo\b|f`, "foo é", 4},
		{`foo\B|f`, "foob", 4},
		{`abcd|b`, "abcx", 4},
		{`.*a`, "xaxa", 0},
		{`é+`, "éé!", 5},
	}
	for _, tt := range tests {
		re, err := syntax.Parse(tt.pattern, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		prog, err := syntax.Compile(re.Simplify())
		if err != nil {
			t.Fatal(err)
		}
		got, ok := new(finality).at(prog, []byte(tt.line))
		if ok != (tt.want > 0) || got != tt.want {
			t.Errorf("%q on %q: %d, %t, want %d", tt.pattern, tt.line, got, ok, tt.want)
		}
	}
}

// TestWorkOnAGrowingLineIsBounded: a line of 60 kB that comes in single bytes, with
// a literal of each pattern at its begin, is not tried as a whole for each byte.
func TestWorkOnAGrowingLineIsBounded(t *testing.T) {
	set, err := NewSet([]string{`start ([a-z]+ )+stop`, `start.*y`, `start [^\n]*\d`})
	if err != nil {
		t.Fatal(err)
	}
	s := newScan(set)
	line := []byte("start " + strings.Repeat("ab ", 20_000) + "stop")
	for i := range line {
		if m, ok := s.best(line[:i], -1, false); ok {
			t.Fatalf("match %+v", m)
		}
	}
	if limit := freeWork + (workPerByte+20)*len(line); s.spent > limit {
		t.Errorf("%d bytes were tried, want at most %d", s.spent, limit)
	}
	if m, ok := s.best(line, -1, true); !ok || m.pattern != 0 {
		t.Errorf("match %+v, %t", m, ok)
	}
}

func TestCheck(t *testing.T) {
	tests := []struct{ pattern, want string }{
		{`login: `, ""}, {`[ \t]+\d+`, ""}, {`[^x\n]*\r?$`, ""}, {`(?m)^a.b$`, ""}, {`\S+\t`, ""}, {`a|b\r`, ""},
		{`a\nb`, "line break"}, {`(?s).`, "line break"}, {`(?s)a.*b`, "line break"}, {`[\n]`, "line break"}, {`(a|(b\n))`, "line break"},
		{`done\r$`, `'\r'`}, {`\x1b\[0m`, "removed"}, {`(\x00)+`, "removed"}, {`a\r|b\x07`, "removed"}, {"\u009b", "removed"},
		{`(`, "failed to parse"}, {`(?=x)`, "failed to parse"},
	}
	for _, tt := range tests {
		err := Check(tt.pattern)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("Check(%q) = %v, want %q", tt.pattern, err, tt.want)
		}
	}
}

func TestLint(t *testing.T) {
	tests := []struct {
		pattern string
		want    []string
	}{
		{`login: `, nil}, {`^\[ *[\d.]+\] reboot: Power [dD]own`, nil}, {`(?:foo|bar).*`, nil},
		{`.*login`, []string{"begins with"}}, {`^(.+x)yz`, []string{"begins with", "no word"}}, {`(?i)login`, []string{"ignores case"}},
		{`# `, []string{"no word"}}, {`\d+`, []string{"no word"}}, {`(?i).*ab`, []string{"begins with", "ignores case", "no word"}}, {`(`, nil},
	}
	for _, tt := range tests {
		got := Lint(tt.pattern)
		if len(got) != len(tt.want) {
			t.Errorf("Lint(%q) = %q, want %q", tt.pattern, got, tt.want)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], tt.want[i]) {
				t.Errorf("Lint(%q) = %q, want %q", tt.pattern, got, tt.want)
			}
		}
	}
}

// FuzzSet: the prefilter never hides a match, and a match that is final stays the
// same whatever follows.
func FuzzSet(f *testing.F) {
	f.Add(`(?i)k[eE]rnel (panic|oops)+`, "\u212aERNEL PANIC - x")
	f.Add(`a.*b|abc(d|e)?`, "xabcab")
	f.Add(`(foo|foobar)\b$`, "foobar")
	f.Add(`^(a|ab)(c|bcd)(d*)`, "abcdd")
	f.Fuzz(func(t *testing.T, pattern, line string) {
		if len(pattern) > 100 || len(line) > 300 || Check(pattern) != nil {
			t.Skip()
		}
		line = strings.ToValidUTF8(strings.ReplaceAll(line, "\n", ""), "\ufffd")
		re := regexp.MustCompile(pattern)
		set, err := NewSet([]string{pattern})
		if err != nil {
			t.Skip()
		}
		hit := false
		set.Match(line, func(int, []int) { hit = true })
		if hit != re.MatchString(line) {
			t.Fatalf("%q on %q: hit %t", pattern, line, hit)
		}
		s := newScan(set)
		for i := range len(line) + 1 {
			if i < len(line) && line[i]&0xc0 == 0x80 {
				continue
			}
			if m, ok := s.best([]byte(line[:i]), -1, false); ok {
				if want := re.FindStringSubmatchIndex(line); !cmp.Equal(want, m.loc) {
					t.Fatalf("%q on %q: final after %d bytes at %v, on the line %v", pattern, line, i, m.loc, want)
				}
				return
			}
		}
	})
}
