package console

import (
	"bytes"
	"slices"
)

// accepting marks a transition into a state at which a word ends.
const accepting = 1 << 31

// automaton finds many words in one pass (Aho–Corasick, as a complete table). It
// is a table of our own because a scan goes on over reads, must not allocate,
// and folds case for free; github.com/cloudflare/ahocorasick does none of these.
type automaton struct {
	class  [256]uint8 // bytes that no word tells apart share a class
	stride uint32
	next   []uint32 // next[state+class] is a state, times stride, or'ed with accepting
	ends   [][]int  // words that end at state/stride
	depth  []int    // bytes of the longest beginning of a word at state/stride
}

// newAutomaton is for words, none empty; with fold, ASCII letters match both cases.
func newAutomaton(words [][]byte, fold bool) *automaton {
	a := &automaton{stride: 1}
	for _, word := range words {
		for _, b := range word {
			if a.class[folded(b, fold)] == 0 {
				a.class[folded(b, fold)] = uint8(min(a.stride, 255))
				a.stride = min(a.stride+1, 256)
			}
		}
	}
	if a.stride == 256 { // every byte is told apart
		for b := range a.class {
			a.class[b] = folded(byte(b), fold)
		}
	} else if fold {
		for b := 'A'; b <= 'Z'; b++ {
			a.class[b] = a.class[b|0x20]
		}
	}
	a.grow(words)
	a.link()
	return a
}

func folded(b byte, fold bool) byte {
	if fold && b-'A' < 26 {
		return b | 0x20
	}
	return b
}

// state adds one and returns its index.
func (a *automaton) state(depth int) uint32 {
	a.next = append(a.next, make([]uint32, a.stride)...)
	a.ends = append(a.ends, nil)
	a.depth = append(a.depth, depth)
	return uint32(len(a.ends) - 1)
}

// grow builds the trie; a transition of 0 is none.
func (a *automaton) grow(words [][]byte) {
	a.state(0)
	for i, word := range words {
		s := uint32(0)
		for depth, b := range word {
			to := &a.next[s*a.stride+uint32(a.class[b])]
			if *to == 0 {
				added := a.state(depth + 1)
				to = &a.next[s*a.stride+uint32(a.class[b])]
				*to = added * a.stride
			}
			s = *to / a.stride
		}
		a.ends[s] = append(a.ends[s], i)
	}
}

// link completes the table: where the trie has no transition, that of the longest
// suffix which is also a beginning of a word.
func (a *automaton) link() {
	suffix := make([]uint32, len(a.ends))
	queue := make([]uint32, 0, len(a.ends))
	for _, to := range a.next[:a.stride] {
		if to != 0 {
			queue = append(queue, to/a.stride)
		}
	}
	for i := 0; i < len(queue); i++ {
		s := queue[i]
		if more := a.ends[suffix[s]]; len(more) > 0 {
			a.ends[s] = slices.Concat(a.ends[s], more)
		}
		for class := range a.stride {
			to, back := &a.next[s*a.stride+class], a.next[suffix[s]*a.stride+class]
			if *to == 0 {
				*to = back
				continue
			}
			suffix[*to/a.stride] = back / a.stride
			queue = append(queue, *to/a.stride)
		}
	}
	for i, to := range a.next {
		if len(a.ends[to/a.stride]) > 0 {
			a.next[i] |= accepting
		}
	}
}

// step goes from state s, which may carry accepting, over b.
func (a *automaton) step(s uint32, b byte) uint32 {
	return a.next[s&^accepting+uint32(a.class[b])]
}

// at lists the words that end in state s.
func (a *automaton) at(s uint32) []int { return a.ends[s&^accepting/a.stride] }

// held is how many of the last bytes may be the beginning of a word.
func (a *automaton) held(s uint32) int { return a.depth[s&^accepting/a.stride] }

// compact drops words that contain another one: for "is one of these in the
// text" they say nothing more.
func compact(words [][]byte) [][]byte {
	slices.SortFunc(words, func(a, b []byte) int { return len(a) - len(b) })
	var kept [][]byte
	for _, word := range words {
		if !slices.ContainsFunc(kept, func(k []byte) bool { return bytes.Contains(word, k) }) {
			kept = append(kept, word)
		}
	}
	return kept
}
