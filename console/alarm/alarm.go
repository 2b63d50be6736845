// Package alarm knows a dying kernel by its console: panics, oopses, warnings,
// sanitizer and lock reports, stalls, resets nobody asked for, and the errors
// boot2container prints itself.
//
// A [Detector] is fed one line at a time and returns an [Alarm] when its report
// is complete, titled as kernel developers title it
// ("KASAN: use-after-free Read in consume_skb").
package alarm

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is the class of an alarm, in the terms of the field.
type Kind string

// The kinds a detector knows by itself. A [Rule] adds its name as one more.
const (
	Panic    Kind = "panic"     // Kernel panic - not syncing
	Oops     Kind = "oops"      // bad access or exception in the kernel
	Bug      Kind = "bug"       // BUG(), corrupted state, sleeping in atomic context
	Warning  Kind = "warning"   // WARN()
	KASAN    Kind = "kasan"     // address sanitizer
	KMSAN    Kind = "kmsan"     // memory (uninitialised value) sanitizer
	KCSAN    Kind = "kcsan"     // concurrency sanitizer
	KFENCE   Kind = "kfence"    // sampling memory checker
	UBSAN    Kind = "ubsan"     // undefined behaviour sanitizer
	RCUStall Kind = "rcu-stall" // a CPU or task that holds up RCU
	Lockup   Kind = "lockup"    // soft, hard and workqueue lockups
	HungTask Kind = "hung-task" // a task blocked for minutes
	Lockdep  Kind = "lockdep"   // lock and preemption discipline
	OOM      Kind = "oom"       // the out-of-memory killer
	Memleak  Kind = "memleak"   // kmemleak
	Reset    Kind = "reset"     // the board started again, unannounced
	B2C      Kind = "b2c"       // boot2container's own errors
)

// Severity is what an alarm does to the run.
type Severity uint8

// The severities, from least to worst.
const (
	Ignored  Severity = iota // not reported
	Recorded                 // reported, the run goes on
	Fatal                    // reported, the run ends
)

var severityNames = []string{"ignore", "record", "fatal"}

func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return fmt.Sprintf("Severity(%d)", uint8(s))
}

// ParseSeverity reads the word for a severity: ignore, record or fatal.
func ParseSeverity(word string) (Severity, error) {
	i := slices.Index(severityNames, word)
	if i < 0 {
		return 0, fmt.Errorf("failed to parse severity %q: (try: %s)", word, strings.Join(severityNames, ", "))
	}
	return Severity(i), nil
}

// grades is what each kind does when the job does not say otherwise. As in LAVA
// (lava_dispatcher/utils/messages.py), only a dead kernel and a reset end the
// job; whatever a panic follows becomes fatal with it.
func grades() map[Kind]Severity {
	return map[Kind]Severity{
		Panic: Fatal, // the kernel has stopped: Documentation/admin-guide/kernel-parameters.txt, panic=
		Reset: Fatal, // LAVA: DUT_has_reset
		B2C:   Fatal, // boot2container shuts down after these; its B2C_WARNING lines are only recorded

		Oops:     Recorded, // kills one task; killing init ends in a panic: admin-guide/bug-hunting.rst
		Bug:      Recorded, // likewise
		Warning:  Recorded, // admin-guide/tainted-kernels.rst, W
		KASAN:    Recorded, // dev-tools/kasan.rst
		KMSAN:    Recorded, // dev-tools/kmsan.rst
		KCSAN:    Recorded, // dev-tools/kcsan.rst
		KFENCE:   Recorded, // dev-tools/kfence.rst
		UBSAN:    Recorded, // dev-tools/ubsan.rst
		RCUStall: Recorded, // RCU/stallwarn.rst; may recover
		Lockup:   Recorded, // admin-guide/lockup-watchdogs.rst; may recover
		HungTask: Recorded, // admin-guide/sysctl/kernel.rst, hung_task_timeout_secs
		Lockdep:  Recorded, // locking/lockdep-design.rst
		OOM:      Recorded, // kills one process, perhaps the one under test
		Memleak:  Recorded, // dev-tools/kmemleak.rst
	}
}

// Alarm is one report found on the console.
type Alarm struct {
	At    time.Duration // when its first line came, since power-on
	Line  int           // the number of its first line
	Kind  Kind
	Fatal bool // the run must end
	Title string
	Trace []string // its lines as they were printed, at most 400 and 64 KiB

	// Corrupted means that the function at fault could not be read from the
	// report: it was cut short, or other output ran through it.
	Corrupted bool
}
