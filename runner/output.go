package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// output is the directory of one run's traces. The recordings at its top are
// those of the last attempt; earlier attempts lie in attempt-N.
type output struct {
	dir string
}

// recordings are the files that each attempt writes.
var recordings = []string{"console.log", "console.cast", "console.txt"}

// newOutput makes base/JOB/TIME-BOARD, and a new name if another run has taken it.
func newOutput(base, job, board string, at time.Time) (*output, error) {
	parent := filepath.Join(base, job)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, fmt.Errorf("failed to make the output directory: %w (try: --out DIR)", err)
	}
	name := at.UTC().Format("20060102T150405Z") + "-" + board
	for n := 1; ; n++ {
		dir := filepath.Join(parent, name)
		if n > 1 {
			dir += fmt.Sprintf("-%d", n)
		}
		err := os.Mkdir(dir, 0o755)
		if err == nil {
			return &output{dir: dir}, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("failed to make the output directory: %w (try: --out DIR)", err)
		}
	}
}

// create opens a new recording.
func (o *output) create(name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(o.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("failed to record the console: %w", err)
	}
	return f, nil
}

// keep moves the recordings of attempt n out of the way of the next one.
func (o *output) keep(n int) error {
	dir := filepath.Join(o.dir, fmt.Sprintf("attempt-%d", n))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("failed to keep attempt %d: %w", n, err)
	}
	for _, name := range recordings {
		err := os.Rename(filepath.Join(o.dir, name), filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("failed to keep attempt %d: %w", n, err)
		}
	}
	return nil
}
