package alarm

import (
	"regexp"
	"strings"
)

var (
	offset  = regexp.MustCompile(`\+0x[0-9a-f]+/0x[0-9a-f]+`)
	pointer = regexp.MustCompile(`\b(?:0x[0-9a-f]+|[0-9a-f]{8}|[0-9a-f]{16})\b`)
	number  = regexp.MustCompile(`\b\d+\b`)
)

// blur makes titles of the same fault equal: offsets go, addresses become ADDR,
// numbers NUM.
func blur(s string) string {
	s = offset.ReplaceAllString(s, "")
	s = pointer.ReplaceAllString(s, "ADDR")
	return number.ReplaceAllString(s, "NUM")
}

func clip(s string, limit int) string {
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "")
	}
	return s
}
