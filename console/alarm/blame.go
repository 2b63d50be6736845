package alarm

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// blamer names the function a report is about.
type blamer struct {
	noise, wait, door names
}

var blame = sync.OnceValue(func() *blamer {
	return &blamer{
		noise: newNames(reporters, library, locks),
		wait:  newNames(reporters, waits),
		door:  newNames(doors),
	}
})

// finder returns the function at fault, or "" if the report does not tell.
type finder func(b *blamer, r *report, t *backtrace) string

// byHeader takes the function named in the first line, and the stack if that
// one is no culprit.
func byHeader(b *blamer, r *report, t *backtrace) string {
	if fn := tidy(r.groups["func"]); fn != "" && !b.noise.has(fn) {
		return fn
	}
	return cmp.Or(byStack(b, r, t), tidy(r.groups["func"]))
}

// byStack takes the innermost function that is not part of the reporting. Where
// a lock was taken before, or preemption disabled, is not where things went wrong.
func byStack(b *blamer, _ *report, t *backtrace) string {
	for _, s := range t.stacks {
		if strings.HasPrefix(s.label, "-> #") || strings.HasPrefix(s.label, "Preemption disabled") {
			continue
		}
		if i := slices.IndexFunc(s.frames, func(fn string) bool { return !b.noise.has(fn) }); i >= 0 {
			return s.frames[i]
		}
	}
	return ""
}

// byFault takes the program counter, then the stack.
func byFault(b *blamer, r *report, t *backtrace) string {
	if t.pc != "" && !b.noise.has(t.pc) {
		return t.pc
	}
	return cmp.Or(byStack(b, r, t), t.pc)
}

// heldAt matches where a lock was taken: "(&lock){+.+.}, at: [<0>] func+0x1/0x2".
var heldAt = regexp.MustCompile(`\bat: (?:\[<\w+>\] *)?([\w.$]+)\+0x`)

// byAttempt takes where the lock in question was about to be taken or released,
// which lockdep prints above the locks already held.
func byAttempt(b *blamer, r *report, t *backtrace) string {
	for _, text := range r.texts() {
		if strings.Contains(text, "but there are no more") || strings.Contains(text, "held by") || strings.Contains(text, "-> #") {
			break
		}
		if m := heldAt.FindStringSubmatch(text); m != nil {
			if fn := tidy(m[1]); !b.noise.has(fn) {
				return fn
			}
		}
	}
	return byStack(b, r, t)
}

// byDependency takes where a lock was first used in an interrupt.
func byDependency(b *blamer, r *report, t *backtrace) string {
	return cmp.Or(byStack(b, r, t), byAttempt(b, r, t))
}

// byHolder takes where a lock that is still held was taken.
func byHolder(b *blamer, r *report, t *backtrace) string {
	for _, text := range r.texts() {
		if m := heldAt.FindStringSubmatch(text); m != nil {
			return tidy(m[1])
		}
	}
	return byStack(b, r, t)
}

// byWait takes what a hung task waits in.
func byWait(b *blamer, _ *report, t *backtrace) string {
	for _, s := range t.stacks {
		if i := slices.IndexFunc(s.frames, func(fn string) bool { return !b.wait.has(fn) }); i >= 0 {
			return s.frames[i]
		}
	}
	return ""
}

// byStall takes the entrance to the work a busy CPU does, such as a file's ioctl
// or a protocol's receive function: deeper ones differ from report to report. A
// CPU that waits for another in smp_call_function is a victim, and is named so.
func byStall(b *blamer, r *report, t *backtrace) string {
	for _, s := range t.stacks {
		if slices.Contains(s.frames, "rcu_gp_kthread") {
			continue
		}
		inner := ""
		for _, fn := range s.frames {
			switch {
			case strings.HasPrefix(fn, "smp_call_function"):
				return "smp_call_function"
			case fn == "sys_ioctl" || fn == "sys_setsockopt":
				return cmp.Or(inner, fn)
			case strings.HasPrefix(fn, "sys_"):
				return fn
			case !b.door.has(fn):
				if !b.wait.has(fn) {
					inner = fn
				}
			case inner != "":
				return inner
			}
		}
	}
	return byStack(b, r, t)
}

var (
	lastFunction = regexp.MustCompile(`last function: (\w+)`)
	victim       = regexp.MustCompile(`Kill(?:ed)? process \d+ \((.+?)\)`)
)

// byLastFunction takes the work item a worker has just run.
func byLastFunction(_ *blamer, r *report, _ *backtrace) string {
	return r.find(lastFunction)
}

// byVictim takes the name of the process the out-of-memory killer chose.
func byVictim(_ *blamer, r *report, _ *backtrace) string {
	return r.find(victim)
}

// byUSBCaller takes the driver that misused usb_submit_urb.
func byUSBCaller(b *blamer, _ *report, t *backtrace) string {
	for _, s := range t.stacks {
		for _, fn := range s.frames {
			if !b.noise.has(fn) && !strings.HasPrefix(fn, "usb_") {
				return fn
			}
		}
	}
	return ""
}
