package report

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode"

	"b2c-runner/jobs"
)

// Limits of the texts of report.html, in bytes of XML, without the console.
const (
	maxShown  = 8 << 20 // of all together
	maxOutput = 64 << 10
	minLine   = 120 // what a line has when they have taken it all
)

// shown is how many bytes the texts of a page may still take.
type shown int

// line makes one line of a text.
func (room *shown) line(s any) string {
	return room.take(line(fmt.Sprint(s), max(minLine, min(2*maxError, int(*room)))))
}

// text makes a text of several lines fit for the page.
func (room *shown) text(s string) string {
	return room.take(clip(s, min(maxOutput, int(*room)+len(leftOut))))
}

func (room *shown) take(s string) string {
	*room -= shown(min(escapedSize(s), int(*room)))
	return visible(s)
}

// visible replaces the characters that would hide or reorder what stands beside
// them: control characters, and those of the bidirectional algorithm (Unicode
// Standard Annex #9, section 2).
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

func showSeconds(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d >= 2*time.Minute:
		return d.Round(time.Second).String()
	case d >= 100*time.Millisecond || d == 0:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
}

func showBytes(n int64) string {
	const mega = 1 << 20
	if n < mega {
		return fmt.Sprintf("%.1f KiB", float64(n)/1024)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/mega)
}

// The tones of the page: its colours, and the groups of the filter.
const (
	tonePass    = "pass"
	toneFail    = "fail"
	toneSkipped = "skipped"
)

func tone(v jobs.Verdict) string {
	switch cmp.Or(v, jobs.Error) {
	case jobs.Pass:
		return tonePass
	case jobs.Fail, jobs.Error:
		return toneFail
	default:
		return toneSkipped
	}
}
