package strict

import (
	"slices"
	"strings"
)

// Suggest returns the candidate that word was probably meant to be, or "". The
// measure is the number of letters inserted, left out, replaced, or swapped with
// their neighbour (optimal string alignment).
func Suggest(word string, candidates []string) string {
	if len(word) > 100 {
		return ""
	}
	best, bestDistance := "", 1+min(3, max(1, len(word)/3))
	for _, c := range candidates {
		d := distance(strings.ToLower(word), strings.ToLower(c))
		if len(word) >= 4 && strings.HasPrefix(c, word) {
			d = 1
		}
		if d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// hint is the end of a message about a word that is none of the candidates.
func hint(word string, candidates []string) string {
	if s := Suggest(word, candidates); s != "" {
		return " (did you mean " + quote(s) + "?)"
	}
	if len(candidates) == 0 {
		return ""
	}
	known := slices.Sorted(slices.Values(candidates))
	return " (known: " + strings.Join(known, ", ") + ")"
}

func distance(a, b string) int {
	ra, rb := []rune(a), []rune(b)
	var before []int
	last := make([]int, len(rb)+1)
	for j := range last {
		last[j] = j
	}
	for i := range ra {
		row := make([]int, len(rb)+1)
		row[0] = i + 1
		for j := range rb {
			cost := 1
			if ra[i] == rb[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && ra[i] == rb[j-1] && ra[i-1] == rb[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(rb)]
}
