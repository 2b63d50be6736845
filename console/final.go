package console

import (
	"regexp/syntax"
	"unicode/utf8"
)

// threads is an ordered set of program counters, the first with the highest priority.
type threads struct {
	order []uint32
	in    []bool
}

func (t *threads) reset(n int) {
	if len(t.in) != n {
		t.in = make([]bool, n)
		t.order = make([]uint32, 0, n)
	}
	clear(t.in)
	t.order = t.order[:0]
}

// enter adds pc with the lowest priority.
func (t *threads) enter(pc uint32) {
	if !t.in[pc] {
		t.in[pc] = true
		t.order = append(t.order, pc)
	}
}

// finality decides when a match can no longer be changed by what follows on the
// line. Patterns whose matches vary in length need it: on `took 1` the pattern
// `took \d+` matches, but the line may become `took 12`.
type finality struct {
	now  threads // at instructions that take a rune, match, or ask for what is ahead
	from threads // where now is reached from
}

// at returns the length of the shortest prefix of text after which the match of
// leftmost-first search, as regexp does it, is fixed whatever follows; ok is
// false if text does not fix it.
func (f *finality) at(prog *syntax.Prog, text []byte) (length int, ok bool) {
	f.from.reset(len(prog.Inst))
	matched := false
	before := rune(-1)
	for i := 0; ; {
		ahead, size := utf8.DecodeRune(text[i:])
		f.follow(prog, before, ahead, false, matched)
		match, alive, asking := f.look(prog)
		if (matched || match) && !alive {
			return i, true
		}
		if size == 0 {
			return 0, false
		}
		if asking {
			f.follow(prog, before, ahead, true, matched)
			if match, alive, _ = f.look(prog); (matched || match) && !alive {
				return i + size, true
			}
		}
		matched = matched || match
		f.take(prog, ahead)
		before = ahead
		i += size
	}
}

// follow makes now of from, and of the program's start unless a match was found:
// a later start has a lower priority.
func (f *finality) follow(prog *syntax.Prog, before, ahead rune, known, matched bool) {
	f.now.reset(len(prog.Inst))
	for _, pc := range f.from.order {
		f.add(prog, pc, before, ahead, known)
	}
	if !matched {
		f.add(prog, uint32(prog.Start), before, ahead, known)
	}
}

// look drops what has a lower priority than a match. alive means that threads of
// a higher one go on, asking that some of them depend on what is ahead.
func (f *finality) look(prog *syntax.Prog) (match, alive, asking bool) {
	for i, pc := range f.now.order {
		switch prog.Inst[pc].Op {
		case syntax.InstMatch:
			f.now.order = f.now.order[:i]
			return true, alive, asking
		case syntax.InstEmptyWidth:
			asking = true
		}
		alive = true
	}
	return false, alive, asking
}

// take makes from of the threads in now that take r.
func (f *finality) take(prog *syntax.Prog, r rune) {
	f.from.reset(len(prog.Inst))
	for _, pc := range f.now.order {
		if inst := &prog.Inst[pc]; inst.Op != syntax.InstEmptyWidth && inst.MatchRune(r) {
			f.from.enter(inst.Out)
		}
	}
}

// add follows pc to the instructions that now has, between the runes before and
// ahead; unless the latter is known, an assertion that asks for it stays.
func (f *finality) add(prog *syntax.Prog, pc uint32, before, ahead rune, known bool) {
	if f.now.in[pc] {
		return
	}
	f.now.in[pc] = true
	inst := &prog.Inst[pc]
	switch inst.Op {
	case syntax.InstFail:
	case syntax.InstAlt, syntax.InstAltMatch:
		f.add(prog, inst.Out, before, ahead, known)
		f.add(prog, inst.Arg, before, ahead, known)
	case syntax.InstNop, syntax.InstCapture:
		f.add(prog, inst.Out, before, ahead, known)
	case syntax.InstEmptyWidth:
		asked := syntax.EmptyOp(inst.Arg)
		behind := asked & (syntax.EmptyBeginLine | syntax.EmptyBeginText)
		missing := asked &^ syntax.EmptyOpContext(before, ahead)
		switch {
		case missing&behind != 0:
		case !known && asked != behind:
			f.now.order = append(f.now.order, pc)
		case missing == 0:
			f.add(prog, inst.Out, before, ahead, known)
		}
	default:
		f.now.order = append(f.now.order, pc)
	}
}
