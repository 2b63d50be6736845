// Command b2c-runner runs a job on a board: it powers the board, is its network,
// boots it into boot2container, watches its console and reports JUnit.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Whatever ends this process must let it switch the board off first: also a
	// terminal that is closed, and a reader of its output that has left.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal kills at once
	os.Exit(Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
