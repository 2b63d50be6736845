package alarm

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// summary is an alarm as the headers of testdata write it.
func summary(a Alarm) string {
	severity := Recorded
	if a.Fatal {
		severity = Fatal
	}
	return fmt.Sprintf("%s %s %d %s", a.Kind, severity, a.Line, a.Title)
}

func summaries(alarms []Alarm) []string {
	slices.SortStableFunc(alarms, func(a, b Alarm) int { return a.Line - b.Line })
	var out []string
	for _, a := range alarms {
		out = append(out, summary(a))
	}
	return out
}

// TestLogs feeds each log in testdata with pauses where the kernel's own stamps
// have them.
func TestLogs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.log")
	if err != nil || len(files) == 0 {
		t.Fatalf("no logs: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			header, log, _ := strings.Cut("\n"+string(data), "\n\n")
			var want []string
			for line := range strings.Lines(header) {
				if w, ok := strings.CutPrefix(line, "want: "); ok {
					want = append(want, strings.TrimSpace(w))
				}
			}
			d, err := NewDetector(Options{})
			if err != nil {
				t.Fatal(err)
			}
			var got []Alarm
			var at time.Duration
			n := 0
			for line := range strings.Lines(log) {
				n++
				at += time.Millisecond
				if stamp := parse(line).time; stamp != "" {
					at = max(at, time.Duration(seconds(stamp)*float64(time.Second)))
				}
				got = append(got, d.Feed(at, n, strings.TrimRight(line, "\n"))...)
			}
			got = append(got, d.Flush()...)
			if diff := cmp.Diff(want, summaries(got)); diff != "" {
				t.Errorf("alarms (-want +got):\n%s", diff)
			}
		})
	}
}

var ansi = regexp.MustCompile(`\x1b(?:\[[0-9;?]*[A-Za-z]|[78c])`)

func TestRealBoots(t *testing.T) {
	dir := corpus(t, "serial")
	want := map[string][]string{
		"fail-kernel-panic-then-reboot-user.log": {
			"panic fatal 318 kernel panic: VFS: Unable to mount root fs on unknown-block(0,0)",
			"reset fatal 340 unexpected reset: U-Boot 2023.01",
		},
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no logs: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, got := replay(t, Options{}, ansi.ReplaceAllString(string(data), ""))
		name := filepath.Base(file)
		if diff := cmp.Diff(want[name], summaries(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

const oops = `[    7.000001] BUG: kernel NULL pointer dereference, address: 0000000000000008
[    7.000002] Oops: 0000 [#1] SMP
[    7.000003] RIP: 0010:nic_poll+0x11/0x80
[    7.000004] Call Trace:
[    7.000005]  nic_irq+0x20/0x40
`

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts Options
		log  string
		want []string
	}{
		{"as it is", Options{}, oops, []string{"oops record 1 BUG: unable to handle kernel NULL pointer dereference in nic_poll"}},
		{"silenced by line", Options{Silence: []string{`address: 0{12}0008`}}, oops, nil},
		{"silenced by title", Options{Silence: []string{`in nic_\w+$`}}, oops, nil},
		{"other title", Options{Silence: []string{`in disk_`}}, oops, []string{"oops record 1 BUG: unable to handle kernel NULL pointer dereference in nic_poll"}},
		{
			"silenced, but it kills", Options{Silence: []string{`dog_stop`}},
			"[    3.1] x\n[    3.000100] WARNING: CPU: 0 PID: 1 at drivers/dog.c:12 dog_stop+0x30/0x58\n[    3.000200] Kernel panic - not syncing: panic_on_warn set ...\n",
			[]string{"panic fatal 3 kernel panic: panic_on_warn set"},
		},
		{"regraded to fatal", Options{Regrade: map[Kind]Severity{Oops: Fatal}}, oops, []string{"oops fatal 1 BUG: unable to handle kernel NULL pointer dereference in nic_poll"}},
		{"regraded to ignored", Options{Regrade: map[Kind]Severity{Oops: Ignored}}, oops, nil},
		{
			"added", Options{Rules: []Rule{{"gpu-hang", `GPU hang (?:detected|seen) on ring \d+`, Fatal}}},
			"[    7.1] amdgpu: GPU hang seen on ring 12\nGPU hang\n", []string{"gpu-hang fatal 1 gpu-hang: GPU hang seen on ring NUM"},
		},
		{
			"added, no literal", Options{Rules: []Rule{{"bad", `(?i)very bad|WORSE`, Recorded}}},
			"fine\nVery Bad\nworse\n", []string{"bad record 2 bad: Very Bad", "bad record 3 bad: worse"},
		},
		{
			"added, any case", Options{Rules: []Rule{{"hang", `(?i)hangs up`, Recorded}}},
			"it Hangs Up\n", []string{"hang record 1 hang: Hangs Up"},
		},
		{"added before built-in", Options{Rules: []Rule{{"mine", `RIP: 0010:nic_poll`, Recorded}}}, oops,
			[]string{"oops record 1 BUG: unable to handle kernel NULL pointer dereference in nic_poll", "mine record 3 mine: RIP: NUM:nic_poll"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, got := replay(t, tt.opts, tt.log)
			if diff := cmp.Diff(tt.want, summaries(got)); diff != "" {
				t.Errorf("alarms (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBadOptions(t *testing.T) {
	for _, opts := range []Options{
		{Rules: []Rule{{"", `x`, Fatal}}},
		{Rules: []Rule{{"x", `(`, Fatal}}},
		{Rules: []Rule{{"x", `x*`, Fatal}}},
		{Silence: []string{`[`}},
		{Silence: []string{``}},
		{Regrade: map[Kind]Severity{"panik": Recorded}},
	} {
		if _, err := NewDetector(opts); err == nil {
			t.Errorf("NewDetector(%+v): no error", opts)
		}
	}
}

func TestSeverityWords(t *testing.T) {
	for s := Ignored; s <= Fatal; s++ {
		if got, err := ParseSeverity(s.String()); err != nil || got != s {
			t.Errorf("ParseSeverity(%q) = %v, %v", s.String(), got, err)
		}
	}
	if _, err := ParseSeverity("deadly"); err == nil {
		t.Error(`ParseSeverity("deadly"): no error`)
	}
}

func TestSeenAtOnce(t *testing.T) {
	d, err := NewDetector(Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.Feed(0, 1, "[    1.000000] fine")
	if d.Seen() || d.Pending() {
		t.Fatal("alarm before there is one")
	}
	if got := d.Feed(time.Second, 2, "[    2.000000] Kernel panic - not syncing: sysrq triggered crash"); got != nil {
		t.Fatalf("complete after its first line: %v", got)
	}
	if !d.Seen() || !d.Pending() {
		t.Fatal("a panic has begun and is not seen")
	}
	d.Feed(time.Second, 3, "a program prints this")
	d.Feed(time.Second, 3, "[    2.000100]  sysrq_handle_crash+0x16/0x20")
	got := d.Feed(time.Second, 4, "[    2.000200] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---")
	want := []Alarm{{At: time.Second, Line: 2, Kind: Panic, Fatal: true, Title: "kernel panic: sysrq triggered crash", Trace: []string{
		"[    2.000000] Kernel panic - not syncing: sysrq triggered crash",
		"[    2.000100]  sysrq_handle_crash+0x16/0x20",
		"[    2.000200] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---",
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("alarm (-want +got):\n%s", diff)
	}
	if d.Pending() || !d.Seen() {
		t.Error("want it complete and still seen")
	}
}

func TestReportEnds(t *testing.T) {
	const hung = "[  245.000001] INFO: task mount:321 blocked for more than 120 seconds.\n[  245.000002]  nfs_wait_bit+0x24/0x90\n"
	t.Run("by a pause", func(t *testing.T) {
		d, _ := NewDetector(Options{})
		for i, line := range strings.Split(strings.TrimSpace(hung), "\n") {
			d.Feed(0, i+1, line)
		}
		if got := d.Feed(quiet+time.Millisecond, 3, "[  248.000000] later"); len(got) != 1 || len(got[0].Trace) != 2 {
			t.Errorf("got %v, want one alarm of two lines", got)
		}
	})
	t.Run("by time", func(t *testing.T) {
		d, _ := NewDetector(Options{})
		d.Feed(0, 1, "[  245.000001] INFO: task mount:321 blocked for more than 120 seconds.")
		var got []Alarm
		for i := range 20 {
			got = append(got, d.Feed(time.Duration(i)*time.Second, i+2, "[  245.000002]  nfs_wait_bit+0x24/0x90")...)
		}
		if len(got) != 1 || len(got[0].Trace) != 12 {
			t.Errorf("got %v, want one alarm after %v", got, Settle)
		}
	})
	t.Run("by other lines", func(t *testing.T) {
		d, _ := NewDetector(Options{})
		var got []Alarm
		for i, line := range strings.Split(hung+strings.Repeat("[  246.000000] nothing of interest\n", 60), "\n") {
			got = append(got, d.Feed(0, i+1, line)...)
		}
		if len(got) != 1 || len(got[0].Trace) != 2 {
			t.Errorf("got %v, want one alarm of two lines", got)
		}
	})
	t.Run("by size", func(t *testing.T) {
		_, got := replay(t, Options{}, hung+strings.Repeat("[  245.000003]  nfs_wait_bit+0x24/0x90 "+strings.Repeat("x", 5000)+"\n", 1000))
		size := 0
		for _, line := range got[0].Trace {
			size += len(line)
		}
		if len(got) != 1 || size > maxTraceBytes {
			t.Errorf("%d alarms, %d bytes", len(got), size)
		}
	})
}

func TestPanicEndsAll(t *testing.T) {
	d, _ := NewDetector(Options{})
	var got []Alarm
	for i, line := range []string{
		"[    3.000001][  T101] BUG: KASAN: use-after-free in fan_read+0x1/0x2",
		"[    3.000002][  T102] Kernel panic - not syncing: corrupted stack end detected inside scheduler",
		"[    3.000003][  T102]  fan_work+0x1/0x2",
		"[    3.000004][  T102] Rebooting in 5 seconds..",
	} {
		got = append(got, d.Feed(0, i+1, line)...)
	}
	want := []string{"kasan record 1 KASAN: use-after-free in fan_read", "panic fatal 2 kernel panic: corrupted stack end in fan_work"}
	if diff := cmp.Diff(want, summaries(got)); diff != "" {
		t.Errorf("alarms (-want +got):\n%s", diff)
	}
}

func TestManyAtOnce(t *testing.T) {
	var log strings.Builder
	for i := range 6 {
		fmt.Fprintf(&log, "[    3.00000%d][   T%d] WARNING: CPU: 0 PID: %d at drivers/dog.c:12 dog_%d+0x30/0x58\n", i, 100+i, 100+i, i)
	}
	log.WriteString("a program says hello\n")
	for i := range 6 {
		fmt.Fprintf(&log, "[    3.00001%d][   T%d]  dog_%d+0x30/0x58\n", i, 100+i, i)
	}
	_, got := replay(t, Options{}, log.String())
	var lines []int
	for _, a := range got {
		lines = append(lines, len(a.Trace))
	}
	if want := []int{1, 1, 2, 2, 2, 2}; !slices.Equal(lines, want) {
		t.Errorf("traces of %v lines, want %v: the two oldest give way", lines, want)
	}
}

func TestReset(t *testing.T) {
	kernel := func(boot int) string {
		var b strings.Builder
		b.WriteString("[    0.000000] Linux version 6.6.30 (lab@bench) #2 SMP\n")
		for i := range 60 {
			fmt.Fprintf(&b, "[    0.%06d] line %d of the boot\n", 1000+100*i+boot, i)
		}
		return b.String()
	}
	const arm = "[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x410fd034]\n"
	const firmware = "SeaBIOS (version 1.16.2)\niPXE initialising devices...\n"
	for _, tt := range []struct {
		name   string
		log    string
		expect bool
		want   []string
	}{
		{"no stamps, log daemon", "Linux version 6.6.30 (lab@bench)\nNov  1 10:00:00 board kernel: Linux version 6.6.30 (lab@bench)\n", false, nil},
		{"one boot", firmware + kernel(0), false, nil},
		{"with firmware", kernel(0) + firmware + kernel(1), false, []string{"reset fatal 62 unexpected reset: SeaBIOS (version"}},
		{"announced", kernel(0) + firmware + kernel(1), true, nil},
		{"without firmware", kernel(0) + kernel(1), false, []string{"reset fatal 62 unexpected reset: Linux version 6.6.30"}},
		{"twice", kernel(0) + kernel(1) + firmware + kernel(2), false, []string{
			"reset fatal 62 unexpected reset: Linux version 6.6.30", "reset fatal 123 unexpected reset: SeaBIOS (version"}},
		{"dmesg", kernel(0) + kernel(0), false, nil},
		{"the head of a dmesg", kernel(0) + kernel(1)[:100], false, nil},
		{"/proc/version", kernel(0) + "Linux version 6.6.30 (lab@bench) #2 SMP\n[   90.000000] fine\n", false, nil},
		{"log daemon", kernel(0) + strings.ReplaceAll(kernel(0), "[", "Nov  1 10:00:00 board kernel: ["), false, nil},
		{"two banners", arm + kernel(0) + arm + kernel(1), false, []string{"reset fatal 63 unexpected reset: Booting Linux on physical CPU"}},
		{"announced once", kernel(0) + firmware + kernel(1) + firmware + kernel(2), true, []string{"reset fatal 125 unexpected reset: SeaBIOS (version"}},
		{"then the board is silent", kernel(0) + kernel(1)[:400], false, []string{"reset fatal 62 unexpected reset: Linux version 6.6.30"}},
		{"Raspberry Pi", kernel(0) + "   1.04 RPi: BOOTLOADER release VERSION:1a2b3c DATE: 2023/01/11\n", false, []string{"reset fatal 62 unexpected reset: RPi: BOOTLOADER"}},
		{"no stamps", "Linux version 6.6.30 (lab@bench)\nfine\nLinux version 6.6.30 (lab@bench)\n", false, []string{"reset fatal 3 unexpected reset: Linux version 6.6.30"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := NewDetector(Options{})
			if err != nil {
				t.Fatal(err)
			}
			if tt.expect {
				d.ExpectReset()
			}
			var got []Alarm
			for i, line := range strings.Split(tt.log, "\n") {
				got = append(got, d.Feed(time.Duration(i)*time.Millisecond, i+1, line)...)
			}
			got = append(got, d.Flush()...)
			if diff := cmp.Diff(tt.want, summaries(got)); diff != "" {
				t.Errorf("alarms (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFilterMissesNothing(t *testing.T) {
	var literals []string
	for _, r := range builtin() {
		if !strings.Contains(r.pattern, "(?i)") && r.literal == "" {
			t.Errorf("%s has no literal", r.pattern)
		}
		literals = append(literals, r.literal)
	}
	f := newFilter(literals)
	for _, lit := range literals {
		for pad := range 9 {
			line := strings.Repeat("B", pad) + lit + strings.Repeat(":", pad%3)
			if !f.match(line) {
				t.Errorf("%q is missed", line)
			}
			if f.match(lit[:len(lit)-1]) && !slices.ContainsFunc(literals, func(l string) bool { return strings.Contains(lit[:len(lit)-1], l) }) {
				t.Errorf("%q is found", lit[:len(lit)-1])
			}
		}
	}
}
