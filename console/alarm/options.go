package alarm

import (
	"fmt"
	"hash/maphash"
	"regexp"
	"regexp/syntax"
)

// Rule is an alarm a job adds: one line, reported when its pattern matches.
type Rule struct {
	Name     string // becomes the Kind
	Pattern  string // Go regexp syntax, anywhere in the line
	Severity Severity
}

// Options change what a detector reports.
type Options struct {
	Rules   []Rule            // tried before the built-in ones
	Silence []string          // patterns; a report whose first line or title matches is not reported
	Regrade map[Kind]Severity // instead of the built-in severities
}

// NewDetector compiles the rules. It fails when a pattern does not compile or
// matches an empty line, when a rule has no name, or when a kind to regrade is
// unknown.
func NewDetector(opts Options) (*Detector, error) {
	d := &Detector{blame: blame(), grade: grades(), hash: maphash.MakeSeed(), seen: map[uint64]bool{}}

	for _, extra := range opts.Rules {
		if extra.Name == "" {
			return nil, fmt.Errorf("failed to add alarm %q: it has no name", extra.Pattern)
		}
		re, err := compile(extra.Pattern)
		if err != nil {
			return nil, fmt.Errorf("failed to add alarm %q: %w", extra.Name, err)
		}
		parsed, err := syntax.Parse(extra.Pattern, syntax.Perl)
		if err != nil {
			return nil, fmt.Errorf("failed to add alarm %q: %w", extra.Name, err)
		}
		d.rules = append(d.rules, rule{
			kind: Kind(extra.Name), literal: literal(parsed), re: re, single: true, whole: true, blur: true,
			title: extra.Name + ": $0",
		})
		d.grade[Kind(extra.Name)] = extra.Severity
	}
	d.rules = append(d.rules, builtin()...)

	d.silence = silences()
	for _, pattern := range opts.Silence {
		re, err := compile(pattern)
		if err != nil {
			return nil, fmt.Errorf("failed to silence alarms: %w", err)
		}
		d.silence = append(d.silence, re)
	}
	for kind, severity := range opts.Regrade {
		if _, ok := d.grade[kind]; !ok {
			return nil, fmt.Errorf("failed to regrade alarm %q: there is no such kind", kind)
		}
		d.grade[kind] = severity
	}

	literals := bannerLiterals()
	for _, r := range d.rules {
		literals = append(literals, r.literal)
	}
	d.filter = newFilter(literals)
	return d, nil
}

func compile(pattern string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	if re.MatchString("") {
		return nil, fmt.Errorf("pattern %q matches an empty line", pattern)
	}
	return re, nil
}
