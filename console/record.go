package console

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

var errRecording = errors.New("failed to write the console log")

// recorder writes what the board says to the log and the cast, secrets starred out.
type recorder struct {
	log    io.Writer
	masker *Masker
	epoch  time.Time
	mask   masking
	masked []byte
	column bool // the log's last line has text

	mu   sync.Mutex // the cast is also written by senders
	cast *cast
}

func newRecorder(log, castTo io.Writer, masker *Masker) *recorder {
	r := &recorder{log: log, masker: masker, mask: masking{m: masker}}
	if castTo != nil {
		r.cast = newCast(castTo, time.Now())
	}
	return r
}

// output records p and returns it masked, valid until the next call. What may be
// the beginning of a secret comes out with a later call.
func (r *recorder) output(p []byte, now time.Duration) ([]byte, error) {
	r.masked = r.mask.add(r.masked[:0], p)
	return r.masked, r.write(now)
}

// note records a line of our own and returns what was written, and how many bytes
// of that only ended the board's line.
func (r *recorder) note(text string, now time.Duration) (masked []byte, lead int, err error) {
	r.masked = r.mask.flush(r.masked[:0])
	if r.column || len(r.masked) > 0 {
		r.masked, lead = append(r.masked, "\r\n"...), 2
	}
	r.masked = append(append(r.masked, text...), "\r\n"...)
	return r.masked, lead, r.write(now)
}

// write records what is in masked. An error of the cast does not end the log.
func (r *recorder) write(now time.Duration) error {
	if len(r.masked) == 0 {
		return nil
	}
	r.column = r.masked[len(r.masked)-1] != '\n'
	if r.log != nil {
		if _, err := r.log.Write(r.masked); err != nil {
			return fmt.Errorf("%w: %w", errRecording, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cast != nil {
		r.cast.event(now, 'o', r.masked)
	}
	return nil
}

// input records what was typed.
func (r *recorder) input(text string, now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cast != nil {
		r.cast.event(now, 'i', []byte(r.masker.String(text)))
	}
}

// finish writes what was held back.
func (r *recorder) finish() error {
	r.masked = r.mask.flush(r.masked[:0])
	return r.write(time.Since(r.epoch))
}

// err is the cast's.
func (r *recorder) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cast == nil || r.cast.err == nil {
		return nil
	}
	return fmt.Errorf("failed to write the console's cast: %w", r.cast.err)
}
