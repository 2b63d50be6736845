package boards

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Holder says who uses a board.
type Holder struct {
	PID   int       `json:"pid"`
	User  string    `json:"user,omitempty"`
	What  string    `json:"what"` // the job, or the command
	Since time.Time `json:"since"`
}

func (h Holder) String() string {
	return fmt.Sprintf("%s (pid %d, user %s, since %s)", h.What, h.PID, h.User, h.Since.Format(time.TimeOnly))
}

// ErrHeld is that another process uses the board.
var ErrHeld = errors.New("board is in use")

// lockPoll is how often a waiting process looks whether the board is free.
const lockPoll = 200 * time.Millisecond

// Lock makes this process the one user of the board name; release gives it back,
// and so does the kernel when the process dies (fcntl(2), open file description
// locks). With wait it waits its turn until
// ctx ends.
func Lock(ctx context.Context, dir, name string, me Holder, wait bool) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("failed to make the directory of locks: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, name+".lock"), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("failed to lock board %q: %w", name, err)
	}
	for {
		err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EAGAIN) || !wait {
			f.Close()
			return nil, held(dir, name, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("%w: %w", held(dir, name, unix.EAGAIN), ctx.Err())
		case <-time.After(lockPoll):
		}
	}
	data, err := json.Marshal(me)
	if err == nil {
		err = errors.Join(f.Truncate(0), writeAt(f, data))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("failed to lock board %q: %w", name, err)
	}
	return func() {
		_ = f.Truncate(0) // the lock itself is what counts
		f.Close()
	}, nil
}

func writeAt(f *os.File, data []byte) error {
	_, err := f.WriteAt(data, 0)
	return err
}

func held(dir, name string, err error) error {
	if !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("failed to lock board %q: %w", name, err)
	}
	by := "another process"
	if h, ok := HeldBy(dir, name); ok {
		by = h.String()
	}
	return fmt.Errorf("%w: %q by %s (try: --wait)", ErrHeld, name, by)
}

// HeldBy says who uses a board; ok is false if nobody does.
func HeldBy(dir, name string) (h Holder, ok bool) {
	f, err := os.Open(filepath.Join(dir, name+".lock"))
	if err != nil {
		return Holder{}, false
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock); err != nil || lock.Type == unix.F_UNLCK {
		return Holder{}, false
	}
	return h, json.NewDecoder(f).Decode(&h) == nil
}
