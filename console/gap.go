package console

import (
	"fmt"
	"time"
)

// GapError is what Read of a Port returns, with no bytes, once the console is
// back after it was away. It is not fatal: the next Read goes on. What the board
// said meanwhile is lost.
type GapError struct {
	Since time.Time     // when the loss was noticed
	For   time.Duration // how long it lasted
}

func (e *GapError) Error() string {
	return fmt.Sprintf("console was gone for %s", e.For.Round(time.Millisecond))
}
