package console

import (
	"regexp/syntax"
	"unicode"
	"unicode/utf8"
)

const (
	maxLiteral  = 32 // bytes of a literal that are looked for
	maxLiterals = 16 // alternatives of one pattern
)

// literals is a set of which every match of re contains at least one, in lower
// case; nil if there is no such set.
func literals(re *syntax.Regexp) [][]byte {
	best, exact := required(re)
	return better(best, exact)
}

// required returns a set of which every match contains one, and, if re matches
// just one text (but for the case of its letters), that text as the only exact one.
func required(re *syntax.Regexp) (best, exact [][]byte) {
	switch re.Op {
	case syntax.OpLiteral:
		return ofRunes(re.Rune, re.Flags&syntax.FoldCase != 0)
	case syntax.OpCharClass:
		return nil, ofClass(re.Rune)
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText,
		syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return nil, [][]byte{{}}
	case syntax.OpCapture:
		return required(re.Sub[0])
	case syntax.OpPlus:
		best, exact = required(re.Sub[0])
		return better(best, exact), nil
	case syntax.OpRepeat:
		if re.Min == 0 {
			return nil, nil
		}
		best, exact = required(re.Sub[0])
		return better(best, exact), nil
	case syntax.OpConcat:
		return ofConcat(re.Sub)
	case syntax.OpAlternate:
		return ofAlternate(re.Sub), nil
	default:
		return nil, nil
	}
}

// ofRunes is of a literal. Under fold, k and s also match runes that are not
// ASCII (U+212A, U+017F), and other runes fold to what no table here knows:
// such a rune ends a run.
func ofRunes(runes []rune, fold bool) (best, exact [][]byte) {
	var run []byte
	whole := true
	for _, r := range runes {
		if fold && (r >= utf8.RuneSelf || unicode.SimpleFold(r|0x20) >= utf8.RuneSelf || unicode.SimpleFold(r&^0x20) >= utf8.RuneSelf) {
			best = better(best, [][]byte{run})
			run, whole = nil, false
			continue
		}
		run = utf8.AppendRune(run, lower(r))
	}
	if whole {
		return nil, [][]byte{run}
	}
	return better(best, [][]byte{run}), nil
}

// ofClass is exact if the class is one rune, or both cases of one.
func ofClass(ranges []rune) [][]byte {
	if len(ranges) == 0 || len(ranges) > 4 {
		return nil
	}
	r := lower(ranges[0])
	for i := 0; i < len(ranges); i += 2 {
		if ranges[i] != ranges[i+1] || lower(ranges[i]) != r {
			return nil
		}
	}
	return [][]byte{utf8.AppendRune(nil, r)}
}

func ofConcat(subs []*syntax.Regexp) (best, exact [][]byte) {
	run, whole := []byte{}, true
	for _, sub := range subs {
		b, e := required(sub)
		if len(e) == 1 {
			run = append(run, e[0]...)
			continue
		}
		best = better(better(best, b), [][]byte{run})
		run, whole = nil, false
	}
	if whole {
		return nil, [][]byte{run}
	}
	return better(best, [][]byte{run}), nil
}

func ofAlternate(subs []*syntax.Regexp) [][]byte {
	var all [][]byte
	for _, sub := range subs {
		set := better(required(sub))
		if set == nil {
			return nil
		}
		if all = append(all, set...); len(all) > maxLiterals {
			return nil
		}
	}
	return compact(all)
}

// better is the set whose shortest literal is longer, each cut to maxLiteral;
// a set with an empty literal is none.
func better(a, b [][]byte) [][]byte {
	if shortest(b) > shortest(a) {
		a = b
	}
	if shortest(a) == 0 {
		return nil
	}
	cut := make([][]byte, len(a))
	for i, word := range a {
		cut[i] = word[:min(len(word), maxLiteral)]
	}
	return cut
}

func shortest(set [][]byte) int {
	if len(set) == 0 {
		return 0
	}
	n := maxLiteral
	for _, word := range set {
		n = min(n, len(word))
	}
	return n
}

func lower(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r | 0x20
	}
	return r
}

// fixedLength reports whether all matches of re have the same number of runes, so
// that what follows a match cannot change it.
func fixedLength(re *syntax.Regexp) bool {
	_, ok := runes(re)
	return ok
}

func runes(re *syntax.Regexp) (n int, ok bool) {
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune), true
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1, true
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpBeginText:
		return 0, true
	case syntax.OpCapture:
		return runes(re.Sub[0])
	case syntax.OpRepeat:
		n, ok = runes(re.Sub[0])
		return n * re.Min, ok && re.Min == re.Max
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			k, fixed := runes(sub)
			if !fixed {
				return 0, false
			}
			n += k
		}
		return n, true
	case syntax.OpAlternate:
		n, ok = runes(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			if k, fixed := runes(sub); !ok || !fixed || k != n {
				return 0, false
			}
		}
		return n, ok
	default:
		return 0, false
	}
}
