package console

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// sender is the only writer of a port: a Write that blocks (flow control, a dead
// adapter) must not block whoever asked for it beyond its context.
type sender struct {
	requests chan sendRequest
	group    sync.WaitGroup
	gone     chan struct{}
}

type sendRequest struct {
	ctx    context.Context
	text   string
	result chan error
}

// closeTime is how long Close waits for a Write that the port's Close did not end.
const closeTime = 2 * time.Second

func (s *sender) begin(stream *Stream, delay time.Duration) {
	s.requests = make(chan sendRequest)
	s.gone = make(chan struct{})
	s.group.Go(func() {
		defer close(s.gone)
		for {
			select {
			case <-stream.done:
				return
			case r := <-s.requests:
				r.result <- stream.write(r, delay)
			}
		}
	})
}

// wait is for the end of the sender.
func (s *sender) wait() {
	timer := time.NewTimer(closeTime)
	defer timer.Stop()
	select {
	case <-s.gone:
	case <-timer.C:
	}
}

// Send types text at the board, with Config.CharDelay between its bytes. Texts of
// several goroutines do not mix.
func (s *Stream) Send(ctx context.Context, text string) error {
	r := sendRequest{ctx: ctx, text: text, result: make(chan error, 1)}
	select {
	case s.sender.requests <- r:
	case <-s.done:
		return fmt.Errorf("failed to send to the console: %w", s.endErr())
	case <-ctx.Done():
		return fmt.Errorf("failed to send to the console: %w", context.Cause(ctx))
	}
	select {
	case err := <-r.result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("failed to send to the console: %w", context.Cause(ctx))
	case <-s.sender.gone: // after a request's result, if it was taken
	}
	select {
	case err := <-r.result:
		return err
	default:
		return fmt.Errorf("failed to send to the console: %w", s.endErr())
	}
}

// write is one Send, in the sender's goroutine; a driver's panic is an error.
func (s *Stream) write(r sendRequest, delay time.Duration) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("failed to send to the console: the port's driver panicked: %v", p)
		}
	}()
	if err := r.ctx.Err(); err != nil {
		return fmt.Errorf("failed to send to the console: %w", err)
	}
	s.rec.input(r.text, time.Since(s.made))
	if delay <= 0 {
		return s.put(r.text)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range len(r.text) {
		select {
		case <-timer.C:
		case <-r.ctx.Done():
			return fmt.Errorf("failed to send to the console: %w", context.Cause(r.ctx))
		case <-s.done:
			return fmt.Errorf("failed to send to the console: %w", s.endErr())
		}
		if err := s.put(r.text[i : i+1]); err != nil {
			return err
		}
		timer.Reset(delay)
	}
	return nil
}

func (s *Stream) put(text string) error {
	if _, err := s.port.Write([]byte(text)); err != nil {
		return fmt.Errorf("failed to send to the console: %w", err)
	}
	return nil
}
