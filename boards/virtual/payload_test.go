package virtual

import (
	"os/exec"
	"testing"
)

// TestPayloadOptions lets the payload's own shell test read kernel command lines
// with the parser of its /init.
func TestPayloadOptions(t *testing.T) {
	for _, shell := range [][]string{{"sh"}, {"busybox", "sh"}} {
		if _, err := exec.LookPath(shell[0]); err != nil {
			t.Logf("needs %s", shell[0])
			continue
		}
		out, err := exec.Command(shell[0], append(shell[1:], "payload/test_options.sh")...).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %v\n%s", shell, err, out)
		}
	}
}
