package console

// A growing line is tried with patterns at every read, but bytes given to
// regexps are limited to freeWork plus workPerByte for each byte of the line, so
// that a long line that comes in single bytes does not cost its length squared.
// A line that is out of work is tried again when it is quiet or whole.
const (
	freeWork    = 64 << 10
	workPerByte = 16
)

// found is a pattern's match on a line.
type found struct {
	pattern int
	loc     []int // as of regexp.FindSubmatchIndex
	final   int   // length of the line at which nothing could change the match any more
}

// scan tries a set on a line while it grows: each byte goes through the automaton
// once, and only patterns whose literal has come are run.
type scan struct {
	set   *Set
	off   []uint64 // patterns that are not to be tried
	fin   finality
	state uint32
	seen  int // bytes of the line that went through the automaton
	tried int // length of the line at the last try
	spent int
	here  []uint64 // patterns whose literal is on the line
	open  bool     // a try when the line is quiet can find more than the last one
}

func newScan(set *Set) *scan {
	s := &scan{set: set, off: make([]uint64, len(set.always)), here: make([]uint64, len(set.always))}
	s.reset()
	return s
}

// reset begins a new line.
func (s *scan) reset() {
	s.state, s.seen, s.tried, s.spent, s.open = 0, 0, 0, 0, false
	copy(s.here, s.set.always)
}

// disable leaves pattern i out from now on.
func (s *scan) disable(i int) {
	s.off[i/64] |= 1 << (i % 64)
	s.tried = 0
}

// best is the match on line that was final first, as if the bytes had come one by
// one; of several, that of the first pattern. If done is false the line may go
// on, and only a match counts that no further byte can change. A match before
// cut, if that is not negative, must be final there: the text goes on elsewhere.
func (s *scan) best(line []byte, cut int, done bool) (m found, ok bool) {
	s.feed(line)
	if !done {
		if len(line) == s.tried && len(line) > 0 {
			return m, false
		}
		s.tried = len(line)
		if s.spent > freeWork+workPerByte*len(line) {
			s.open = true
			return m, false
		}
	}
	s.open = false
	m.final = len(line) + 2
	for w, word := range s.here {
		if word &^= s.off[w]; word == 0 {
			continue
		}
		for i := range ones(s.here[w : w+1]) {
			if i += 64 * w; s.off[w]&(1<<(i%64)) == 0 {
				s.try(line, i, cut, done, &m)
			}
		}
	}
	return m, m.loc != nil
}

// try replaces m by the match of pattern i, if that is final earlier.
func (s *scan) try(line []byte, i, cut int, done bool, m *found) {
	p := &s.set.patterns[i]
	loc := p.re.FindSubmatchIndex(line)
	s.spent += len(line)
	if loc == nil {
		return
	}
	final := loc[1]
	if !p.fixed {
		var ok bool
		final, ok = s.fin.at(p.prog, line)
		s.spent += 4 * len(line)
		switch {
		case !ok && !done:
			s.open = true
			return
		case !ok:
			final = len(line) + 1
		}
	}
	if final < m.final && (loc[1] > cut || final <= cut) {
		*m = found{pattern: i, loc: loc, final: final}
	}
}

// feed takes what is new of line through the automaton.
func (s *scan) feed(line []byte) {
	if len(line) < s.seen { // not the line it was: what looked like text turned out to be noise
		s.reset()
	}
	a, state := s.set.words, s.state
	next, class := a.next, &a.class
	for _, b := range line[s.seen:] {
		state = next[state&^accepting+uint32(class[b])]
		if state&accepting != 0 {
			s.set.note(state, s.here)
		}
	}
	s.state, s.seen = state, len(line)
}
