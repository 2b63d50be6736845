package console

import "errors"

// The ways in which waiting for a board ends without what was waited for. Each
// is wrapped with its detail: how long, since when, and the last line seen.
var (
	// ErrLost: the port ended (unplugged for good, far end closed, QEMU died).
	ErrLost = errors.New("console lost")
	// ErrSilence: the board sent no byte for the time asked.
	ErrSilence = errors.New("console silent")
	// ErrDeadline: the absolute deadline passed; output does not extend it.
	ErrDeadline = errors.New("deadline passed")
)
