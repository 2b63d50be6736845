package power

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// record keeps when a port was last switched off, across processes if it has a
// file. Within the process that did it the monotonic clock counts, else the wall
// clock, which may have been set in between.
type record struct {
	path string // "" is memory only
	last entry
}

// entry is the last thing that was done to a port. No State is nothing known.
type entry struct {
	Device string    `json:"device"`
	State  State     `json:"state"`
	Since  time.Time `json:"since"`
}

// maxRecord bounds a file that is read back.
const maxRecord = 4 << 10

func newRecord(dir, device string) *record {
	r := &record{last: entry{Device: device}}
	if dir != "" && device != "" {
		sum := sha256.Sum256([]byte(device))
		r.path = filepath.Join(dir, hex.EncodeToString(sum[:16])+".json")
	}
	return r
}

// note keeps that the port was switched just now. The memory is right even when
// the file could not be written.
func (r *record) note(state State) error {
	r.last.State, r.last.Since = state, time.Now()
	if r.path == "" {
		return nil
	}
	data, err := json.Marshal(r.last)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(r.path), ".power-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), r.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// load returns the last entry, whoever made it. A file that makes no sense is an
// entry of an unknown state.
func (r *record) load() entry {
	if r.path == "" {
		return r.last
	}
	f, err := os.Open(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return r.last
	}
	if err != nil {
		return entry{State: Unknown}
	}
	defer f.Close()
	var read entry
	data, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err != nil || json.Unmarshal(data, &read) != nil || read.Device != r.last.Device || (read.State != On && read.State != Off) {
		return entry{State: Unknown}
	}
	if read.State == r.last.State && read.Since.Equal(r.last.Since) {
		return r.last
	}
	return read
}

// wait is how much of offTime is left for a port that now reads as state.
func (r *record) wait(state State, offTime time.Duration) time.Duration {
	last := r.load()
	switch {
	case state == On || last.State == "":
		return 0
	case last.State == On && state == Unknown:
		return 0 // nobody switched it off
	case last.State == On || last.State == Unknown:
		return offTime // switched off by another hand, at an unknown moment
	}
	left := offTime - time.Since(last.Since)
	return min(max(left, 0), offTime)
}
