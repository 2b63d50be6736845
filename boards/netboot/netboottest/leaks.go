package netboottest

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// ExpectNoGoroutines fails the test if goroutines that mention one of the words
// (function or package names) are still there after Patience.
func ExpectNoGoroutines(t testing.TB, words ...string) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for {
		left := goroutines(words)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%d goroutines are left:\n\n%s", len(left), strings.Join(left, "\n\n"))
			return
		}
		runtime.Gosched()
	}
}

func goroutines(words []string) []string {
	buf := make([]byte, 4<<20)
	all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	var found []string
	for _, g := range all[1:] { // the first is the caller
		for _, w := range words {
			if strings.Contains(g, w) {
				found = append(found, g)
				break
			}
		}
	}
	return found
}
