package alarm

import (
	"regexp/syntax"
	"strings"
)

// filter finds out whether a line holds any of many literals, looking at a
// fraction of its bytes: Wu and Manber's algorithm (A fast algorithm for
// multi-pattern searching, 1994) with blocks of two bytes.
type filter struct {
	window int                 // bytes of each literal that are looked at: the length of the shortest
	shift  [blocks]uint8       // how far the window may move when it ends in this block
	ends   map[uint16][]string // the literals whose window ends in this block
	all    bool                // a literal is too short: every line must be looked at
}

const blocks = 1 << 12

func block(a, b byte) uint16 { return (uint16(a)<<5 ^ uint16(b)) % blocks }

func newFilter(literals []string) *filter {
	f := &filter{window: 64, ends: map[uint16][]string{}}
	for _, lit := range literals {
		f.window = min(f.window, len(lit))
	}
	if f.window < 2 {
		f.all = true
		return f
	}
	for i := range f.shift {
		f.shift[i] = uint8(f.window - 1)
	}
	for _, lit := range literals {
		for i := 1; i < f.window; i++ {
			at := block(lit[i-1], lit[i])
			f.shift[at] = min(f.shift[at], uint8(f.window-1-i))
		}
		last := block(lit[f.window-2], lit[f.window-1])
		f.ends[last] = append(f.ends[last], lit)
	}
	return f
}

func (f *filter) match(line string) bool {
	if f.all {
		return true
	}
	for i := f.window - 1; i < len(line); {
		at := block(line[i-1], line[i])
		if step := int(f.shift[at]); step > 0 {
			i += step
			continue
		}
		for _, lit := range f.ends[at] {
			if strings.HasPrefix(line[i-f.window+1:], lit) {
				return true
			}
		}
		i++
	}
	return false
}

// literal returns the longest string that every match of the pattern holds, or
// "" if none is certain.
func literal(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return string(re.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return literal(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return literal(re.Sub[0])
		}
	case syntax.OpConcat:
		best := ""
		for _, sub := range re.Sub {
			if lit := literal(sub); len(lit) > len(best) {
				best = lit
			}
		}
		return best
	}
	return ""
}
