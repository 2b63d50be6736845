package jobs

import (
	"fmt"
	"strings"
)

// Title is the step's name, or what it does.
func (s Step) Title() string {
	switch {
	case s.Name != "":
		return s.Name
	case s.Send != "":
		return fmt.Sprintf("send %q", s.Send)
	case s.Run != "":
		return "run " + s.Run
	case s.Expect != nil:
		return "expect " + strings.Join(s.Expect.Pass, " or ")
	default:
		return "nothing"
	}
}

// Mask rewrites every text of the result that the board or a failure may have
// put a secret into.
func (r *Result) Mask(mask func(string) string) {
	r.Message, r.Cmdline = mask(r.Message), mask(r.Cmdline)
	r.Guest.Kernel, r.Guest.Boot2container, r.Guest.Machine = mask(r.Guest.Kernel), mask(r.Guest.Boot2container), mask(r.Guest.Machine)
	for i := range r.Assets {
		r.Assets[i].Source = mask(r.Assets[i].Source)
	}
	for i := range r.Images {
		r.Images[i].Ref = mask(r.Images[i].Ref)
	}
	for i := range r.Attempts {
		a := &r.Attempts[i]
		a.Message = mask(a.Message)
		for k := range a.Timeline {
			a.Timeline[k].Detail = mask(a.Timeline[k].Detail)
		}
		for k := range a.Cases {
			c := &a.Cases[k]
			c.Name, c.Message, c.Output = mask(c.Name), mask(c.Message), mask(c.Output)
		}
		for k := range a.Alarms {
			al := &a.Alarms[k]
			al.Title = mask(al.Title)
			for n := range al.Trace {
				al.Trace[n] = mask(al.Trace[n])
			}
		}
		for k := range a.Tail {
			a.Tail[k] = mask(a.Tail[k])
		}
	}
}
