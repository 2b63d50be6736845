package guest_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"b2c-runner/jobs"
	"b2c-runner/jobs/guest"
)

var update = flag.Bool("update", false, "write the golden files anew")

var allKinds = []string{"ktap", "lava", "gtest"}

// collect feeds lines, one every millisecond.
func collect(t testing.TB, kinds []string, lines ...string) ([]jobs.Case, []string) {
	t.Helper()
	c, err := guest.New(kinds)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range lines {
		c.Feed(time.Duration(i)*time.Millisecond, l)
	}
	return c.Cases(), c.Problems()
}

// show writes cases and problems for people to compare.
func show(cases []jobs.Case, problems []string) string {
	var b strings.Builder
	for _, c := range cases {
		fmt.Fprintf(&b, "%s | %s | %s | %s\n", c.Verdict, c.Class, c.Name, c.Message)
		for l := range strings.Lines(c.Output) {
			fmt.Fprintf(&b, "\t%s\n", strings.TrimSuffix(l, "\n"))
		}
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "problem: %s\n", p)
	}
	return b.String()
}

func transcripts(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.log")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	all := map[string][]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(f), ".log")] = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	}
	return all
}

func TestGolden(t *testing.T) {
	for name, lines := range transcripts(t) {
		t.Run(name, func(t *testing.T) {
			got := show(collect(t, allKinds, lines...))
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
