package jobs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// maxCmdline is the length of a kernel command line: COMMAND_LINE_SIZE (2048 on
// x86_64 and arm64, with the final NUL) less what a boot loader puts in front of
// it (BOOT_IMAGE=…, initrd=…).
const maxCmdline = 2048 - 1 - 48

// Cmdline composes the kernel command line: base (the model's words), the job's
// own words, the b2c options sorted by name, and a b2c.run for each container in
// order. image gives the reference under which the board pulls container i;
// podman is put in front of each container's arguments (--tls-verify=false).
//
// boot2container splits the line at blanks outside double quotes, drops the
// double quotes, and evaluates the container's words with sh. So a double quote
// cannot be said at all, and every other special character is put between
// single quotes.
func (j *Job) Cmdline(base []string, image func(i int) string, podman ...string) (string, error) {
	var words, places []string
	add := func(place, word string) {
		if word != "" {
			words, places = append(words, word), append(places, place)
		}
	}
	for _, w := range base {
		add("the board's model", w)
	}
	for i, w := range j.Deploy.Cmdline {
		add(fmt.Sprintf("deploy.cmdline[%d]", i), w)
	}
	for _, key := range slices.Sorted(maps.Keys(j.B2C)) {
		for _, value := range j.B2C[key] {
			add("b2c."+key, b2cWord(key, value))
		}
	}
	for i, c := range j.Containers {
		run := slices.Concat(podman, c.Args, []string{image(i)}, c.Command)
		for k, w := range run {
			run[k] = shellWord(w)
			if strings.Contains(w, `"`) {
				return "", fmt.Errorf("failed to put %q of containers[%d] on the kernel command line: boot2container cannot take a double quote", w, i)
			}
		}
		add(fmt.Sprintf("containers[%d]", i), `b2c.run="`+strings.Join(run, " ")+`"`)
	}
	longest := 0
	for i, w := range words {
		if what := badCmdline(w); what != "" {
			return "", fmt.Errorf("failed to put %s on the kernel command line: %q %s", places[i], w, what)
		}
		if len(w) > len(words[longest]) {
			longest = i
		}
	}
	line := strings.Join(words, " ")
	if len(line) > maxCmdline {
		return "", fmt.Errorf("kernel command line is %d bytes long, the kernel takes %d: %s has %d of them (try: move a long command into the image, or options into b2c.extra_args_url)",
			len(line), maxCmdline, places[longest], len(words[longest]))
	}
	return line, nil
}

// b2cWord is b2c.KEY=VALUE, or "" for a flag that is off.
func b2cWord(key, value string) string {
	switch {
	case b2cOptions[key].flag && value == "false":
		return ""
	case b2cOptions[key].flag:
		return "b2c." + key
	case strings.ContainsAny(value, " \t"):
		return "b2c." + key + `="` + value + `"`
	default:
		return "b2c." + key + "=" + value
	}
}

// badCmdline says why text cannot be on a kernel command line, or "".
func badCmdline(text string) string {
	switch {
	case strings.ContainsFunc(text, unicode.IsControl):
		return "has a control character"
	case strings.Count(text, `"`)%2 != 0:
		return "has an unpaired double quote"
	default:
		return ""
	}
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9@%+=:,./_-]+$`)

// shellWord quotes w for sh.
func shellWord(w string) string {
	if plainWord.MatchString(w) {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}
