package netboot

import (
	"fmt"
	"strings"
)

// scriptTries is how often a board tries to fetch and start its kernel, and
// scriptPause the seconds between, before it is handed back to its firmware.
const (
	scriptTries = 4
	scriptPause = 2
)

// escapes are the characters that iPXE's shell would take for its own, by the
// name of the setting that stands for each (src/core/exec.c: it splits on white
// space, knows no quotes, and ends a command at the tokens ";", "&&", "||" and "#…").
var escapes = []struct {
	char byte
	name string
}{
	{';', "semicolon"},
	{'#', "hash"},
	{'&', "and"},
	{'|', "or"},
	{' ', "space"},
}

// Script is the text of boot.ipxe, which fetches its files from base, a URL
// without a slash at its end. It fails if iPXE could not pass the command line on
// as it is.
func Script(b Boot, base string) (string, error) {
	args, err := escapeCmdline(b.Cmdline)
	if err != nil {
		return "", err
	}
	var t strings.Builder
	t.WriteString("#!ipxe\n")
	for _, e := range escapes {
		if strings.Contains(args, "${"+e.name+":string}") {
			fmt.Fprintf(&t, "set %s:hex %02x\n", e.name, e.char)
		}
	}
	t.WriteString("set try:int32 1\n:try\nimgfree\n")
	kernel := "kernel " + base + "/kernel"
	if len(b.Initramfs) > 0 {
		kernel += " initrd=b2c"
	}
	if args != "" {
		kernel += " " + args
	}
	fmt.Fprintf(&t, "%s || goto failed\n", kernel)
	if len(b.Initramfs) > 0 {
		fmt.Fprintf(&t, "initrd --name b2c %s/initramfs || goto failed\n", base)
	}
	if b.DTB != nil {
		fmt.Fprintf(&t, "fdt %s/dtb || goto failed\n", base)
	}
	t.WriteString("boot || goto failed\n:failed\n")
	fmt.Fprintf(&t, "echo b2c-runner: failed to boot from %s, try ${try} of %d: ${errno}\n", base, scriptTries)
	fmt.Fprintf(&t, "iseq ${try} %d && goto giveup ||\n", scriptTries)
	fmt.Fprintf(&t, "inc try\nsleep %d\ngoto try\n:giveup\n", scriptPause)
	fmt.Fprintf(&t, "echo b2c-runner: gave up after %d tries\nexit 1\n", scriptTries)
	return t.String(), nil
}

// escapeCmdline writes a kernel command line so that iPXE's shell passes it on
// byte for byte.
func escapeCmdline(cmdline string) (string, error) {
	for i, c := range []byte(cmdline) {
		if c < ' ' || c == 0x7f {
			return "", fmt.Errorf("the kernel command line has a control character (%#02x) at byte %d", c, i)
		}
	}
	// iPXE expands "${…}" in a word again and again until none is left
	// (expand_settings in src/core/settings.c), so no escape for it survives.
	for word := range strings.FieldsSeq(cmdline) {
		if _, after, ok := strings.Cut(word, "${"); ok && strings.Contains(after, "}") {
			return "", fmt.Errorf("the kernel command line has %q, which iPXE would expand (try: write it without braces)", word)
		}
	}
	// The first of several spaces parts two words, the others belong to a word.
	var t strings.Builder
	for i, c := range []byte(cmdline) {
		parts := c == ' ' && i > 0 && i+1 < len(cmdline) && cmdline[i-1] != ' '
		if parts {
			t.WriteByte(c)
		} else {
			t.WriteString(escape(c))
		}
	}
	return t.String(), nil
}

func escape(c byte) string {
	for _, e := range escapes {
		if e.char == c {
			return "${" + e.name + ":string}"
		}
	}
	return string([]byte{c})
}
