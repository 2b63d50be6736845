package guest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"b2c-runner/jobs"
	"b2c-runner/jobs/guest"
)

func TestNewKinds(t *testing.T) {
	for kind, want := range map[string]string{
		"ktpa":  `unknown kind of results "ktpa" (did you mean "ktap"?)`,
		"GTest": `unknown kind of results "GTest" (did you mean "gtest"?)`,
		"junit": `unknown kind of results "junit" (known: ktap, lava, gtest)`,
	} {
		if _, err := guest.New([]string{"lava", kind}); err == nil || err.Error() != want {
			t.Errorf("New(%q): %v, want %s", kind, err, want)
		}
	}
}

// TestKindsApart feeds every language to collectors of each: nobody takes what is
// not his, and a kind named twice counts once.
func TestKindsApart(t *testing.T) {
	lines := []string{
		"ok 1 - t", "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=l RESULT=pass>", "[ RUN      ] g.g", "[       OK ] g.g (0 ms)",
	}
	for kinds, want := range map[string]string{"ktap ktap": "t", "lava": "l", "gtest": "g.g", "": "", "gtest lava ktap": "t l g.g"} {
		cases, problems := collect(t, strings.Fields(kinds), lines...)
		var names []string
		for _, c := range cases {
			names = append(names, c.Name)
		}
		if got := strings.Join(names, " "); got != want || len(problems) > 0 {
			t.Errorf("%q: %q, want %q; problems %q", kinds, got, want, problems)
		}
	}
}

func TestShapes(t *testing.T) {
	for name, test := range map[string]struct{ input, want string }{
		"results without a header":       {"ok 1 a\nnot ok 2 b", "pass | ktap | a | \nfail | ktap | b | not ok\n"},
		"words that are no results":      {"ok\nok then\nokay 1 a\nok 1st\nnot ok\n  ok 1 x\n1. ok\nOK 1 x\n# ok 1 x", ""},
		"no number in a run":             {"TAP version 13\nok - a\nnot ok\n1..2", "pass | ktap | a | \nfail | ktap | test 2 | not ok\n"},
		"plan behind not fulfilled":      {"ok 1 a\nok 2 b\n1..3", "pass | ktap | a | \npass | ktap | b | \nfail | ktap | plan | planned 3, ran 2, no result of 3\nproblem: plan not fulfilled: planned 3, ran 2, no result of 3\n"},
		"more than planned":              {"1..1\nok 1 a\nok 2 b", "pass | ktap | a | \npass | ktap | b | \nfail | ktap | plan | planned 1, ran 2\nproblem: number 2 is not in the plan 1..1\nproblem: plan not fulfilled: planned 1, ran 2\n"},
		"same number, plan short":        {"1..3\nok 1 a\nok 2 b\nok 2 c", "pass | ktap | a | \npass | ktap | b | \npass | ktap | c | \nfail | ktap | plan | planned 3, ran 3, no result of 3\nproblem: number 2 is used twice\nproblem: plan not fulfilled: planned 3, ran 3, no result of 3\n"},
		"any order":                      {"1..3\nok 3 a\nok 1 b\nok 2 c", "pass | ktap | a | \npass | ktap | b | \npass | ktap | c | \n"},
		"a plan alone is any text":       {"1..9", "problem: plan not fulfilled: planned 9, ran 0, no result of 1, 2, 3, 4, 5, …\n"},
		"a header and a plan alone":      {"TAP version 13\n1..2", "fail | ktap | plan | planned 2, ran 0, no result of 1, 2\nproblem: plan not fulfilled: planned 2, ran 0, no result of 1, 2\n"},
		"a header alone":                 {"KTAP version 1", "problem: a run began and has neither plan nor results\n"},
		"no tests planned":               {"KTAP version 1\n1..0", ""},
		"one program after another":      {"1..1\nok 1 a\n1..1\nok 1 b\nok 1 c", "pass | ktap | a | \npass | ktap | b | \npass | ktap | c | \n"},
		"directives":                     {"ok 1 a # SKIP\nnot ok 2 b # skip: no net\nnot ok 3 c # TODO soon\nok 4 d # TIMEOUT 3 s\nnot ok 5 e # XFAIL known\nok 6 f # ERROR gone\nnot ok 7 g # XPASS\nok 8 h # rcode=0\nok 9 i #2", "pass | ktap | a | SKIP\npass | ktap | b | SKIP no net\npass | ktap | c | TODO soon\nfail | ktap | d | TIMEOUT 3 s\npass | ktap | e | XFAIL known\nfail | ktap | f | ERROR gone\nfail | ktap | g | XPASS\npass | ktap | h | rcode=0\npass | ktap | i #2 | \n"},
		"a parent names its tests":       {"KTAP version 1\n1..1\n  KTAP version 1\n  1..2\n    KTAP version 1\n    1..1\n    ok 1 c\n  ok 1 b\n  not ok 2 d\n# a failed\nnot ok 1 a", "pass | a/b | a/b/c | \npass | a | a/b | \nfail | a | a/d | not ok\nfail | ktap | a | a failed\n\ta failed\n"},
		"a skipped parent breaks a plan": {"1..1\n# TAP version 13\n# 1..5\n# ok 1 x\nok 1 a # SKIP no more", "pass | a | a/x | \npass | ktap | a | SKIP no more\n"},
		"a passed parent does not":       {"1..1\n# TAP version 13\n# 1..2\n# ok 1 x\nok 1 a", "pass | a | a/x | \nfail | a | a/plan | planned 2, ran 1, no result of 2\npass | ktap | a | \nproblem: plan not fulfilled in \"a\": planned 2, ran 1, no result of 2\n"},
		"a program bails out":            {"1..2\n# TAP version 13\n# 1..3\n# ok 1 x\n# Bail out! no device\nnot ok 1 a # exit=1\nok 2 b", "pass | a | a/x | \nfail | a | a/bail out | Bail out! no device\nfail | ktap | a | exit=1\npass | ktap | b | \nproblem: bailed out: no device\n"},
		"two runs in one program":        {"1..1\n# TAP version 13\n# 1..1\n# ok 1 x\n# TAP version 13\n# 1..1\n# ok 1 y\nok 1 a", "pass | a | a/x | \npass | a | a/y | \npass | ktap | a | \n"},
		"header lost":                    {"# selftests: a: b\n# TAP version 13\n# 1..1\n# ok 1 x\nok 1 selftests: a: b", "pass | selftests: a: b | selftests: a: b/x | \npass | ktap | selftests: a: b | \n"},
		"KUnit of 2019":                  {"[    1.000000] TAP version 14\n[    1.000000] \t# Subtest: s\n[    1.000000] \t1..1\n[    1.000000] \tok 1 - x\n[    1.000000] ok 1 - s", "pass | s | s/x | \npass | ktap | s | \n"},
		"KUnit in a container's log":     {"KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: s\n    1..1\n    ok 1 x\nok 1 s", "pass | s | s/x | \npass | ktap | s | \n"},
		"block without end":              {"1..2\nnot ok 1 a\n  ---\n  x: ERROR 7\nok 2 b", "fail | ktap | a | x: ERROR 7\n\tx: ERROR 7\npass | ktap | b | \n"},
		"both fail, comments behind":     {"not ok 1 a\n# of a\nnot ok 2 b\n# of b\n1..2", "fail | ktap | a | of a\n\tof a\nfail | ktap | b | of b\n\tof a\n\tof b\n"},
		"both fail, comments before":     {"KTAP version 1\n1..2\n# of a\nnot ok 1 a\n# of b\nnot ok 2 b", "fail | ktap | a | of a\n\tof a\nfail | ktap | b | of b\n\tof b\n"},
		"tabs and blanks":                {"KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n\tKTAP version 1\n\t1..1\n\tok 1 c\n  ok 1 b\nok 1 a", "pass | a/b | a/b/c | \npass | a | a/b | \npass | ktap | a | \n"},
		"words within a run":             {"TAP version 13\n1..1\nokay 1\nok 1 a", "pass | ktap | a | \n"},
		"numbers beyond all bounds":      {"TAP version 13\n1..9999999999\nok 1 a\nok 99999999999999999999 b", "pass | ktap | a | \npass | ktap | b | \nfail | ktap | plan | planned 2147483647, ran 2, no result of 2, 3, 4, 5, 6, …\nproblem: plan not fulfilled: planned 2147483647, ran 2, no result of 2, 3, 4, 5, 6, …\n"},
		"words behind a result":          {"ok 1 a\nok\nok then", "pass | ktap | a | \n"},
		"a program bails out twice":      {"TAP version 13\nBail out! a\nBail out! b", "fail | ktap | bail out | Bail out! a\nproblem: bailed out: a\n"},
		"comment of the parent":          {"TAP version 14\n1..1\n    1..1\n    not ok 1 x\n# of p\nnot ok 1 p", "fail | p | p/x | not ok\nfail | ktap | p | of p\n\tof p\n"},
		"a suite without its result":     {"KTAP version 1\n1..2\n    KTAP version 1\n    # Subtest: a\n    1..2\n    ok 1 x\n    KTAP version 1\n    # Subtest: b\n    1..1\n    ok 1 y\nok 2 b", "pass | a | a/x | \nfail | a | a/plan | planned 2, ran 1, no result of 2\npass | b | b/y | \npass | ktap | b | \nfail | ktap | plan | planned 2, ran 1, no result of 1\nproblem: plan not fulfilled in \"a\": planned 2, ran 1, no result of 2\nproblem: plan not fulfilled: planned 2, ran 1, no result of 1\n"},
		"kselftest dies":                 {"TAP version 13\n1..1\n# selftests: a: b\n# TAP version 13\n# 1..1\n# ok 1 x", "pass | selftests: a: b | selftests: a: b/x | \nfail | ktap | plan | planned 1, ran 0, no result of 1\nproblem: the suite \"selftests: a: b\" has no result of its own\nproblem: plan not fulfilled: planned 1, ran 0, no result of 1\n"},
		"gtest result out of nowhere":    {"[  FAILED  ] a.b", ""},
		"two programs without any plan":  {"ok 1 a\nok 2 b\nok 1 c\nok 2 d", "pass | ktap | a | \npass | ktap | b | \npass | ktap | c | \npass | ktap | d | \n"},
		"LAVA value with blanks":         {"<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=a b RESULT=pass>", "pass | lava | a b | \n"},
		"LAVA result that is none":       {"<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=a RESULT=PASSED>", "fail | lava | a | result \"PASSED\"\nproblem: test \"a\" has the result \"PASSED\", which is none\n"},
		"LAVA without a name":            {"<LAVA_SIGNAL_TESTCASE RESULT=pass>", "pass | lava | (no name) | \nproblem: signal TESTCASE without TEST_CASE_ID: RESULT=pass\n"},
		"LAVA two on a line":             {"x<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=a RESULT=pass><LAVA_SIGNAL_TESTCASE TEST_CASE_ID=b RESULT=fail>", "pass | lava | a | \nfail | lava | b | fail\n"},
		"LAVA run in place of another":   {"<LAVA_SIGNAL_STARTRUN a 1>\n<LAVA_SIGNAL_STARTRUN b 2>\n<LAVA_SIGNAL_ENDRUN b 2>", "fail | a | a/run | the run began and did not end\nproblem: run \"a\" began and did not end\n"},
		"LAVA end of nothing":            {"<LAVA_SIGNAL_ENDRUN b 2>", "problem: run \"b\" ends and did not begin\n"},
		"LAVA raises":                    {"<LAVA_SIGNAL_TESTRAISE no network>\n<LAVA_TEST_RUNNER INSTALL_FAIL>", "fail | lava | raise | no network\nfail | lava | install | the test's installation failed\n"},
		"LAVA reference cut short":       {"<LAVA_SIGNAL_TESTREFERENCE a pass>", "problem: signal TESTREFERENCE with 2 values, 3 are needed: a pass\n"},
		"gtest brief":                    {"[  FAILED  ] a.b (3 ms)\n[==========] 9 tests from 2 test suites ran. (3 ms total)\n[  FAILED  ] 1 test, listed below:\n[  FAILED  ] a.b", "fail | a | a.b | FAILED\n"},
		"gtest failure in summary only":  {"[==========] 9 tests from 2 test suites ran.\n[  FAILED  ] a.b", "fail | a | a.b | FAILED\nproblem: test \"a.b\" is in the summary only\n"},
		"gtest crash, next program":      {"[==========] Running 2 tests from 1 test suite.\n[ RUN      ] a.b\nSegmentation fault\n[==========] Running 1 test from 1 test suite.\n[ RUN      ] c.d\n[       OK ] c.d (0 ms)\n[==========] 1 test from 1 test suite ran. (0 ms total)", "fail | a | a.b | began and did not end: crashed or hung\n\tSegmentation fault\nfail | gtest | plan | planned 2, ran 1\npass | c | c.d | \nproblem: test \"a.b\" began and did not end\nproblem: plan of a GoogleTest program not fulfilled: planned 2, ran 1\n"},
		"gtest result of another test":   {"[ RUN      ] a.b\n[       OK ] a.bc (0 ms)\n[       OK ] a.b (0 ms)", "pass | a | a.b | \n"},
		"gtest dies after its tests":     {"[==========] Running 1 test from 1 test suite.\n[ RUN      ] a.b\n[       OK ] a.b (0 ms)", "pass | a | a.b | \nproblem: a GoogleTest program did not end after its 1 tests\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := show(collect(t, allKinds, strings.Split(test.input, "\n")...))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestDurations takes a test's time from its program, or else from the console.
func TestDurations(t *testing.T) {
	c, err := guest.New(allKinds)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []struct {
		at   int
		text string
	}{
		{10, "1..2"}, {12, "ok 1 - tap"}, {17, "ok 2 - tap"},
		{20, "<LAVA_SIGNAL_STARTTC lava>"}, {28, "<LAVA_SIGNAL_ENDTC lava>"}, {40, "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=lava RESULT=pass>"},
		{50, "[ RUN      ] g.timed"}, {60, "[       OK ] g.timed (3 ms)"},
		{70, "[ RUN      ] g.untimed"}, {74, "[       OK ] g.untimed"},
	} {
		c.Feed(time.Duration(l.at)*time.Second, l.text)
	}
	var got []string
	for _, k := range c.Cases() {
		got = append(got, fmt.Sprint(k.Name, " ", k.Duration))
	}
	want := []string{"tap 2s", "tap 5s", "lava 8s", "g.timed 3ms", "g.untimed 4s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestFinished feeds lines after the end.
func TestFinished(t *testing.T) {
	c, err := guest.New(allKinds)
	if err != nil {
		t.Fatal(err)
	}
	c.Feed(0, "ok 1 a")
	before := c.Cases()
	c.Feed(0, "ok 2 b")
	if diff := cmp.Diff(before, c.Cases()); diff != "" || len(before) != 1 {
		t.Errorf("(-before +after)\n%s", diff)
	}
}

// TestBounds feeds more than is kept: of results, of depth, of text.
func TestBounds(t *testing.T) {
	const kept = 100_000
	c, err := guest.New(allKinds)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("ü", 5000)
	c.Feed(0, "TAP version 13")
	c.Feed(0, fmt.Sprintf("1..%d", kept+10))
	for range 300 {
		c.Feed(0, "# "+long)
	}
	for i := range kept + 10 {
		if i == 1 {
			for range 300 {
				c.Feed(0, "# "+long)
			}
		}
		c.Feed(0, fmt.Sprintf("not ok %d - %s", i+1, long[:min(len(long), 2*(i%2)*5000)]))
	}
	cases := c.Cases()
	if len(cases) != kept+1 {
		t.Fatalf("%d cases, want %d", len(cases), kept+1)
	}
	if got, want := cases[kept].Message, "10 more results, 10 of them failures"; got != want || cases[kept].Verdict != jobs.Fail {
		t.Errorf("the last case is %v: %s, want %s", cases[kept].Verdict, got, want)
	}
	for _, k := range cases {
		if len(k.Name) > 200 || len(k.Message) > 500 || len(k.Output) > 100*501 {
			t.Fatalf("case of %d, %d and %d bytes", len(k.Name), len(k.Message), len(k.Output))
		}
	}
	if p := c.Problems(); len(p) != 1 {
		t.Errorf("problems %q", p)
	}

}

// TestOpen begins more tests than are kept open.
func TestOpen(t *testing.T) {
	var lines []string
	for i := range 1100 {
		lines = append(lines, fmt.Sprintf("<LAVA_SIGNAL_STARTTC %d>", i))
	}
	cases, problems := collect(t, allKinds, lines...)
	if len(cases) != 1000 || len(problems) != 101 {
		t.Errorf("%d cases, %d problems", len(cases), len(problems))
	}
}

// TestDepth nests deeper than is kept, with short names and with long ones.
func TestDepth(t *testing.T) {
	for _, name := range []string{"s", strings.Repeat("s", 150)} {
		testDepth(t, name)
	}
}

func testDepth(t *testing.T, name string) {
	var deep []string
	for i := range 40 {
		indent := strings.Repeat("  ", i)
		deep = append(deep, indent+"KTAP version 1", indent+"# Subtest: "+name, indent+"1..1")
	}
	for i := 39; i >= 0; i-- {
		deep = append(deep, strings.Repeat("  ", i)+"ok 1 x")
	}
	cases, _ := collect(t, allKinds, deep...)
	ok := 0
	for _, k := range cases {
		if len(k.Name) > 400 || len(k.Class) > 400 {
			t.Errorf("name of %d bytes in a class of %d", len(k.Name), len(k.Class))
		}
		if strings.Count(k.Name, "/") > 16 {
			t.Errorf("nested too deep: %s", k.Name)
		}
		if k.Verdict == jobs.Pass {
			ok++
		}
	}
	if ok != 40 || len(cases) != 40 {
		t.Errorf("%d of 40 nested results in %d cases", ok, len(cases))
	}
}
