package alarm

import (
	"regexp"
	"strings"
)

// stack is one list of frames in a report.
type stack struct {
	label  string // the line before it: "Call Trace:", "Freed by task 123:"
	frames []string
}

// backtrace is what a report says about where it happened.
type backtrace struct {
	pc     string // the function of the first kernel program counter
	stacks []stack
}

// read splits the texts of a report's lines into stacks.
func (b *backtrace) read(texts []string) {
	at := -1
	open := func(label string) {
		b.stacks = append(b.stacks, stack{label: label})
		at = len(b.stacks) - 1
	}
	for _, text := range texts {
		if fn, ok := counter(text); ok {
			if b.pc == "" {
				b.pc = fn
			}
			if at >= 0 && len(b.stacks[at].frames) > 0 && fn != "" {
				b.stacks[at].frames = append(b.stacks[at].frames, fn)
			}
			continue
		}
		if fn, sure, ok := frame(text); ok {
			if at < 0 {
				open("")
			}
			if sure {
				b.stacks[at].frames = append(b.stacks[at].frames, fn)
			}
			continue
		}
		trimmed := strings.TrimSpace(text)
		switch {
		case strings.HasPrefix(trimmed, "</IRQ>"), strings.HasPrefix(trimmed, "<EOI>"):
			if _, rest, _ := strings.Cut(trimmed, ">"); rest != "" {
				if fn, sure, ok := frame(parse(strings.TrimSpace(rest)).text); ok && sure && at >= 0 {
					b.stacks[at].frames = append(b.stacks[at].frames, fn)
				}
			}
		case strings.HasSuffix(trimmed, ":"), strings.HasPrefix(trimmed, "Call Trace:"), strings.HasPrefix(trimmed, "-> #"):
			open(trimmed)
		}
	}
}

// counters are how the architectures name the program counter in a register
// dump. User-space ones (x86 "RIP: 0033:") are not wanted.
var counters = regexp.MustCompile(`^\s*(?:(?:R|E)?IP:|pc :|PC is at|epc ?:|NIP|PC:|Krnl PSW ?:|PSW ?:)`)

// counter returns the function of a program counter line. The function is empty
// when the line has an address only.
func counter(text string) (string, bool) {
	if !strings.ContainsAny(text, "PN") && !strings.Contains(text, "pc") || !counters.MatchString(text) || strings.Contains(text, "IP: 0033:") || strings.Contains(text, "IP: 002b:") {
		return "", false
	}
	fn, _ := symbol(text)
	return fn, true
}

// symbol finds the first "function+0x12/0x34" in a text.
func symbol(text string) (string, bool) {
	i := strings.Index(text, "+0x")
	if i <= 0 {
		return "", false
	}
	start := i
	for start > 0 && symbolByte(text[start-1]) {
		start--
	}
	if start == i {
		return "", false
	}
	fn := text[start:i]
	if selector, rest, found := strings.Cut(fn, ":"); found && digits(selector) {
		fn = rest
	}
	return tidy(fn), true
}

func symbolByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.$:<>&", c) >= 0
}

// armFrame is a frame of 32-bit ARM: "[<8>] (callee) from [<8>] (caller+0x1/0x2)"
// or, since Linux 5.16, "callee from caller+0x1/0x2".
var armFrame = regexp.MustCompile(`^\(?([\w.$]+)(?: \[\w+\])?\)? from [\[(\w]`)

// frame reads one line of a stack trace. It is not sure of frames marked "?",
// which are leftovers on the stack.
func frame(text string) (fn string, sure, ok bool) {
	if text == "" || strings.IndexByte(" \t[(", text[0]) < 0 && !strings.Contains(text, " from ") {
		return "", false, false
	}
	s := strings.TrimLeft(text, " \t")
	s = strings.TrimPrefix(s, "<IRQ> ")
	for {
		t := strings.TrimPrefix(s, "(")
		if !strings.HasPrefix(t, "[") {
			break
		}
		end := strings.IndexByte(t, ']')
		if end < 0 || !address(t[1:end]) {
			if m := parse(s); m.time != "" {
				s = strings.TrimLeft(m.text, " ")
				continue
			}
			return "", false, false
		}
		s = strings.TrimLeft(t[end+1:], " ")
	}
	sure = true
	if rest, found := strings.CutPrefix(s, "? "); found {
		s, sure = rest, false
	}
	if strings.Contains(s, " from ") {
		if m := armFrame.FindStringSubmatch(s); m != nil {
			return tidy(m[1]), sure, true
		}
	}
	i := strings.Index(s, "+0x")
	if i <= 0 {
		return "", false, false
	}
	for j := range i {
		if !symbolByte(s[j]) {
			return "", false, false
		}
	}
	return tidy(s[:i]), sure && !strings.HasSuffix(s, "(unreliable)"), true
}

// address reports whether s is what kernels print for a code address in
// brackets: hex digits, perhaps in angle brackets.
func address(s string) bool {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
	s = strings.TrimPrefix(s, "0x")
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}

var (
	syscallEntry = regexp.MustCompile(`^(?:__(?:x64|ia32|arm64|arm|riscv|s390x?|powerpc|se|do)_(?:compat_)?sys_|(?:compat_|C_)?(?:SyS|SYSC)_|__se_compat_sys_)(\w+)$`)
	clone        = regexp.MustCompile(`\.(?:isra|constprop|part|cold|llvm|lto_priv|localalias)\b.*$`)
)

// tidy strips what compilers add to a function's name and gives the entry points
// of a system call one name, whatever the architecture.
func tidy(fn string) string {
	if strings.IndexByte(fn, '.') > 0 {
		fn = clone.ReplaceAllString(fn, "")
	}
	if !strings.Contains(fn, "sys_") && !strings.Contains(fn, "SyS") && !strings.Contains(fn, "SYSC") {
		return fn
	}
	if m := syscallEntry.FindStringSubmatch(fn); m != nil {
		return "sys_" + strings.TrimPrefix(m[1], "compat_")
	}
	return fn
}
