package guest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const noise = "[ 9999.000001] usb 1-1: new high-speed USB device number 2 using xhci_hcd"

// TestKernelLineBetween puts a kernel line before every line of every transcript:
// no case, message, output or problem may change.
func TestKernelLineBetween(t *testing.T) {
	for name, lines := range transcripts(t) {
		want := show(collect(t, allKinds, lines...))
		for _, kernel := range []string{noise, "<6>" + noise, "[ 9999.000001][    T1] systemd[1]: ok, started", "random: unstamped"} {
			if kernel[0] == 'r' && name != "kunit" { // in userspace it is output of the test
				continue
			}
			for i := range len(lines) + 1 {
				got := show(collect(t, allKinds, slices.Insert(slices.Clone(lines), i, kernel)...))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s: %q before line %d (-without +with)\n%s", name, kernel, i+1, diff)
				}
			}
		}
	}
}

// TestKernelLineWithin cuts every line that is not the kernel's at every byte, with
// one and with two kernel lines.
func TestKernelLineWithin(t *testing.T) {
	for name, lines := range transcripts(t) {
		want := show(collect(t, allKinds, lines...))
		for i, l := range lines {
			if strings.HasPrefix(l, "[  ") && strings.Contains(l, "] <LAVA") || name == "kunit" {
				continue
			}
			for at := 1; at <= len(l); at++ {
				cut := []string{l[:at] + noise, l[at:]}
				if at%2 == 0 {
					cut = []string{l[:at] + noise, noise, l[at:]}
				}
				got := show(collect(t, allKinds, slices.Concat(lines[:i], cut, lines[i+1:])...))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s: line %d cut behind %q (-whole +cut)\n%s", name, i+1, l[:at], diff)
				}
			}
		}
	}
}

func TestCuts(t *testing.T) {
	for name, test := range map[string]struct {
		lines []string
		want  string
	}{
		"the word not is cut off": {
			[]string{"1..1", "not " + noise, "ok 1 - x"},
			"fail | ktap | x | not ok\n",
		},
		"two kernel lines in one line": {
			[]string{"1..1", "o" + noise, "k 1" + noise, " - x"},
			"pass | ktap | x | \n",
		},
		"cut line is never continued": {
			[]string{"1..2", "ok 1 - x" + noise, "ok 2 - y"},
			"pass | ktap | x | \npass | ktap | y | \n",
		},
		"cut line is the last": {
			[]string{"1..1", "ok 1 - x" + noise},
			"pass | ktap | x | \n",
		},
		"behind a prompt": {
			[]string{"1..1", "root@board:~$ " + noise, "ok 1 - x"},
			"pass | ktap | x | \n",
		},
		"a comment that ends in ok": {
			[]string{"TAP version 13", "1..1", "# check: " + noise, "ok 1 of 3", "ok 1 - x"},
			"pass | ktap | x | \n",
		},
		"signal through kmsg within a line": {
			[]string{"half a [   31.000000] <LAVA_SIGNAL_TESTCASE TEST_CASE_ID=x RESULT=pass>", "line"},
			"pass | lava | x | \n",
		},
		"level without a stamp, behind one, and in front": {
			[]string{"<6>1..3", "<6>ok 1 - a", "[ 1.000000] <6>ok 2 - b", "<6>[ 2.000000] ok 3 - c"},
			"pass | ktap | a | \npass | ktap | b | \npass | ktap | c | \n",
		},
		"half a line that begins like a level": {
			[]string{"1..1", "ok 1 - a" + noise, "<6>b"},
			"pass | ktap | a<6>b | \n",
		},
		"level before the stamp": {
			[]string{"1..1", "ok 1 - a<6>" + noise, "b"},
			"pass | ktap | ab | \n",
		},
		"a program shows the kernel's log": {
			[]string{"[   50.000000] boot", "TAP version 13", "1..1", "# [    4.000000] old", "ok 1 - x"},
			"pass | ktap | x | \n",
		},
		"a program shows new lines of the kernel's log": {
			[]string{"TAP version 13", "1..1", "# TAP version 13", "# 1..1", "# [    4.000000] unseen", "# ok 1 x", "ok 1 - y"},
			"pass | y | y/x | \npass | ktap | y | \n",
		},
		"the board boots again": {
			[]string{"[  500.000000] old boot", "[    1.000000] new boot", "1..1", "ok 1 - a[    2.000000] usb", "b"},
			"pass | ktap | ab | \n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := show(collect(t, allKinds, test.lines...))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestLogShownAgain prints the kernel's log a second time, as dmesg does.
func TestLogShownAgain(t *testing.T) {
	lines := transcripts(t)["kunit"]
	want := show(collect(t, allKinds, lines...))
	for _, prefix := range []string{"", "<6>"} {
		again := slices.Clone(lines)
		for _, l := range lines {
			again = append(again, prefix+l)
		}
		if diff := cmp.Diff(want, show(collect(t, allKinds, again...))); diff != "" {
			t.Errorf("with %q before it (-once +twice)\n%s", prefix, diff)
		}
	}
}

// TestCoarseClock has kernel lines that are equal to the last byte and all count.
func TestCoarseClock(t *testing.T) {
	got, problems := collect(t, allKinds,
		"[    0.060000] KTAP version 1", "[    0.060000] 1..2",
		"[    0.060000]     KTAP version 1", "[    0.060000]     1..1", "[    0.060000]     ok 1 init", "[    0.060000] ok 1 a",
		"[    0.060000]     KTAP version 1", "[    0.060000]     1..1", "[    0.060000]     ok 1 init", "[    0.060000] ok 2 b",
	)
	if len(got) != 4 || len(problems) != 0 {
		t.Errorf("got\n%s", show(got, problems))
	}
}

// TestTwoStreams runs a test in userspace and KUnit at once.
func TestTwoStreams(t *testing.T) {
	all := transcripts(t)
	kernel, user := all["kunit"], all["kselftest"]
	var mixed []string
	for i := range max(len(kernel), len(user)) {
		mixed = append(mixed, user[min(i, len(user)):min(i+1, len(user))]...)
		mixed = append(mixed, kernel[min(i, len(kernel)):min(i+1, len(kernel))]...)
	}
	sorted := func(lines []string) []string {
		return slices.Sorted(strings.Lines(show(collect(t, allKinds, lines...))))
	}
	want := slices.Sorted(slices.Values(slices.Concat(sorted(kernel), sorted(user))))
	if diff := cmp.Diff(want, sorted(mixed)); diff != "" {
		t.Errorf("(-apart +mixed)\n%s", diff)
	}
}
