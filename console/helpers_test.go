package console_test

import (
	"regexp"
	"syscall"

	expect "github.com/google/goexpect"
)

// sessionLeader gives a command the terminal that is its standard input.
var sessionLeader = &syscall.SysProcAttr{Setsid: true, Setctty: true}

// quoted is a case for text as it stands.
func quoted(text string) *expect.BCase { return ok(regexp.QuoteMeta(text)) }
