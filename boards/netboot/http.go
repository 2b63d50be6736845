package netboot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/netutil"
)

// How HTTP is served. A client that takes nothing for httpStall is gone.
const (
	httpHeaderTime = 10 * time.Second
	httpHeaderSize = 16 << 10
	httpIdle       = time.Minute
	httpStall      = time.Minute
	httpChunk      = 4 << 20
	httpConns      = 256 // at a time
)

// scriptName is the route of the script.
const scriptName = "boot.ipxe"

// base is the URL that boards fetch from.
func (s *Server) base() string { return "http://" + s.gateway().String() }

// serveHTTP serves the routes, and what Handle added, until ctx ends.
func (s *Server) serveHTTP(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           http.HandlerFunc(s.answerHTTP),
		ReadHeaderTimeout: httpHeaderTime,
		IdleTimeout:       httpIdle,
		MaxHeaderBytes:    httpHeaderSize,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	err := srv.Serve(netutil.LimitListener(l, httpConns))
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("failed to serve HTTP: %w", err)
}

// answerHTTP serves one request of a board that has an offer; for anybody else
// there is nothing here.
func (s *Server) answerHTTP(w http.ResponseWriter, r *http.Request) {
	b := s.boardAt(r.RemoteAddr)
	if b == nil || !isClean(r) {
		http.NotFound(w, r)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	t := &transfer{ResponseWriter: w, control: http.NewResponseController(w), offer: b.ctx}
	defer context.AfterFunc(b.ctx, func() {
		cancel()
		_ = t.control.SetWriteDeadline(time.Now())
	})()
	start, name := time.Now(), strings.TrimPrefix(r.URL.Path, "/")
	defer func() {
		p := recover()
		e := Event{Time: start, Kind: HTTP, MAC: b.MAC, Addr: b.Addr, File: printable(r.URL.Path), Bytes: t.sent,
			Took: time.Since(start), Detail: fmt.Sprintf("%s %d", printable(r.Method), max(t.status, http.StatusOK))}
		if name == scriptName {
			e.Kind, e.Detail = ScriptSent, "http"
		}
		if err := t.outcome(r); err != nil {
			e.Err = printable(err.Error())
		}
		if p != nil {
			e.Err = "aborted by the server"
		}
		s.emit(e)
		if p != nil {
			panic(p) // net/http ends the connection
		}
	}()
	content, err := b.lookup(name, s.base())
	switch {
	case err != nil:
		s.log.Error("failed to open a file for HTTP", "name", name, "error", err)
		http.NotFound(t, r)
	case content != nil:
		defer content.Close()
		serveBlob(t, r, content)
	default:
		s.mux.ServeHTTP(t, r.WithContext(ctx))
	}
}

func serveBlob(w http.ResponseWriter, r *http.Request, content *blob) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, content)
}

// isClean reports whether a path means what it says: no dot segments, no empty
// ones, nothing that is encoded without need.
func isClean(r *http.Request) bool {
	path, ok := strings.CutPrefix(r.URL.Path, "/")
	if !ok || r.URL.RawPath != "" {
		return false
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		last := i == len(segments)-1
		if s == "." || s == ".." || s == "" && !last {
			return false
		}
	}
	return true
}

// transfer counts what is sent, and gives a client that takes nothing up.
type transfer struct {
	http.ResponseWriter
	control *http.ResponseController
	offer   context.Context // ends when the offer is withdrawn
	status  int
	sent    int64
	err     error
}

// Unwrap serves http.ResponseController.
func (t *transfer) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (t *transfer) WriteHeader(status int) {
	if t.status < http.StatusOK {
		t.status = status
	}
	t.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (t *transfer) Write(p []byte) (int, error) {
	if err := t.extend(); err != nil {
		return 0, err
	}
	n, err := t.ResponseWriter.Write(p)
	t.note(int64(n), err)
	return n, err
}

// ReadFrom implements io.ReaderFrom in chunks, each with its own deadline. What it
// hands on is a LimitedReader over the file itself, which the kernel can send
// without a copy.
func (t *transfer) ReadFrom(r io.Reader) (int64, error) {
	source, left := r, int64(1<<62)
	if l, ok := r.(*io.LimitedReader); ok {
		source, left = l.R, l.N
	}
	var sent int64
	for left > 0 {
		if err := t.extend(); err != nil {
			return sent, err
		}
		chunk := min(left, httpChunk)
		n, err := io.Copy(t.ResponseWriter, &io.LimitedReader{R: source, N: chunk})
		t.note(n, err)
		sent, left = sent+n, left-n
		if err != nil || n < chunk {
			return sent, err
		}
	}
	return sent, nil
}

// extend gives the next piece its time, unless the offer was withdrawn.
func (t *transfer) extend() error {
	_ = t.control.SetWriteDeadline(time.Now().Add(httpStall))
	if t.offer.Err() != nil {
		t.note(0, errWithdrawn)
	}
	return t.err
}

func (t *transfer) note(n int64, err error) {
	t.sent += n
	if err != nil && t.offer.Err() != nil {
		err = errWithdrawn // and not what that did to the connection
	}
	if t.err == nil {
		t.err = err
	}
}

// outcome says why a transfer ended early, nil if it did not.
func (t *transfer) outcome(r *http.Request) error {
	switch {
	case t.status >= http.StatusBadRequest:
		return errors.New(strings.ToLower(http.StatusText(t.status)))
	case t.err != nil:
		return fmt.Errorf("aborted: %w", t.err)
	case r.Context().Err() != nil:
		return errors.New("aborted: the board hung up")
	}
	return nil
}
