package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// The first byte that a client of a run's console socket sends.
const (
	AttachReadOnly = 'r'
	AttachTyping   = 'w'
)

// attachTail is how many past lines a client is shown first.
const attachTail = 20

// serveConsole lets others of this user watch the board's console while the run
// goes on, and type at it. The run itself is not disturbed: a slow client loses
// bytes, and is told so.
func (r *run) serveConsole(ctx context.Context) (stop func(), err error) {
	path := r.cfg.ConsoleSocket
	nothing := func() {}
	if path == "" {
		return nothing, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nothing, fmt.Errorf("failed to make the directory of console sockets: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nothing, fmt.Errorf("failed to offer the console to others: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var clients sync.WaitGroup
	clients.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			clients.Go(func() { r.attach(ctx, conn) })
		}
	})
	return func() {
		cancel()
		listener.Close()
		clients.Wait()
	}, nil
}

// attach serves one client until it leaves or the run ends.
func (r *run) attach(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var mode [1]byte
	if _, err := io.ReadFull(conn, mode[:]); err != nil {
		return
	}
	var typing sync.WaitGroup
	defer typing.Wait()
	typing.Go(func() {
		defer cancel()
		r.typed(ctx, conn, mode[0] == AttachTyping)
	})
	for {
		a, err := r.nextAttempt(ctx)
		if err != nil {
			return
		}
		live := a.stream.Subscribe(0)
		stop := context.AfterFunc(ctx, func() { live.Close() })
		_, err = fmt.Fprintf(conn, "%s\r\n", r.mask.String(strings.Join(a.stream.Tail(attachTail), "\r\n")))
		if err == nil {
			_, err = io.Copy(conn, live)
		}
		stop()
		live.Close()
		if n := live.Dropped(); n > 0 && err == nil {
			_, err = fmt.Fprintf(conn, "\r\n[b2c-runner: %d bytes were not shown, this terminal is too slow]\r\n", n)
		}
		if err == nil {
			_, err = io.WriteString(conn, "\r\n[b2c-runner: the board was switched off]\r\n")
		}
		if err != nil {
			return
		}
	}
}

// typed sends what a client types to the board, if it may.
func (r *run) typed(ctx context.Context, conn net.Conn, allowed bool) {
	buf := make([]byte, 1024)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if a := r.current.Load(); a != nil && allowed {
			if err := a.stream.Send(ctx, string(buf[:n])); err != nil && !errors.Is(err, context.Canceled) {
				r.log.Warn("failed to type for a client", "err", err)
			}
		}
	}
}

// nextAttempt waits for a powered attempt that it has not returned to this ctx's
// client yet: one ends with its stream.
func (r *run) nextAttempt(ctx context.Context) (*attempt, error) {
	for {
		r.poweredMu.Lock()
		changed := r.poweredChanged
		r.poweredMu.Unlock()
		if a := r.current.Load(); a != nil {
			select {
			case <-a.stream.Done():
			default:
				return a, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// setCurrent makes a, or nothing, the attempt whose board is powered.
func (r *run) setCurrent(a *attempt) {
	r.current.Store(a)
	r.poweredMu.Lock()
	defer r.poweredMu.Unlock()
	close(r.poweredChanged)
	r.poweredChanged = make(chan struct{})
}
