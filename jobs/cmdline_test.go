package jobs_test

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"b2c-runner/jobs"
)

func TestCmdline(t *testing.T) {
	j := &jobs.Job{
		Deploy: jobs.Deploy{Cmdline: []string{"quiet", `dyndbg="file a.c +p"`}},
		B2C: map[string][]string{
			"volume": {"one", "two,x=y"}, "pipefail": {"true"}, "hostname": {"rpi3"}, "shutdown_cmd": {"poweroff -f"},
		},
		Containers: []jobs.Container{
			{Image: "first", Args: []string{"-t", "-i"}},
			{Image: "second", Command: []string{"sh", "-c", "it's; $HOME"}},
		},
	}
	got, err := j.Cmdline([]string{"console=ttyS0"}, func(i int) string { return "10.0.0.1:5000/" + j.Containers[i].Image }, "--tls-verify=false")
	if err != nil {
		t.Fatal(err)
	}
	want := `console=ttyS0 quiet dyndbg="file a.c +p"` +
		` b2c.hostname=rpi3 b2c.pipefail b2c.shutdown_cmd="poweroff -f" b2c.volume=one b2c.volume=two,x=y` +
		` b2c.run="--tls-verify=false -t -i 10.0.0.1:5000/first"` +
		` b2c.run="--tls-verify=false 10.0.0.1:5000/second sh -c 'it'\''s; $HOME'"`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wrong command line (-want +got):\n%s", diff)
	}
}

func TestCmdlineErrors(t *testing.T) {
	image := func(int) string { return "image" }
	tests := map[string]struct {
		job  jobs.Job
		base string
		want string
	}{
		"double quote": {
			job:  jobs.Job{Containers: []jobs.Container{{Command: []string{`echo "x"`}}}},
			want: `failed to put "echo \"x\"" of containers[0] on the kernel command line: boot2container cannot take a double quote`,
		},
		"unpaired quote": {
			base: `a="b`,
			want: `failed to put the board's model on the kernel command line: "a=\"b" has an unpaired double quote`,
		},
		"newline": {
			job:  jobs.Job{B2C: map[string][]string{"hostname": {"a\nb"}}},
			want: `failed to put b2c.hostname on the kernel command line: "b2c.hostname=a\nb" has a control character`,
		},
		"too long": {
			job:  jobs.Job{Containers: []jobs.Container{{}, {Command: []string{strings.Repeat("x", 2000)}}}},
			want: "kernel command line is 2032 bytes long, the kernel takes 1999: containers[1] has 2016 of them (try: move a long command into the image, or options into b2c.extra_args_url)",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tt.job.Cmdline([]string{tt.base}, image)
			if err == nil {
				t.Fatalf("no error, but %q", got)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("wrong error (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWordsSurviveTheShell splits the command line as boot2container does, at
// the double quotes, and has sh evaluate the container's words.
func TestWordsSurviveTheShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("needs sh")
	}
	command := []string{"", "a b", "it's", "''", "$HOME `id` $(id)", `back\slash`, "*", ";", "a|b&c", "~", "#x", "-e", "ünï", "{a,b}", "!", "a=b"}
	j := &jobs.Job{Containers: []jobs.Container{{Command: command}}}
	line, err := j.Cmdline([]string{"quiet"}, func(int) string { return "image" })
	if err != nil {
		t.Fatal(err)
	}
	value := strings.Split(line, `"`)[1]
	out, err := exec.Command(sh, "-c", `eval "set -- $1"; for w; do printf '%s\0' "$w"; done`, "sh", value).Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if diff := cmp.Diff(append([]string{"image"}, command...), got); diff != "" {
		t.Errorf("words changed (-want +got):\n%s\nline: %s", diff, line)
	}
}

func TestWithClock(t *testing.T) {
	addr := netip.MustParseAddr("10.0.0.1")
	for peer, want := range map[string]string{"auto": "10.0.0.1", "none": "none", "ntp.example.org": "ntp.example.org"} {
		j := &jobs.Job{B2C: map[string][]string{"ntp_peer": {peer}}}
		if got := j.WithClock(addr).B2C["ntp_peer"][0]; got != want {
			t.Errorf("ntp_peer %q became %q, want %q", peer, got, want)
		}
		if j.B2C["ntp_peer"][0] != peer {
			t.Error("the job itself was changed")
		}
	}
	if got := new(jobs.Job).WithClock(addr).B2C; len(got) != 0 {
		t.Errorf("a job without ntp_peer got %v", got)
	}
}
