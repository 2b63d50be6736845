package runner

import (
	"b2c-runner/console"
	"b2c-runner/jobs"
)

// mark is a line of the console that says how far the board has come.
type mark struct {
	pattern string
	seen    func(a *attempt, line console.Line, groups []string)
}

// marks are tried on every line, all of them. The lines of boot2container are
// those of its /init; each message stands behind the uptime, "[12.34]: ".
var marks = []mark{
	{`Linux version (\S+)`, func(a *attempt, _ console.Line, g []string) {
		a.begin(jobs.PhaseKernel, g[1])
		a.software(func(guest *jobs.Guest) { guest.Kernel = g[1] })
	}},
	{`Booting Linux on physical CPU`, func(a *attempt, _ console.Line, _ []string) { a.begin(jobs.PhaseKernel, "") }},
	{`Machine model: (.+)`, func(a *attempt, _ console.Line, g []string) {
		a.software(func(guest *jobs.Guest) { guest.Machine = g[1] })
	}},
	{`DMI: (.+)`, func(a *attempt, _ console.Line, g []string) {
		a.software(func(guest *jobs.Guest) { guest.Machine = g[1] })
	}},
	{`Run (/\S+) as init process`, func(a *attempt, _ console.Line, g []string) { a.begin(jobs.PhaseUserspace, g[1]) }},
	{`Boot2container version: (\S+)`, func(a *attempt, _ console.Line, g []string) {
		a.begin(jobs.PhaseUserspace, "boot2container "+g[1])
		a.software(func(guest *jobs.Guest) { guest.Boot2container = g[1] })
	}},
	{`\[ *[\d.]+\]: Pull, create, and init the container`, func(a *attempt, _ console.Line, _ []string) { a.begin(jobs.PhasePull, "") }},
	{`^\+ podman start -a ([0-9a-f]{64})`, (*attempt).containerStarted},
	{`\[ *[\d.]+\]: The container exited with error code (\d+)`, (*attempt).containerExited},
	{`\[ *[\d.]+\]: The container run successfully`, (*attempt).containerExited},
	{`\[ *[\d.]+\]: Execution is over, pipeline status: (\d+)`, (*attempt).pipelineOver},
	{`\[ *[\d.]+\]: It's now safe to turn off your computer`, (*attempt).guestOver},
	{`\[ *[\d.]+\]: Rebooting the computer`, (*attempt).guestOver},
	{`\[ *[\d.]+\]: ERROR: (.+)`, func(a *attempt, _ console.Line, g []string) { a.b2cError(g[1]) }},
}

// markSet is marks compiled.
type markSet struct{ set *console.Set }

func compileMarks() (markSet, error) {
	patterns := make([]string, len(marks))
	for i, m := range marks {
		patterns[i] = m.pattern
	}
	set, err := console.NewSet(patterns)
	return markSet{set}, err
}

// see lets every mark of the line be noted.
func (m markSet) see(a *attempt, line console.Line) {
	m.set.Match(line.Text, func(i int, loc []int) {
		groups := make([]string, len(loc)/2)
		for k := range groups {
			if loc[2*k] >= 0 {
				groups[k] = line.Text[loc[2*k]:loc[2*k+1]]
			}
		}
		marks[i].seen(a, line, groups)
	})
}
