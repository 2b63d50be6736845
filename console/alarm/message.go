package alarm

import "strings"

// message is a console line taken apart: the kernel's prefix and the text.
type message struct {
	line   string // as printed
	time   string // the kernel's uptime, seconds with six decimals; empty if none
	origin string // who printed: "T123" a thread, "C0" a CPU (CONFIG_PRINTK_CALLER); empty if unknown
	syslog bool   // copied to the console by a log daemon, not by the kernel
	text   string
}

// parse takes the prefixes off a line: a syslog level "<4>", a log daemon's
// "Jan  2 03:04:05 host kernel: ", the uptime "[   12.345678]" (also with
// "@CPU"), the caller "[ T1234]", and Android's "[4:thread: 3874]". If other
// output stands before the uptime, what follows the last uptime counts.
func parse(line string) message {
	m := message{line: line, text: line}
	m.text = cutLevel(m.text)
	if rest, ok := cutSyslog(m.text); ok {
		m.syslog, m.text = true, rest
	}
	if stamp, rest, ok := cutStamp(m.text); ok {
		m.time, m.text = stamp, rest
	} else if i := lastStamp(m.text); i > 0 {
		m.time, m.text, _ = cutStamp(m.text[i:])
	}
	for range 2 {
		origin, rest, ok := cutOrigin(m.text)
		if !ok {
			break
		}
		m.origin, m.text = origin, rest
	}
	if len(m.text) < len(line) {
		m.text = strings.TrimPrefix(m.text, " ")
	}
	return m
}

func cutLevel(s string) string {
	if len(s) > 2 && s[0] == '<' {
		if i := strings.IndexByte(s[:min(len(s), 5)], '>'); i > 1 && digits(s[1:i]) {
			return s[i+1:]
		}
	}
	return s
}

// cutSyslog cuts everything up to "kernel: " when that is a log daemon's
// header, which begins with a month or an ISO date and holds a time.
func cutSyslog(s string) (string, bool) {
	if len(s) < 15 || (s[0] < 'A' || s[0] > 'Z') && (s[0] < '1' || s[0] > '9') {
		return s, false
	}
	const tag = "kernel: "
	i := strings.Index(s[:min(len(s), 128)], tag)
	if i < 0 || strings.Count(s[:i], ":") < 2 {
		return s, false
	}
	return s[i+len(tag):], true
}

// cutStamp takes "[   12.345678]" or "[12.345678@0]" off the front.
func cutStamp(s string) (stamp, rest string, ok bool) {
	if len(s) < 10 || s[0] != '[' {
		return "", s, false
	}
	end := strings.IndexByte(s[:min(len(s), 32)], ']')
	if end < 0 {
		return "", s, false
	}
	stamp, _, _ = strings.Cut(strings.TrimLeft(s[1:end], " "), "@")
	seconds, micros, found := strings.Cut(stamp, ".")
	if !found || len(micros) != 6 || !digits(seconds) || !digits(micros) {
		return "", s, false
	}
	return stamp, s[end+1:], true
}

func lastStamp(s string) int {
	for i := len(s); ; {
		i = strings.LastIndexByte(s[:i], '[')
		if i < 0 {
			return -1
		}
		if _, _, ok := cutStamp(s[i:]); ok {
			return i
		}
	}
}

// cutOrigin takes a bracketed caller off the front, with the blanks before it.
func cutOrigin(s string) (origin, rest string, ok bool) {
	t := strings.TrimLeft(s, " ")
	if len(t) < 4 || t[0] != '[' {
		return "", s, false
	}
	end := strings.IndexByte(t[:min(len(t), 40)], ']')
	if end < 0 {
		return "", s, false
	}
	origin = strings.TrimLeft(t[1:end], " ")
	if len(origin) > 1 && (origin[0] == 'T' || origin[0] == 'C') && digits(origin[1:]) {
		return origin, t[end+1:], true
	}
	if cpu, task, found := strings.Cut(origin, ":"); found && digits(cpu) {
		if i := strings.LastIndexByte(task, ':'); i > 0 && digits(strings.TrimSpace(task[i+1:])) {
			return "T" + strings.TrimSpace(task[i+1:]), t[end+1:], true
		}
	}
	return "", s, false
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
