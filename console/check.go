package console

import (
	"fmt"
	"regexp/syntax"
	"slices"
)

// Check refuses a pattern that does not compile (RE2), that needs a line break
// (matching is line by line, so that such a match would be missed), or that
// needs a character which is removed before matching. A class such as \s or [^x]
// is taken, and means the characters of one line.
func Check(pattern string) error {
	_, err := parse(pattern)
	return err
}

func parse(pattern string) (*syntax.Regexp, error) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("failed to parse pattern %q: %w", pattern, err)
	}
	if crossesLines(re) {
		return nil, fmt.Errorf("pattern %q needs a line break, but the console is matched line by line (try: an expect for each line, and $ for the end)", pattern)
	}
	if r := removed(re); r >= 0 {
		return nil, fmt.Errorf("pattern %q needs the character %q, which is removed before matching (try: leave it out)", pattern, r)
	}
	return re, nil
}

// Lint warns of a valid pattern that is slow on every line.
func Lint(pattern string) []string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	var warnings []string
	if first := head(re); (first.Op == syntax.OpStar || first.Op == syntax.OpPlus) && first.Sub[0].Op == syntax.OpAnyCharNotNL {
		warnings = append(warnings, "begins with .* or .+, which is slow and not needed: a pattern may match anywhere on a line")
	}
	if folds(re) {
		warnings = append(warnings, "ignores case, which is slow (try: spell the word as the board prints it)")
	}
	if shortest(literals(re)) < 3 {
		warnings = append(warnings, "has no word of three or more characters that every match contains: it is tried on every line")
	}
	return warnings
}

// crossesLines reports whether re cannot do without a line break, or says with
// (?s) that it wants to run over them.
func crossesLines(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpQuest, syntax.OpStar:
		return re.Sub[0].Op == syntax.OpAnyChar
	case syntax.OpAnyChar:
		return true
	case syntax.OpLiteral:
		return slices.Contains(re.Rune, '\n')
	case syntax.OpCharClass:
		return slices.Equal(re.Rune, []rune{'\n', '\n'})
	default:
		return slices.ContainsFunc(re.Sub, crossesLines)
	}
}

// removed is a character that every match contains and no cleaned line does, or -1.
func removed(re *syntax.Regexp) rune {
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if r != '\t' && r < 0x20 || r >= 0x7f && r <= 0x9f {
				return r
			}
		}
	case syntax.OpCapture, syntax.OpPlus, syntax.OpConcat:
		for _, sub := range re.Sub {
			if r := removed(sub); r >= 0 {
				return r
			}
		}
	case syntax.OpRepeat:
		if re.Min > 0 {
			return removed(re.Sub[0])
		}
	case syntax.OpAlternate:
		r := rune(-1)
		for _, sub := range re.Sub {
			if r = removed(sub); r < 0 {
				return -1
			}
		}
		return r
	}
	return -1
}

// head is the first element that takes text.
func head(re *syntax.Regexp) *syntax.Regexp {
	switch {
	case re.Op == syntax.OpCapture:
		return head(re.Sub[0])
	case re.Op == syntax.OpConcat:
		for _, sub := range re.Sub {
			switch sub.Op {
			case syntax.OpBeginLine, syntax.OpBeginText, syntax.OpEmptyMatch:
			default:
				return head(sub)
			}
		}
	}
	return re
}

// folds reports whether re ignores the case of a word; [dD] is not meant.
func folds(re *syntax.Regexp) bool {
	return re.Flags&syntax.FoldCase != 0 && re.Op == syntax.OpLiteral && len(re.Rune) > 1 || slices.ContainsFunc(re.Sub, folds)
}
