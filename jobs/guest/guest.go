// Package guest finds the test results that a board prints on its console: KTAP
// and TAP, LAVA signals, and GoogleTest's text. Every result becomes a testcase
// of its own.
//
// What a board prints is hostile: names, depth, the number of cases and the text
// kept are bounded, and a result line that is out of place is counted and named
// among the problems, never dropped.
//
// Kernel lines are told from other output by printk's time stamp. They are read as
// a stream of their own, so that KUnit in the kernel and a test in userspace do not
// disturb each other. If a kernel line stands in the middle of another line, the two
// halves of that line are put together again, unless each half is a result. A
// kernel without printk.time cannot be told from userspace: its whole lines do no
// harm, but one in the middle of a result spoils that result's name.
package guest

import (
	"fmt"
	"slices"
	"time"

	"b2c-runner/jobs"
	"b2c-runner/jobs/strict"
)

// Kind is a language of results, as a job's results.from names it.
type Kind string

// The kinds.
const (
	KTAP  Kind = "ktap"  // KTAP version 1 (Documentation/dev-tools/ktap.rst), TAP 12 to 14
	LAVA  Kind = "lava"  // the signals of lava-test-shell
	GTest Kind = "gtest" // the default output of a GoogleTest program
)

// Kinds lists every kind.
var Kinds = []Kind{KTAP, LAVA, GTest}

// rank says what a line means to a parser.
type rank uint8

const (
	foreign rank = iota // nothing
	part                // structure: a header, a plan, a comment
	whole               // a result, complete in itself
)

// parser reads one kind of results from whole lines.
type parser interface {
	feed(at time.Duration, l line)
	rank(text string) rank
	finish(at time.Duration) // no more lines will come
}

// Collector turns console lines into testcases. It is not for concurrent use.
type Collector struct {
	splitter splitter
	parsers  []parser
	tally    tally
	at       time.Duration // of the last line
	finished bool
}

// New makes a collector of the given kinds. The error names a kind that does not
// exist.
func New(kinds []string) (*Collector, error) {
	c := &Collector{}
	for i, k := range kinds {
		if slices.Contains(kinds[:i], k) {
			continue
		}
		switch Kind(k) {
		case KTAP:
			c.parsers = append(c.parsers, newKTAP(&c.tally))
		case LAVA:
			c.parsers = append(c.parsers, newLAVA(&c.tally))
		case GTest:
			c.parsers = append(c.parsers, &gtest{tally: &c.tally})
		default:
			return nil, unknownKind(k)
		}
	}
	return c, nil
}

func unknownKind(kind string) error {
	names := make([]string, len(Kinds))
	for i, k := range Kinds {
		names[i] = string(k)
	}
	meant := strict.Suggest(kind, names)
	if meant == "" {
		return fmt.Errorf("unknown kind of results %q (known: ktap, lava, gtest)", kind)
	}
	return fmt.Errorf("unknown kind of results %q (did you mean %q?)", kind, meant)
}

// Feed takes the next console line, without its end and without escape sequences.
// at is the time since power on and must not go back. Lines fed after Cases or
// Problems are ignored.
func (c *Collector) Feed(at time.Duration, line string) {
	if c.finished || len(c.parsers) == 0 {
		return
	}
	c.at = at
	c.deliver(c.splitter.split(line, c.rank))
}

func (c *Collector) deliver(lines []line) {
	for _, l := range lines {
		for _, p := range c.parsers {
			p.feed(c.at, l)
		}
	}
}

func (c *Collector) rank(text string) rank {
	best := foreign
	for _, p := range c.parsers {
		best = max(best, p.rank(text))
	}
	return best
}

func (c *Collector) finish() {
	if c.finished {
		return
	}
	c.finished = true
	c.deliver(c.splitter.rest())
	for _, p := range c.parsers {
		p.finish(c.at)
	}
}

// Cases ends the collection and returns the testcases in the order of their
// results. Beside the results printed there is a failed case for each plan not
// fulfilled, each bail-out, each test and run that began and did not end, and, if
// failures had to be left out, for them.
//
// A test that was skipped or expected to fail is a Pass with a Message that
// begins with "SKIP", "TODO" or "XFAIL".
func (c *Collector) Cases() []jobs.Case {
	c.finish()
	return c.tally.cases()
}

// Problems ends the collection and returns what was wrong with the output itself:
// plans not fulfilled, numbers used twice, runs that did not end, signals that
// cannot be read, results left out.
func (c *Collector) Problems() []string {
	c.finish()
	return c.tally.complaints()
}
