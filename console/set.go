package console

import (
	"fmt"
	"math/bits"
	"regexp"
	"regexp/syntax"
)

// Set is many patterns, compiled to be tried on each line at little cost: one pass
// finds which of their literals are on the line, and only those patterns run.
// It may be used from several goroutines.
type Set struct {
	patterns []pattern
	words    *automaton
	owner    []int    // pattern of each word
	always   []uint64 // patterns without a literal
}

type pattern struct {
	re    *regexp.Regexp
	fixed bool // fixedLength
	prog  *syntax.Prog
}

// NewSet compiles patterns (RE2); what Check refuses is an error.
func NewSet(patterns []string) (*Set, error) {
	res := make([]*regexp.Regexp, len(patterns))
	for i, p := range patterns {
		re, err := regexp.Compile(p)
		if err != nil {
			return nil, fmt.Errorf("failed to compile pattern %q: %w", p, err)
		}
		res[i] = re
	}
	return compile(res)
}

// compile makes a Set; a nil pattern never matches.
func compile(res []*regexp.Regexp) (*Set, error) {
	s := &Set{patterns: make([]pattern, len(res)), always: make([]uint64, (len(res)+63)/64)}
	var words [][]byte
	for i, re := range res {
		if re == nil {
			continue
		}
		parsed, err := parse(re.String())
		if err != nil {
			return nil, err
		}
		p := pattern{re: re, fixed: fixedLength(parsed)}
		if !p.fixed {
			if p.prog, err = syntax.Compile(parsed.Simplify()); err != nil {
				return nil, fmt.Errorf("failed to compile pattern %q: %w", re, err)
			}
		}
		s.patterns[i] = p
		set := literals(parsed)
		if set == nil {
			s.always[i/64] |= 1 << (i % 64)
		}
		for _, word := range set {
			words = append(words, word)
			s.owner = append(s.owner, i)
		}
	}
	s.words = newAutomaton(words, true)
	return s, nil
}

// Match calls hit, in the order of the patterns, for each that matches line; loc
// is as of regexp.FindSubmatchIndex.
func (s *Set) Match(line string, hit func(i int, loc []int)) {
	var few [8]uint64
	found := append(few[:0], s.always...)
	state := uint32(0)
	for i := range len(line) {
		if state = s.words.step(state, line[i]); state&accepting != 0 {
			s.note(state, found)
		}
	}
	for i := range ones(found) {
		if loc := s.patterns[i].re.FindStringSubmatchIndex(line); loc != nil {
			hit(i, loc)
		}
	}
}

// note adds to found the patterns whose words end in state.
func (s *Set) note(state uint32, found []uint64) {
	for _, word := range s.words.at(state) {
		i := s.owner[word]
		found[i/64] |= 1 << (i % 64)
	}
}

// ones yields the positions of the bits that are set.
func ones(set []uint64) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for i, word := range set {
			for ; word != 0; word &= word - 1 {
				if !yield(64*i + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}
