// Package console is what a board says: its serial port, the one stream that
// reads it, matching, and recording.
package console

import "io"

// Port is a board's console. Read blocks until there is a byte; Close, from any
// goroutine, ends a blocked Read. A port that the far end closed reads io.EOF.
type Port interface {
	io.ReadWriteCloser
}
