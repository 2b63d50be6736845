package console

import (
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	readSize      = 16 << 10
	maxEmptyReads = 100
)

// read is the reader: it ends with the port.
func (s *Stream) read() {
	defer close(s.done)
	err := s.readAll()
	select {
	case <-s.closed:
		if errors.Is(err, errRecording) {
			break
		}
		err = nil
	default:
	}
	if recErr := s.rec.finish(); err == nil {
		err = recErr
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clean.finish()
	s.ended = true
	s.err = err
	s.wakeAll()
	for v := range s.viewers {
		v.put(s.rec.masked)
		v.end()
	}
}

// readAll reads until the port ends; a driver's panic counts as an end.
func (s *Stream) readAll() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: the port's driver panicked: %v", ErrLost, r)
		}
	}()
	buf := make([]byte, readSize)
	for empty := 0; ; {
		n, err := s.port.Read(buf)
		if n > 0 {
			empty = 0
			if err := s.take(buf[:n]); err != nil {
				return err
			}
		}
		if gap, ok := errors.AsType[*GapError](err); ok {
			if err := s.note(gap); err != nil {
				return err
			}
			continue
		}
		switch {
		case errors.Is(err, io.EOF):
			return s.lost(errors.New("the far end closed it"))
		case err != nil:
			return s.lost(err)
		case n == 0:
			if empty++; empty > maxEmptyReads {
				return s.lost(io.ErrNoProgress)
			}
		}
	}
}

// take records and publishes what was read.
func (s *Stream) take(p []byte) error {
	now := time.Since(s.made)
	masked, err := s.rec.output(p, now)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.lastByte = now
	s.clean.feed(p, int64(now))
	for v := range s.viewers {
		v.put(masked)
	}
	s.wakeAll()
	laggard := s.lagging(now)
	s.mu.Unlock()
	if laggard {
		s.yield(now)
	}
	return nil
}

// note puts a line of our own where the console was away.
func (s *Stream) note(gap *GapError) error {
	text := fmt.Sprintf("[b2c-runner: %v]", gap)
	now := time.Since(s.made)
	masked, lead, err := s.rec.note(text, now)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clean.note(text, lead, int64(now))
	for v := range s.viewers {
		v.put(masked)
	}
	s.wakeAll()
	return nil
}
