package console

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// serveOnce gives each connection of a listener to the test, in order.
func serveOnce(t *testing.T, network, address string) (net.Listener, <-chan net.Conn) {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn)
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			select {
			case conns <- conn:
			case <-t.Context().Done():
				conn.Close()
			}
		}
	}()
	t.Cleanup(func() { listener.Close(); <-served })
	return listener, conns
}

func TestSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "board")
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			address := path
			if network == "tcp" {
				address = "127.0.0.1:0"
			}
			listener, boards := serveOnce(t, network, address)
			spec := Spec{Unix: path}
			if network == "tcp" {
				spec = Spec{TCP: listener.Addr().String()}
			}
			port := dialFor(t, spec)
			board := <-boards
			exchange(t, port, board)
			expectClosed(t, port)
			board.Close()

			port = dialFor(t, spec)
			board = <-boards
			writeAll(t, board, []byte("bye"))
			board.Close()
			if got := readAll(t, port, 3); string(got) != "bye" {
				t.Errorf("read %q", got)
			}
			if _, err := port.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("Read after the far end closed: %v, want EOF", err)
			}
		})
	}
}

func TestConnectErrorsAdvise(t *testing.T) {
	host, port := freeAddress(t)
	dir := t.TempDir()
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "stale")})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	for _, test := range []struct {
		spec Spec
		want string
	}{
		{Spec{TCP: net.JoinHostPort(host, port)}, "is the console server running"},
		{Spec{Telnet: net.JoinHostPort(host, port)}, "is the console server running"},
		{Spec{RFC2217: net.JoinHostPort(host, port)}, "is the console server running"},
		{Spec{TCP: "board.invalid:2000"}, "try: its IP address"},
		{Spec{Unix: filepath.Join(dir, "none")}, "start the program that serves it"},
		{Spec{Unix: filepath.Join(dir, "stale")}, "start the program that serves it"},
		{Spec{Unix: filepath.Join(dir, strings.Repeat("x", 120))}, "shorter than 108"},
		{Spec{Exec: []string{filepath.Join(dir, "none")}}, "no such file"},
	} {
		port, err := Dial(t.Context(), test.spec, nil)
		if err == nil {
			port.Close()
			t.Errorf("Dial(%+v) succeeded", test.spec)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("Dial(%+v): %v, want %q in it", test.spec, err, test.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	listener, _ := serveOnce(t, "tcp", "127.0.0.1:0")
	address := listener.Addr().String()
	for _, spec := range []Spec{{TCP: address}, {Telnet: address}, {RFC2217: address}, {Exec: []string{"cat"}}} {
		if _, err := Dial(ctx, spec, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("Dial(%+v) with a canceled context: %v", spec, err)
		}
	}
}

// TestDialOutlivesItsContext: the context is for the opening only.
func TestDialOutlivesItsContext(t *testing.T) {
	listener, boards := serveOnce(t, "tcp", "127.0.0.1:0")
	for _, spec := range []Spec{{TCP: listener.Addr().String()}, {Exec: []string{"cat"}}} {
		ctx, cancel := context.WithCancel(t.Context())
		port, err := Dial(ctx, spec, nil)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if spec.TCP != "" {
			board := <-boards
			defer board.Close()
			exchange(t, port, board)
		} else {
			writeAll(t, port, []byte("still here"))
			readAll(t, port, 10)
		}
		port.Close()
	}
}
