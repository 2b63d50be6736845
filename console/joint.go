package console

import "sort"

// joint is the current line as it would be had the kernel not printed in its
// middle: `/ [   12.345678] foo` and then `# ` are the prompt `/ # `.
type joint struct {
	scan  *scan
	carry []byte // what kernel lines cut off from the current line
	parts []part
	text  []byte
}

// part is where a piece of carry came from.
type part struct {
	at  int   // in carry
	off int64 // in the cleaned text
}

type place struct {
	found found
	text  []byte // what found.loc is of
	ok    bool
}

func newJoint(set *Set) *joint { return &joint{scan: newScan(set)} }

func (j *joint) reset() {
	j.carry, j.parts = j.carry[:0], j.parts[:0]
	j.scan.reset()
}

// best is as of scan.best, on the joined line; final is counted on the current one,
// of which only the text before cut counts, if that is not negative.
func (j *joint) best(line []byte, cut int, done, whole bool) place {
	if len(j.carry) == 0 {
		return place{}
	}
	if cut >= 0 {
		line = line[:cut]
		done = done && !whole // what the kernel cut goes on behind its line
	}
	j.text = append(append(j.text[:0], j.carry...), line...)
	found, ok := j.scan.best(j.text, -1, done)
	found.final -= len(j.carry)
	return place{found: found, text: j.text, ok: ok}
}

// line is to be called with each whole line, without a match, its offset, and where
// it is cut.
func (j *joint) line(line []byte, off int64, cut int) {
	switch {
	case cut == 0:
	case cut > 0 && len(j.carry)+cut <= maxLine:
		if len(j.carry) == 0 {
			j.scan.reset()
		}
		j.parts = append(j.parts, part{at: len(j.carry), off: off})
		j.carry = append(j.carry, line[:cut]...)
	case len(j.carry) > 0:
		j.reset()
	}
}

// offset of index i of the joined line in the cleaned text; the current line is at off.
func (j *joint) offset(i int, off int64) int64 {
	if i >= len(j.carry) {
		return off + int64(i-len(j.carry))
	}
	n := sort.Search(len(j.parts), func(n int) bool { return j.parts[n].at > i }) - 1
	return j.parts[n].off + int64(i-j.parts[n].at)
}
