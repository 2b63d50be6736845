package guest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

var stamp = regexp.MustCompile(`\[ *\d{1,10}\.\d{6}\]`)

// FuzzCollector puts a result behind every line of any text: each is found once, if
// no kernel line can have cut it, and never twice. What is found is bounded.
func FuzzCollector(f *testing.F) {
	files, err := filepath.Glob("testdata/*.log")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("TAP version 13\n1..2147483648\nok 99999999999999999999 - x\n  ---\n    ok 1\n")
	f.Add("ok 1" + noise + "\n - a\n<0>" + noise + "\n# " + noise + "\n")
	f.Add("<LAVA_SIGNAL_STARTTC >")
	f.Add("[ RUN      ] R\xfcng.O\n[  FAILED  ] R\xfcng.O\n# " + strings.Repeat("\xfc ", 400))
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return
		}
		var lines []string
		for i, l := range strings.Split(text, "\n") {
			verdict := "ok"
			if i%3 == 0 {
				verdict = "not ok"
			}
			lines = append(lines, l, fmt.Sprintf("%s %d - probe-%d", verdict, i%7+1, i))
		}
		cases, problems := collect(t, allKinds, lines...)
		found := map[string]int{}
		for _, c := range cases {
			found[c.Name]++
			if !utf8.ValidString(c.Name+c.Class+c.Message+c.Output) || c.Name == "" || c.Class == "" || c.Duration < 0 {
				t.Errorf("case %+v", c)
			}
			if len(c.Name) > 400 || len(c.Class) > 400 || len(c.Message) > 500 {
				t.Errorf("case of %d, %d and %d bytes", len(c.Name), len(c.Class), len(c.Message))
			}
		}
		if len(problems) > 102 || len(cases) > 8*len(lines)+8 {
			t.Errorf("%d cases and %d problems of %d lines", len(cases), len(problems), len(lines))
		}
		for i := range len(lines) / 2 {
			n := found[fmt.Sprintf("probe-%d", i)]
			if n > 1 || n == 0 && !stamp.MatchString(text) {
				t.Errorf("probe %d is there %d times", i, n)
			}
		}
	})
}
