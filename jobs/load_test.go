package jobs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"b2c-runner/jobs"
	"b2c-runner/jobs/strict"
)

// minimal is the smallest job; tests add to it.
const minimal = `version: 1
name: small
board: {model: qemu-x86_64}
deploy: {kernel: linux, initramfs: [a.cpio, b.cpio]}
containers: [{image: docker.io/library/alpine}]
`

func TestShippedJobs(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("found %v, %v", files, err)
	}
	for _, file := range files {
		j, err := jobs.Load(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if j.Name != strings.TrimSuffix(file, ".yaml") {
			t.Errorf("%s: name is %q", file, j.Name)
		}
		if line, err := j.Cmdline([]string{"console=ttyS0,115200n8"}, j.Image, "--tls-verify=false"); err != nil {
			t.Errorf("%s: %q, %v", file, line, err)
		}
	}
}

func TestParse(t *testing.T) {
	const text = `
version: 1
name: all-1.0_x
board: {name: desk-3, model: rpi3bplus, tags: [arm64, lan78xx]}
deploy:
  kernel: {url: https://example.org/linux, sha256: ` + sum + `}
  initramfs: part.cpio.xz
  dtb: /boot/board.dtb
  cmdline: [quiet, loglevel=7]
containers:
  - {image: "oci:images/busybox", args: [-t, -i], command: [sh, -c, "echo 'a b'"]}
b2c: {ntp_peer: auto, poweroff_delay: 15, volume: [one, two], pipefail: true}
timeouts: {job: 1h, firmware: 90s}
retries: {firmware: 0, pull: 3}
blame: {netboot: fail}
steps:
  - expect: '/ # '
  - {name: machine, run: uname -m, expect: {pass: [aarch64, arm64]}, timeout: 5s}
  - send: "exit\n"
  - expect: {pass: 'status: 0', fail: ['status: [1-9]', oops]}
`
	got, err := jobs.Parse("f", "/srv/jobs", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := &jobs.Job{
		Version: 1, Name: "all-1.0_x",
		Board: jobs.Selector{Name: "desk-3", Model: "rpi3bplus", Tags: []string{"arm64", "lan78xx"}},
		Deploy: jobs.Deploy{
			Kernel:    jobs.Asset{URL: "https://example.org/linux", SHA256: sum},
			Initramfs: []jobs.Asset{{URL: "part.cpio.xz"}},
			DTB:       &jobs.Asset{URL: "/boot/board.dtb"},
			Cmdline:   []string{"quiet", "loglevel=7"},
		},
		Containers: []jobs.Container{{Image: "oci:images/busybox", Args: []string{"-t", "-i"}, Command: []string{"sh", "-c", "echo 'a b'"}}},
		B2C:        map[string][]string{"ntp_peer": {"auto"}, "poweroff_delay": {"15"}, "volume": {"one", "two"}, "pipefail": {"true"}},
		Timeouts: jobs.Timeouts{
			Job: time.Hour, Setup: 5 * time.Minute, Firmware: 90 * time.Second, Netboot: 2 * time.Minute,
			Boot: 5 * time.Minute, Silence: 2 * time.Minute, Step: time.Minute, Finish: time.Minute,
		},
		Retries: map[jobs.Phase]int{jobs.PhaseFirmware: 0, jobs.PhasePull: 3},
		Blame:   map[jobs.Phase]jobs.Verdict{jobs.PhaseNetboot: jobs.Fail},
		Steps: []jobs.Step{
			{Expect: &jobs.Expect{Pass: []string{"/ # "}}},
			{Name: "machine", Run: "uname -m", Expect: &jobs.Expect{Pass: []string{"aarch64", "arm64"}}, Timeout: 5 * time.Second},
			{Send: "exit\n"},
			{Expect: &jobs.Expect{Pass: []string{"status: 0"}, Fail: []string{"status: [1-9]", "oops"}}},
		},
		Dir: "/srv/jobs",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wrong job (-want +got):\n%s", diff)
	}
	if got := got.Image(0); got != "oci:/srv/jobs/images/busybox" {
		t.Errorf("image %q", got)
	}
	if got := got.Path(got.Deploy.DTB.URL); got != "/boot/board.dtb" {
		t.Errorf("absolute path became %q", got)
	}
}

const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestMistakes(t *testing.T) {
	tests := map[string]struct {
		old, new string // put into minimal; an empty old appends
		want     []string
	}{
		"version":          {"version: 1", "version: 2", []string{"1:10: version: want 1, got 2"}},
		"no version":       {"version: 1\n", "", []string{"1:1: version: is required"}},
		"name":             {"small", "../small", []string{`2:7: name: want 1 to 64 letters, digits and ._- beginning with a letter or digit, got "../small"`}},
		"no board":         {"{model: qemu-x86_64}", "{}", []string{"3:8: board: want name, model or tags"}},
		"model":            {"qemu-x86_64", "a/b", []string{`3:16: board.model: want 1 to 64 letters, digits and ._- beginning with a letter or digit, got "a/b"`}},
		"a typo":           {"kernel", "kernal", []string{`4:10: deploy: unknown key "kernal" (did you mean "kernel"?)`}},
		"no kernel":        {"kernel: linux, ", "", []string{"4:9: deploy.kernel: is required"}},
		"empty kernel":     {"linux", `""`, []string{"4:18: deploy.kernel: is empty"}},
		"no initramfs":     {"[a.cpio, b.cpio]", "[]", []string{"4:36: deploy.initramfs: want at least one file"}},
		"ftp":              {"b.cpio", "ftp://host/b", []string{`4:45: deploy.initramfs[1]: want an http:// or https:// URL or a path, got "ftp://host/b"`}},
		"home":             {"linux", "~/linux", []string{"4:18: deploy.kernel: ~ is not expanded (try: a path relative to the job file)"}},
		"no host":          {"linux", "http:///x", []string{`4:18: deploy.kernel: "http:///x" is not a URL`}},
		"sum":              {"linux", "{url: linux, sha256: abc}", []string{`4:39: deploy.kernel.sha256: want 64 lower-case hexadecimal digits, got "abc"`}},
		"b2c on cmdline":   {"linux", "linux, cmdline: [b2c.run=x]", []string{`4:35: deploy.cmdline[0]: boot2container's options belong under "containers" and "b2c"`}},
		"image":            {"docker.io/library/alpine", "Docker IO", []string{`5:22: containers[0].image: "Docker IO" is not an image: want REGISTRY/NAME:TAG, oci:DIR, oci-archive:FILE or docker-archive:FILE`}},
		"docker scheme":    {"docker.io/library/alpine", "docker://alpine", []string{`5:22: containers[0].image: leave out docker:// (did you mean "alpine"?)`}},
		"oci without path": {"docker.io/library/alpine", `"oci:"`, []string{`5:22: containers[0].image: want a path relative to the job file after the colon, got "oci:"`}},
		"double quote":     {"alpine}", `alpine, command: [sh, 'a"b']}`, []string{`5:62: containers[0].command[1]: "a\"b" has a double quote, which boot2container cannot take (try: single quotes, or a script in the image)`}},
		"newline":          {"alpine}", `alpine, args: "a\nb"}`, []string{`5:54: containers[0].args: "a\nb" has a control character, which the kernel command line cannot carry`}},
		"nothing to run":   {"containers: [{image: docker.io/library/alpine}]", "containers: []", []string{"5:13: containers: nothing can pass: give a container, or a step that expects or runs something"}},
		"b2c option":       {"", "b2c: {ntp-peer: auto}\n", []string{`6:17: b2c.ntp-peer: unknown boot2container option (did you mean "ntp_peer"?)`}},
		"b2c prefix":       {"", "b2c: {b2c.hostname: a}\n", []string{`6:21: b2c["b2c.hostname"]: unknown boot2container option (did you mean "hostname"?)`}},
		"b2c run":          {"", "b2c: {run: alpine}\n", []string{`6:12: b2c.run: containers are listed under the top-level key "containers"`}},
		"b2c repeated":     {"", "b2c: {swap: [1G, 2G]}\n", []string{`6:13: b2c.swap: takes one value: boot2container would use the last one only`}},
		"b2c flag":         {"", "b2c: {pipefail: yes}\n", []string{`6:17: b2c.pipefail: want true or false, got "yes"`}},
		"b2c quote":        {"", "b2c: {volume: [a, 'b\"']}\n", []string{`6:19: b2c.volume[1]: "b\"" has a double quote, which boot2container cannot take (try: single quotes, or a script in the image)`}},
		"timeouts":         {"", "timeouts: {job: 0s, boot: -1m}\n", []string{"6:17: timeouts.job: want more than nothing, got 0s", "6:27: timeouts.boot: want more than nothing, got -1m0s"}},
		"retries":          {"", "retries: {netboot: 11, setup: -1, nteboot: 1}\n", []string{"6:20: retries.netboot: want 0 to 10, got 11", "6:31: retries.setup: want 0 to 10, got -1", `6:35: retries.nteboot: want one of setup, power, firmware, netboot, kernel, userspace, pull, container, steps, finish, got "nteboot" (did you mean "netboot"?)`}},
		"blame":            {"", "blame: {firmware: pass}\n", []string{`6:19: blame.firmware: want fail (what is under test) or error (the lab), got "pass"`}},
		"two in a step":    {"", "steps: [{send: a, run: b}, {send: a, expect: b}, {name: c}]\n", []string{"6:9: steps[0]: send and run in one step (try: two steps)", "6:28: steps[1]: send and expect in one step (try: two steps, or run)", "6:50: steps[2]: want one of expect, send and run"}},
		"step's typo":      {"", "steps: [{exepct: a}]\n", []string{`6:10: steps[0]: unknown key "exepct" (did you mean "expect"?)`}},
		"empty send":       {"", "steps: [{send: ''}]\n", []string{"6:16: steps[0].send: is empty"}},
		"two lines":        {"", "steps:\n- run: |\n    a\n    b\n", []string{"7:8: steps[0].run: want one line without control characters (try: a step for each line, or send)"}},
		"long run":         {"", "steps:\n- run: " + strings.Repeat("a", 3001) + "\n", []string{"7:8: steps[0].run: is 3001 bytes long, a terminal takes 3000 (try: a script in the image)"}},
		"step's timeout":   {"", "steps: [{run: a, timeout: 0s}]\n", []string{"6:27: steps[0].timeout: want more than nothing, got 0s"}},
		"not RE2":          {"", "steps: [{expect: 'a(?=b)'}]\n", []string{"6:18: steps[0].expect: error parsing regexp: invalid or unsupported Perl syntax: `(?=` (patterns are RE2; a literal character needs a backslash)"}},
		"matches at once":  {"", "steps: [{expect: {pass: [ok, 'a*']}}]\n", []string{`6:30: steps[0].expect.pass[1]: pattern "a*" matches nothing at all, so it would match at once`}},
		"over lines":       {"", "steps: [{expect: {pass: ok, fail: ['a\\nb', '(?s)a.b', '[\\r\\n]x', 'a\\r?$']}}]\n", []string{`6:36: steps[0].expect.fail[0]: pattern "a\\nb" needs a line break, but it is matched on single lines, without their end (try: a step for each line, and $ for the end)`, `6:44: steps[0].expect.fail[1]: pattern "(?s)a.b" needs a line break, but it is matched on single lines, without their end (try: a step for each line, and $ for the end)`, `6:55: steps[0].expect.fail[2]: pattern "[\\r\\n]x" needs a line break, but it is matched on single lines, without their end (try: a step for each line, and $ for the end)`}},
		"no pass":          {"", "steps: [{expect: {fail: ok}}]\n", []string{"6:18: steps[0].expect: has no pattern to pass"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			text := minimal + tt.new
			if tt.old != "" {
				text = strings.Replace(minimal, tt.old, tt.new, 1)
			}
			_, err := jobs.Parse("f", ".", []byte(text))
			var problems strict.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("error %v", err)
			}
			got := strings.Split(strings.ReplaceAll("\n"+err.Error(), "\nf:", "\n")[1:], "\n")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("wrong messages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	_, err := jobs.Parse("job.yaml", ".", []byte("version: 1\nname: a b\nboard: {modle: x}\ndeploy: {kernel: k, initramfs: i}\ntimeouts: {job: 15}\ncontainers: [{image: a}]\n"))
	want := `job.yaml:2:7: name: want 1 to 64 letters, digits and ._- beginning with a letter or digit, got "a b"
job.yaml:3:9: board: unknown key "modle" (did you mean "model"?)
job.yaml:5:17: timeouts.job: want a duration such as 15m, got "15" (did you mean "15s"?)`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("wrong messages (-want +got):\n%s", diff)
	}
}

func TestLoadMissing(t *testing.T) {
	_, err := jobs.Load(filepath.Join(t.TempDir(), "none.yaml"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestCheckWarns(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("linux", "")
	write("job.yaml", strings.Replace(minimal, "a.cpio", "https://example.org/a.cpio", 1)+"timeouts: {boot: 20m}\nsteps: [{expect: '.*ok'}]\n")
	lint := func(pattern string) []string { return []string{"is " + pattern} }
	warnings, err := jobs.Check(filepath.Join(dir, "job.yaml"), lint)
	if err != nil {
		t.Fatal(err)
	}
	want := "job.yaml:4:65: warning: deploy.initramfs[1]: no file \"b.cpio\" yet\n" +
		"job.yaml:6:18: warning: timeouts.boot: 20m0s is longer than timeouts.job (15m0s)\n" +
		"job.yaml:7:18: warning: steps[0].expect: pattern \".*ok\" is .*ok"
	if diff := cmp.Diff(want, strings.ReplaceAll(warnings.Error(), dir+"/", "")); diff != "" {
		t.Errorf("wrong warnings (-want +got):\n%s", diff)
	}
}

func TestDefaultsDoNotRetryWhatIsUnderTest(t *testing.T) {
	j := (&jobs.Job{Blame: map[jobs.Phase]jobs.Verdict{jobs.PhaseFirmware: jobs.Fail}}).WithDefaults()
	if diff := cmp.Diff(map[jobs.Phase]int{jobs.PhaseNetboot: 2}, j.Retries); diff != "" {
		t.Errorf("wrong retries (-want +got):\n%s", diff)
	}
	if got := j.BlameFor(jobs.PhasePull); got != jobs.Error {
		t.Errorf("pull is blamed on %q", got)
	}
}

// TestReadme finds every key of the job file in the tables of README.md.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, section := range regexp.MustCompile(`(?m)^##+ `).Split(string(readme), -1)[1:] {
		title, text, _ := strings.Cut(section, "\n")
		sections[title] = text
	}
	titles := map[string]string{
		"Job": "Job", "Selector": "board", "Deploy": "deploy", "Asset": "file", "Container": "containers",
		"Timeouts": "timeouts", "Results": "results", "Alarms": "alarms", "AlarmRule": "rule", "Step": "steps", "Expect": "expect",
	}
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		title, ok := titles[typ.Name()]
		if !ok {
			t.Errorf("README.md has no section for %s", typ.Name())
		}
		for i := range typ.NumField() {
			key := typ.Field(i).Tag.Get("yaml")
			if key != "-" && !strings.Contains(sections[title], "\n| `"+key+"` |") {
				t.Errorf("README.md, section %q: key %q is missing", title, key)
			}
			visit(typ.Field(i).Type)
		}
	}
	visit(reflect.TypeFor[jobs.Job]())
	for _, p := range jobs.Phases {
		if !strings.Contains(sections["Phases"], fmt.Sprintf("\n| `%s` | ", p)) {
			t.Errorf("README.md: phase %q is missing", p)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(minimal)
	files, _ := filepath.Glob("*.yaml")
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil {
			f.Add(string(data))
		}
	}
	f.Add(minimal + "steps: [{run: a, expect: '('}]\nb2c: {x: [1]}\nretries: {pull: 99}\n")
	f.Fuzz(func(t *testing.T, text string) {
		j, err := jobs.Parse("f", ".", []byte(text))
		if err == nil {
			if line, err := j.Cmdline(nil, j.Image); err == nil && strings.ContainsAny(line, "\n\x00") {
				t.Errorf("command line %q", line)
			}
			return
		}
		var problems strict.Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("%T is not Problems", err)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Line > len(text)+2 || p.Column < 1 || p.Message == "" {
				t.Errorf("bad problem %+v", p)
			}
		}
	})
}
