package console

import (
	"bytes"
	"slices"
)

// stamp parses what printk puts before a line: an optional level (`<6>`), the
// time (`[   12.345678]`, kernel/printk/printk.c print_time) and an optional
// caller (`[   T12]`). It returns the length up to the text, and the time in
// microseconds; length 0 if s begins otherwise, and then more if s is too short
// to tell.
func stamp(s []byte) (length int, micros int64, more bool) {
	i := 0
	if len(s) > 0 && s[0] == '<' {
		for i = 1; i < len(s) && i <= 3 && isDigit(s[i]); i++ {
		}
		if i == len(s) {
			return 0, 0, true
		}
		if i == 1 || s[i] != '>' {
			return 0, 0, false
		}
		i++
	}
	if i == len(s) || s[i] != '[' {
		return 0, 0, i == len(s)
	}
	for i++; i < len(s) && s[i] == ' '; i++ {
	}
	seconds := i
	for ; i < len(s) && i-seconds < 10 && isDigit(s[i]); i++ {
		micros = 10*micros + int64(s[i]-'0')
	}
	if i == len(s) || i == seconds || s[i] != '.' {
		return 0, 0, i == len(s)
	}
	point := i
	for i++; i < len(s) && i-point <= 6 && isDigit(s[i]); i++ {
		micros = 10*micros + int64(s[i]-'0')
	}
	if i == len(s) || i-point <= 6 || s[i] != ']' {
		return 0, 0, i == len(s)
	}
	i++
	if i < len(s) && s[i] == '[' {
		end := bytes.IndexByte(s[i:min(len(s), i+maxCaller)], ']')
		if end < 0 {
			return 0, 0, len(s)-i < maxCaller
		}
		i += end + 1
	}
	if i < len(s) && s[i] != ' ' {
		return 0, 0, false
	}
	return i, micros, false
}

func isDigit(b byte) bool { return b-'0' < 10 }

func isNoise(s []byte) bool {
	n, _, _ := stamp(s)
	return n > 0
}

// findNoise is where on a line a kernel line begins: the kernel prints wherever
// the cursor stands, to the end of the line; -1 if none does.
func findNoise(line []byte) int {
	for from := 0; ; from++ {
		i := bytes.IndexByte(line[from:], '[')
		if i < 0 {
			return -1
		}
		from += i
		if !isNoise(line[from:]) {
			continue
		}
		if from > 0 && line[from-1] == '>' { // a level before the stamp
			for j := from - 2; j >= 0 && j >= from-5; j-- {
				if line[j] == '<' && isNoise(line[j:]) {
					return j
				}
			}
		}
		return from
	}
}

// maxStamp and maxCaller are the longest stamp and the longest caller in it.
const (
	maxStamp  = 48
	maxCaller = 16
)

// findCut is where the text of a line ends that the kernel has cut or, if the
// line is not whole, may be about to cut; -1 if nowhere.
func findCut(line []byte, whole bool) int {
	if k := findNoise(line); k >= 0 || whole {
		return k
	}
	for k := max(0, len(line)-maxStamp); k < len(line); k++ {
		if _, _, more := stamp(line[k:]); more {
			return k
		}
	}
	return -1
}

// noise is a kernel line within other text.
type noise struct {
	at  int // offset of its begin in the text
	end int // behind its newline
}

// clockSlack in microseconds: processors take a line's time before its place in
// the kernel's log, so that times of neighbours can be swapped.
const clockSlack = 10_000

// findAll lists the kernel lines in text that follows upon before. A line older
// than newest, the time of the newest one before, or printed there already, is a
// replay (dmesg) and belongs to the text.
func findAll(text, before []byte, newest int64) []noise {
	var all []noise
	for at := 0; at < len(text); {
		end := len(text)
		if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		for from := at; ; {
			k := findNoise(text[from:end])
			if k < 0 {
				break
			}
			line := text[from+k : end]
			n, micros, _ := stamp(line)
			if micros > newest || micros >= newest-clockSlack && !bytes.Contains(before, line) {
				newest = max(newest, micros)
				all = append(all, noise{at: from + k, end: end})
				break
			}
			from += k + n
		}
		at = end
	}
	return all
}

// without is text with the kernel lines taken out: what was before and behind
// them is joined.
func without(text []byte, all []noise) []byte {
	if len(all) == 0 {
		return text
	}
	joined := make([]byte, 0, len(text))
	at := 0
	for _, n := range all {
		joined = append(joined, text[at:n.at]...)
		at = n.end
	}
	return slices.Clip(append(joined, text[at:]...))
}
