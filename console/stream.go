package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Config is how a Stream records and matches; the zero value works.
type Config struct {
	Log       io.Writer     // the raw bytes, secrets starred out: written first and once; nil: none
	Cast      io.Writer     // an asciicast v2 recording; nil: none
	Start     time.Time     // zero of Line.At; zero: now
	CharDelay time.Duration // pause between the characters sent, for slow UARTs
	Secrets   []string      // never written to Log, Cast or a Viewer
	Logger    *slog.Logger  // nil: discard
	History   int           // bytes of cleaned text kept for cursors; 0: 1 MiB
}

const defaultHistory = 1 << 20

// Stream is the only reader of a board's console. It records first, then cleans
// the text and keeps the newest of it for any number of cursors and viewers, none
// of which can stall it.
type Stream struct {
	port   Port
	log    *slog.Logger
	rec    *recorder
	sender sender
	made   time.Time
	done   chan struct{} // the reader has ended
	closed chan struct{} // Close was called
	once   sync.Once

	mu       sync.Mutex
	clean    *cleaner
	hist     *history
	start    time.Duration // of Line.At zero, since made
	lastByte time.Duration // since made
	waiting  []*Cursor
	working  []*Cursor
	pressed  bool
	relief   chan struct{}
	viewers  map[*Viewer]struct{}
	ended    bool
	err      error
}

// NewStream starts reading port, which it then owns.
func NewStream(port Port, cfg Config) *Stream {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.History <= 0 {
		cfg.History = defaultHistory
	}
	masker := NewMasker(cfg.Secrets)
	s := &Stream{
		port:    port,
		log:     cfg.Logger,
		rec:     newRecorder(cfg.Log, cfg.Cast, masker),
		made:    time.Now(),
		done:    make(chan struct{}),
		closed:  make(chan struct{}),
		hist:    newHistory(cfg.History),
		relief:  make(chan struct{}, 1),
		viewers: map[*Viewer]struct{}{},
	}
	s.rec.epoch = s.made
	s.clean = newCleaner(s.hist)
	if !cfg.Start.IsZero() {
		s.start = cfg.Start.Sub(s.made)
	}
	s.sender.begin(s, cfg.CharDelay)
	go s.read()
	return s
}

// Close closes the port, waits for the reader and ends the recordings. Its error
// is that of the port's Close or of a recording.
func (s *Stream) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closed)
		err = s.port.Close()
	})
	<-s.done
	s.sender.wait()
	return errors.Join(err, s.rec.err())
}

// Done is closed when the reader has ended.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Err says, after Done, why the reader ended: nil after Close, else ErrLost with
// the cause, or the error of writing the log (a full disk).
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// SetStart moves the zero of Line.At, usually to power-on.
func (s *Stream) SetStart(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start = t.Sub(s.made)
}

// Tail returns the last n lines, the unfinished one included if it has text.
func (s *Stream) Tail(n int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.hist.last()
	if len(s.hist.open()) == 0 {
		last--
	}
	var lines []string
	for i := max(s.hist.first, last-n+1); i <= last; i++ {
		lines = append(lines, string(s.lineText(i)))
	}
	return lines
}

// lineText is line i without its newline; the lock is held.
func (s *Stream) lineText(i int) []byte {
	if i == s.hist.last() {
		return s.hist.open()
	}
	return s.hist.slice(s.hist.mark(i).off, s.hist.mark(i+1).off-1)
}

// lost is ErrLost with its detail.
func (s *Stream) lost(cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Errorf("%w %s after the start: %w (last line %q)", ErrLost,
		(time.Since(s.made) - s.start).Round(time.Millisecond), cause, s.lastLine())
}

// lastLine is the newest line that has text, cut to what an error can carry; the
// lock is held.
func (s *Stream) lastLine() string {
	for i := s.hist.last(); i >= s.hist.first; i-- {
		if text := s.lineText(i); len(text) > 0 {
			return string(text[:min(len(text), 200)])
		}
	}
	return ""
}

// Silent blocks until no byte came for d, counted from the call at the earliest,
// and then returns ErrSilence; a lost console or the end of ctx ends it as well.
func (s *Stream) Silent(ctx context.Context, d time.Duration) error {
	begin := time.Since(s.made)
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.done:
			return s.endErr()
		case <-timer.C:
		}
		s.mu.Lock()
		since, last := max(begin, s.lastByte), s.lastLine()
		s.mu.Unlock()
		left := since + d - time.Since(s.made)
		if left <= 0 {
			return fmt.Errorf("%w for %s (last line %q)", ErrSilence, d, last)
		}
		timer.Reset(left)
	}
}

// endErr is why nothing more will come.
func (s *Stream) endErr() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason()
}

// reason is endErr; the lock is held.
func (s *Stream) reason() error {
	if s.err == nil {
		return fmt.Errorf("%w: closed by us", ErrLost)
	}
	return s.err
}
