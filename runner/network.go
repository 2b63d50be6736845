package runner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"b2c-runner/boards/netboot"
	"b2c-runner/jobs"
)

// network notes what the board did on its network.
func (a *attempt) network(e netboot.Event) {
	detail := e.Detail
	if e.File != "" {
		detail = fmt.Sprintf("%s, %s in %s", e.File, bytesOf(e.Bytes), e.Took.Round(time.Millisecond))
	}
	if e.Err != "" {
		detail += ": " + e.Err
	}
	a.event(string(e.Kind), detail)
	switch e.Kind {
	case netboot.DHCPDiscover:
		a.mu.Lock()
		a.alive = true
		a.mu.Unlock()
		a.begin(jobs.PhaseNetboot, "")
	case netboot.HTTP, netboot.TFTP:
		if e.Err == "" {
			a.bootFileSent(e.File)
		}
	}
}

// bootFileSent begins the kernel phase with the last boot file: from then on the
// boot loader has nothing left to wait for, and a console that stays silent is
// the kernel's.
func (a *attempt) bootFileSent(name string) {
	a.mu.Lock()
	a.fetched[strings.TrimPrefix(name, "/")] = true
	all := !slices.ContainsFunc(a.r.bootFiles, func(f string) bool { return !a.fetched[f] })
	a.mu.Unlock()
	if all {
		a.begin(jobs.PhaseKernel, "boot files sent")
	}
}

// bytesOf writes a size for people.
func bytesOf(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%d B", n)
	}
}
