package alarm

import (
	"regexp"
	"sync"
)

// rule recognises the first line of a report.
//
// In titles, $1 and ${name} are the pattern's groups, $FN the function at fault,
// $ACCESS " Read" or " Write" as the report says, $NEXT the report's second line.
type rule struct {
	kind    Kind
	literal string // in every line the pattern matches
	pattern string // on the line's text, its prefixes taken off
	title   string
	find    finder // nil: the title names no function

	bare    string // title when no function is found; empty: "corrupted" stands for it
	follows bool   // within an oops or bug this line is part of that report
	single  bool   // the report is this line alone
	kernel  bool   // only lines with the kernel's uptime count
	whole   bool   // the pattern is matched on the line as printed
	blur    bool   // numbers and addresses in the title are replaced by words
	mild    bool   // recorded at most, even if the kind is fatal

	re *regexp.Regexp
}

// lockHeader is how lockdep starts a line, with the brackets of older kernels.
const lockHeader = `^(?:\[ )?(?:WARNING|INFO|BUG): `

// builtin are the rules every detector has. They are tried in order, the first
// that matches is taken. The texts are those of the kernel's printk calls; the
// directory or file that holds them is given.
var builtin = sync.OnceValue(func() []rule {
	rules := []rule{
		// lib/kasan, mm/kasan, mm/kmsan, kernel/kcsan, mm/kfence, lib/ubsan.c
		{kind: KASAN, literal: "BUG: KASAN: ", pattern: `^BUG: KASAN: (?:double-free or )?([\w-]+)(?: (?:in|on) (?P<func>[\w.]+\+0x)?|$)`, title: "KASAN: $1$ACCESS in $FN", find: byHeader, bare: "KASAN: $1$ACCESS"},
		{kind: KASAN, literal: "BUG: KASAN: ", pattern: `^BUG: KASAN: (\S.*)`, title: "KASAN: $1"},
		{kind: KMSAN, literal: "BUG: KMSAN: ", pattern: `^BUG: KMSAN: ([\w-]+)(?: in (?P<func>[\w.]+\+0x)?|$)`, title: "KMSAN: $1 in $FN", find: byHeader},
		{kind: KCSAN, literal: "BUG: KCSAN: ", pattern: `^BUG: KCSAN: data-race in (?P<func>[\w.]+) / ([\w.]+)`, title: "KCSAN: data-race in ${func} / $2"},
		{kind: KCSAN, literal: "BUG: KCSAN: ", pattern: `^BUG: KCSAN: (data-race|assert: race) in (?P<func>[\w.]+\+0x)?`, title: "KCSAN: $1 in $FN", find: byHeader},
		{kind: KFENCE, literal: "BUG: KFENCE: ", pattern: `^BUG: KFENCE: ([\w -]+?)(?: in (?P<func>[\w.]+\+0x)?|$)`, title: "KFENCE: $1 in $FN", find: byHeader},
		{kind: UBSAN, literal: "UBSAN: ", pattern: `^UBSAN: ([\w-]+) in \S`, title: "UBSAN: $1 in $FN", find: byStack},
		{kind: UBSAN, literal: "UBSAN: ", pattern: `^UBSAN: Undefined behaviour in \S`, title: "UBSAN: undefined-behaviour in $FN", find: byStack},

		// kernel/panic.c and who calls it
		{kind: Panic, literal: "Kernel panic", pattern: `^Kernel panic - not syncing: .*stack is corrupted in: (?P<func>[\w.]+\+0x)?`, title: "kernel panic: stack is corrupted in $FN", find: byHeader, follows: true},
		{kind: Panic, literal: "Kernel panic", pattern: `^Kernel panic - not syncing: corrupted stack end`, title: "kernel panic: corrupted stack end in $FN", find: byStall, follows: true},
		{kind: Panic, literal: "Kernel panic", pattern: `^Kernel panic - not syncing:? *(.*?)[.! ]*$`, title: "kernel panic: $1", follows: true},
		{kind: Oops, literal: "PANIC: double fault", pattern: `^(?:traps: )?PANIC: double fault`, title: "PANIC: double fault in $FN", find: byFault},

		// arch/*/mm/fault.c, arch/*/kernel/traps.c
		{kind: Oops, literal: "NULL pointer dereference", pattern: `^(?:CPU \d+ )?(?:BUG: )?(?:[Uu]nable to handle (?:kernel )?|[Kk]ernel )NULL pointer dereference`, title: "BUG: unable to handle kernel NULL pointer dereference in $FN", find: byFault},
		{kind: Oops, literal: "nable to handle", pattern: `^(?:CPU \d+ )?(?:BUG: )?[Uu]nable to handle (?:kernel|page fault|paging)`, title: "BUG: unable to handle kernel paging request in $FN", find: byFault},
		{kind: Oops, literal: "general protection fault", pattern: `^(?:kasan: GPF could .* access)?(?:Oops: )?(?:segment-related )?general protection fault(?:,|:|$)`, title: "general protection fault in $FN", find: byFault, follows: true},
		{kind: Oops, literal: "divide", pattern: `^(?:Oops: )?divide[ _]error: `, title: "divide error in $FN", find: byFault, follows: true},
		{kind: Oops, literal: "invalid opcode: ", pattern: `^(?:Oops: )?invalid opcode: `, title: "invalid opcode in $FN", find: byFault, follows: true},
		{kind: Oops, literal: "stack segment: ", pattern: `^(?:Oops: )?stack segment: `, title: "stack segment in $FN", find: byFault, follows: true},
		{kind: Oops, literal: "int3: ", pattern: `^(?:Oops: )?int3: `, title: "int3 in $FN", find: byFault, follows: true},
		{kind: Oops, literal: "Alignment trap: ", pattern: `^Alignment trap: not handling`, title: "Alignment trap in $FN", find: byFault},
		{kind: Oops, literal: "Unhandled fault: ", pattern: `^Unhandled fault: `, title: "Unhandled fault in $FN", find: byFault, follows: true},
		{kind: Oops, literal: "Internal error: ", pattern: `^Internal error: `, title: "Internal error in $FN", find: byFault, follows: true},
		{kind: Oops, literal: "stack guard page", pattern: `^BUG: (?:TASK |IRQ )?stack guard page was hit`, title: "BUG: stack guard page was hit in $FN", find: byStall},
		{kind: Oops, literal: "Oops", pattern: `^Oops(?: -|:| ?\[#)`, title: "Oops in $FN", find: byFault, follows: true},

		// lib/list_debug.c and mm/usercopy.c end in BUG(); include/asm-generic/bug.h
		{kind: Bug, literal: "kernel BUG at lib/list_debug.c", pattern: `^kernel BUG at lib/list_debug\.c`, title: "BUG: corrupted list in $FN", find: byFault},
		{kind: Bug, literal: "kernel BUG at mm/usercopy.c", pattern: `^kernel BUG at mm/usercopy\.c`, title: "BUG: bad usercopy in $FN", find: byFault},
		{kind: Bug, literal: "ernel BUG", pattern: `^[Kk]ernel BUG(?: at | \[#)`, title: "kernel BUG in $FN", find: byFault, follows: true},
		{kind: Bug, literal: "rust_kernel: panicked at", pattern: `^rust_kernel: panicked at`, title: "rust panic: $NEXT"},
		// kernel/sched/core.c, lib/smp_processor_id.c
		{kind: Bug, literal: "BUG: sleeping function", pattern: `^BUG: sleeping function called from invalid context`, title: "BUG: sleeping function called from invalid context in $FN", find: byStack},
		{kind: Bug, literal: "scheduling while atomic", pattern: `^BUG: (?:workqueue )?scheduling while atomic`, title: "BUG: scheduling while atomic in $FN", find: byStack},
		{kind: Lockdep, literal: "in preemptible", pattern: `^BUG: using (\S+) in preemptible`, title: "BUG: using $1 in preemptible code in $FN", find: byStack},
		// kernel/workqueue.c
		{kind: Bug, literal: "BUG: workqueue leaked", pattern: `^BUG: workqueue leaked (?:lock or atomic|atomic, lock)`, title: "BUG: workqueue leaked lock or atomic in $FN", find: byLastFunction},
		{kind: Lockup, literal: "BUG: workqueue lockup", pattern: `^BUG: workqueue lockup`, title: "BUG: workqueue lockup"},
		// mm, fs
		{kind: Memleak, literal: "BUG: memory leak", pattern: `^(?:[\d/]+ [\d:]+ )?BUG: memory leak`, title: "memory leak in $FN", find: byStack},
		{kind: Memleak, literal: "kmemleak: ", pattern: `^kmemleak: \d+ new suspected memory leaks?`, title: "kmemleak: new suspected memory leaks", single: true},
		{kind: Bug, literal: "BUG: Bad ", pattern: `^BUG: (Bad page (?:state|map|cache))`, title: "BUG: $1 in $FN", find: byStack},
		{kind: Bug, literal: "BUG: Dentry", pattern: `^BUG: Dentry .* still in use .*\[unmount of`, title: "BUG: Dentry still in use in unmount"},
		{kind: Bug, literal: "ainted", pattern: `^BUG \S+ ?\((?:Not tainted|Tainted).*?\): (\S.*)`, title: "BUG: $1", blur: true},
		{kind: Bug, literal: "INFO: ", pattern: `^INFO: ((?:Allocated|Freed) in .*)`, title: "INFO: $1", blur: true},
		{kind: Bug, literal: "VFS: ", pattern: `^VFS: Busy inodes after unmount`, title: "VFS: Busy inodes after unmount (use-after-free)"},
		{kind: Bug, literal: "VFS: ", pattern: `^VFS: Close: file count is 0`, title: "VFS: Close: file count is 0"},
		{kind: Bug, literal: "unregister_netdevice: ", pattern: `^unregister_netdevice: waiting for \S+ to become free`, title: "unregister_netdevice: waiting for DEV to become free", single: true},

		// kernel/locking
		{kind: Lockdep, literal: "locking dependency", pattern: lockHeader + `(possible (?:circular|recursive|irq lock inversion)[\w ]* detected)`, title: "possible deadlock in $FN", find: byAttempt, bare: "WARNING: $1"},
		{kind: Lockdep, literal: ": possible ", pattern: lockHeader + `(possible (?:recursive locking|irq lock inversion)[\w ]* detected)`, title: "possible deadlock in $FN", find: byAttempt, bare: "WARNING: $1"},
		{kind: Lockdep, literal: "lock order detected", pattern: lockHeader + `(\S+-safe -> \S+-unsafe lock order detected)`, title: "possible deadlock in $FN", find: byDependency, bare: "WARNING: $1"},
		{kind: Lockdep, literal: "inconsistent lock state", pattern: lockHeader + `inconsistent lock state`, title: "inconsistent lock state in $FN", find: byAttempt},
		{kind: Lockdep, literal: "bad unlock balance", pattern: `^(?:\[ )?(WARNING|BUG): bad unlock balance`, title: "$1: bad unlock balance in $FN", find: byAttempt},
		{kind: Lockdep, literal: "held lock freed", pattern: `^(?:\[ )?(WARNING|BUG): held lock freed`, title: "$1: held lock freed in $FN", find: byHolder},
		{kind: Lockdep, literal: "still has locks held", pattern: `^(?:\[ )?(WARNING|BUG): .*still has locks held`, title: "$1: still has locks held in $FN", find: byHolder},
		{kind: Lockdep, literal: "lock held when returning", pattern: `^(?:\[ )?(WARNING|BUG): lock held when returning to user space`, title: "$1: lock held when returning to user space in $FN", find: byHolder},
		{kind: Lockdep, literal: "uspicious RCU usage", pattern: `^(?:\[ )?(WARNING|INFO): suspicious RCU usage`, title: "$1: suspicious RCU usage in $FN", find: byStack, bare: "$1: suspicious RCU usage"},
		{kind: Lockdep, literal: "non-static key", pattern: `^INFO: trying to register non-static key`, title: "INFO: trying to register non-static key in $FN", find: byStack},
		{kind: Lockdep, literal: "BUG: spinlock ", pattern: `^BUG: spinlock ([a-z ]+?)(?: on CPU|,|$)`, title: "BUG: spinlock $1 in $FN", find: byStack},
		{kind: Lockdep, literal: "BUG: MAX_", pattern: `^BUG: (MAX_\w+ too low!?)`, title: "BUG: $1"},
		{kind: Lockdep, literal: "Invalid wait context", pattern: lockHeader + `Invalid wait context`, title: "WARNING: locking bug in $FN", find: byAttempt},
		{kind: Lockdep, literal: "kernel/locking/lockdep.c", pattern: `^WARNING: .*\bkernel/locking/lockdep\.c:\d+`, title: "WARNING: locking bug in $FN", find: byStack},

		// kernel/rcu, kernel/watchdog.c, kernel/hung_task.c
		{kind: RCUStall, literal: "INFO: rcu", pattern: `^(?:rcu: )?INFO: rcu\w* (?:self-)?detected (?:expedited )?stall`, title: "INFO: rcu detected stall in $FN", find: byStall},
		{kind: Lockup, literal: "BUG: soft lockup", pattern: `^(?:NMI )?(?:watchdog: )?BUG: soft lockup`, title: "BUG: soft lockup in $FN", find: byStall},
		{kind: Lockup, literal: "hard LOCKUP", pattern: `^(?:NMI )?(?:watchdog: )?(?:CPU\d+: )?Watchdog (?:CPU:?\d+ )?detected (?:Hard|hard) LOCKUP`, title: "BUG: hard lockup in $FN", find: byStall},
		{kind: HungTask, literal: "INFO: task", pattern: `^INFO: task .* blocked (?:for|in|on)\b`, title: "INFO: task hung in $FN", find: byWait},
		{kind: HungTask, literal: "INFO: task", pattern: `^INFO: task .* can't die`, title: "INFO: task can't die in $FN", find: byWait},

		// mm/oom_kill.c
		{kind: OOM, literal: "invoked oom-killer", pattern: `^(\S.*) invoked oom-killer:`, title: "Out of memory: Killed process ($FN)", find: byVictim, bare: "Out of memory: $1 invoked oom-killer"},
		{kind: OOM, literal: "ut of memory", pattern: `^(?:Memory cgroup )?[Oo]ut of memory(?: \(oom_kill_allocating_task\))?: Kill(?:ed)? process \d+ \((.+?)\)`, title: "Out of memory: Killed process ($1)", single: true},

		// WARN() from helpers says who called them, not where it stands
		{kind: Warning, literal: "lib/refcount.c", pattern: `^WARNING: .*\blib/refcount\.c:\d+`, title: "WARNING: refcount bug in $FN", find: byStack},
		{kind: Warning, literal: "lib/debugobjects.c", pattern: `^WARNING: .*\blib/debugobjects\.c:\d+`, title: "WARNING: ODEBUG bug in $FN", find: byStack},
		{kind: Warning, literal: "lib/kobject.c", pattern: `^WARNING: .*\blib/kobject\.c:\d+`, title: "WARNING: kobject bug in $FN", find: byStack},
		{kind: Warning, literal: "mm/slab_common.c", pattern: `^WARNING: .*\bmm/slab_common\.c:\d+.*\bkmalloc_slab\+`, title: "WARNING: kmalloc bug in $FN", find: byStack},
		{kind: Warning, literal: "mm/vmalloc.c", pattern: `^WARNING: .*\bmm/vmalloc\.c:\d+`, title: "WARNING: zero-size vmalloc in $FN", find: byStack},
		{kind: Warning, literal: "usb_submit_urb+", pattern: `^WARNING: .*\busb_submit_urb\+0x`, title: "WARNING in $FN/usb_submit_urb", find: byUSBCaller},
		{kind: Warning, literal: "WARNING: ", pattern: `^WARNING: (?:CPU: ?\d+ PID: ?\d+ )?at \S+(?: (?P<func>[\w.]+)\+0x)?`, title: "WARNING in $FN", find: byHeader},
		{kind: Warning, literal: "WARNING: ", pattern: `^WARNING: \S+:\d+ at (?P<func>[\w.]+)\+0x`, title: "WARNING in $FN", find: byHeader},
		{kind: Warning, literal: "WARNING: kernel stack", pattern: `^WARNING: kernel stack (regs|frame pointer) .*has bad( '\w+')? value`, title: "WARNING: kernel stack $1 has bad$2 value"},
		{kind: Warning, literal: "WARNING: ", pattern: `^WARNING: (\S.*)`, title: "WARNING: $1", kernel: true, blur: true},
		{kind: Bug, literal: "BUG: ", pattern: `^BUG: (\S.*)`, title: "BUG: $1", kernel: true, blur: true},

		// boot2container's init, after "[<uptime>]: "
		{kind: B2C, literal: "shutting down", pattern: `^\[\d+(?:\.\d+)?\]: (?:ERROR: )?(.*?), shutting down!?$`, title: "boot2container: $1"},
		{kind: B2C, literal: "Could not download the extra command line", pattern: `^(?:\[\d+(?:\.\d+)?\]: )?(?:ERROR: )?(Could not download the extra command line)`, title: "boot2container: $1"},
		{kind: B2C, literal: "]: ERROR: ", pattern: `^\[\d+(?:\.\d+)?\]: ERROR: (.*?)[.! ]*$`, title: "boot2container: $1", mild: true},
		{kind: B2C, literal: "B2C_WARNING: ", pattern: `^(?:\[\d+(?:\.\d+)?\]: )?B2C_WARNING: (.*)`, title: "boot2container: $1", mild: true, single: true},
	}
	for i := range rules {
		rules[i].re = regexp.MustCompile(rules[i].pattern)
	}
	return rules
})

// silences are lines that look like a report's first and are none. They are
// matched on the text, its prefixes taken off.
var silences = sync.OnceValue(func() []*regexp.Regexp {
	var out []*regexp.Regexp
	for _, pattern := range []string{
		`^WARNING: /etc/ssh/moduli does not exist`,             // sshd
		`^WARNING: workqueue cpumask: online intersect`,        // kernel/workqueue.c, harmless at boot
		`^WARNING: the mand mount option`,                      // fs/namespace.c, a deprecation
		`(?i)^WARNING: \S+ uses wireless extensions`,           // net/wireless/wext-core.c
		`^WARNING: fbcon: Driver .* missed to adjust`,          // drivers/video/fbdev/core/fbcon.c
		`^WARNING: (?:See https?://|kernel not compiled with)`, // arch/x86/kernel/cpu/bugs.c
	} {
		out = append(out, regexp.MustCompile(pattern))
	}
	return out
})
