package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// patience bounds every wait of these tests; none of them is expected to last.
const patience = 20 * time.Second

// everyByte is all that a transport could mistake for something else.
func everyByte() []byte {
	b := []byte("\r\x00\r\n\n\r\xff\xff\xff\xf0\xff\xfa\x2c\r\r\x00")
	for i := range 256 {
		b = append(b, byte(i), '\r', byte(i), 0xff, byte(i))
	}
	return b
}

func dialFor(t *testing.T, spec Spec) Port {
	t.Helper()
	port, err := Dial(t.Context(), spec, nil)
	if err != nil {
		t.Fatalf("Dial(%+v): %v", spec, err)
	}
	t.Cleanup(func() { port.Close() })
	return port
}

// readAll reads n bytes from r; what keeps a test from hanging is closing it.
func readAll(t *testing.T, r io.ReadCloser, n int) []byte {
	t.Helper()
	alarm := time.AfterFunc(patience, func() { r.Close() })
	defer alarm.Stop()
	b := make([]byte, n)
	for got := 0; got < n; {
		m, err := r.Read(b[got:])
		got += m
		if err != nil {
			t.Fatalf("Read after %q: %v", b[:got], err)
		}
	}
	return b
}

func writeAll(t *testing.T, w io.Writer, b []byte) {
	t.Helper()
	if n, err := w.Write(b); err != nil || n != len(b) {
		t.Fatalf("Write: %d of %d bytes, %v", n, len(b), err)
	}
}

// exchange sends everything in both directions between a console and its board.
func exchange(t *testing.T, console, board io.ReadWriteCloser) {
	t.Helper()
	all := everyByte()
	writeAll(t, board, all)
	if got := readAll(t, console, len(all)); !bytes.Equal(got, all) {
		t.Errorf("board said\n%q, the console read\n%q", all, got)
	}
	writeAll(t, console, all)
	if got := readAll(t, board, len(all)); !bytes.Equal(got, all) {
		t.Errorf("console sent\n%q, the board read\n%q", all, got)
	}
}

// expectClosed checks that Close ends a blocked Read, and how that reads.
func expectClosed(t *testing.T, port Port) {
	t.Helper()
	failed := make(chan error)
	go func() {
		_, err := port.Read(make([]byte, 1))
		failed <- err
	}()
	if err := port.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	select {
	case err := <-failed:
		if !errors.Is(err, os.ErrClosed) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close: %v, want a closed error", err)
		}
	case <-time.After(patience):
		t.Fatal("Close did not end Read")
	}
	if err := port.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

// boardPTY is a board's end of a pseudo-terminal and the name of the other end.
func boardPTY(t testing.TB) (*os.File, string) {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := term.MakeRaw(int(slave.Fd())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close(); slave.Close() })
	return master, slave.Name()
}

func need(t *testing.T, tool string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/usr/local/sbin/"} {
		if path, err := exec.LookPath(dir + tool); err == nil {
			return path
		}
	}
	t.Skip("needs " + tool)
	return ""
}

// process is a tool that a test starts and ends.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	out  bytes.Buffer
}

func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() && p.out.Len() > 0 {
			t.Logf("%s said: %s", name, p.out.String())
		}
	})
	return p
}

func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.done
}

// eventually waits for what another process does.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("gave up waiting: %s", what)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// freeAddress is a loopback address on which a tool can listen.
func freeAddress(t *testing.T) (host, port string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	host, port, err = net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// listens tells whether a TCP port of the loopback is listened on, without
// connecting to it (proc(5), state 0A).
func listens(t *testing.T, port string) bool {
	t.Helper()
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Skip("needs /proc/net/tcp")
	}
	return strings.Contains(string(table), fmt.Sprintf(":%04X 00000000:0000 0A ", number))
}

func lineSpeed(t *testing.T, tty *os.File) uint32 {
	t.Helper()
	settings, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS2)
	if err != nil {
		t.Fatal(err)
	}
	return settings.Ospeed
}

func TestSpecCheck(t *testing.T) {
	yes := true
	for _, test := range []struct {
		spec Spec
		want []string // in the error; none: it is good
	}{
		{Spec{Serial: "/dev/ttyUSB0", Baud: 3_000_000, DTR: &yes}, nil},
		{Spec{USB: "0403:6011"}, nil},
		{Spec{USB: "0403:6011:FT4PWSEK:2"}, nil},
		{Spec{TCP: "[::1]:2000"}, nil},
		{Spec{Exec: []string{"ssh", "-tt", "desk"}}, nil},
		{Spec{}, []string{"no driver", "rfc2217"}},
		{Spec{TCP: "a:1", Exec: []string{"cat"}}, []string{"more than one driver: tcp, exec"}},
		{Spec{TCP: "localhost"}, []string{`bad console tcp "localhost"`, "HOST:PORT"}},
		{Spec{USB: "FTDI"}, []string{"VID:PID"}},
		{Spec{Unix: "/x", Baud: -1, RTS: &yes}, []string{"baud -1", "dtr or rts"}},
		{Spec{Exec: []string{"", "x"}}, []string{"its command is empty"}},
	} {
		err := test.spec.Check()
		if (err == nil) != (test.want == nil) {
			t.Errorf("Check(%+v) = %v", test.spec, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("Check(%+v) = %q, want %q in it", test.spec, err, want)
			}
		}
	}
}

func TestDevice(t *testing.T) {
	dir := t.TempDir()
	node, link := filepath.Join(dir, "tty"), filepath.Join(dir, "by-id")
	if err := errors.Join(os.WriteFile(node, nil, 0o600), os.Symlink(node, link)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		a, b Spec
		same bool
	}{
		{Spec{Serial: node}, Spec{Serial: link, Baud: 9600}, true},
		{Spec{Serial: node}, Spec{Serial: node + "2"}, false},
		{Spec{Telnet: "Desk:2000"}, Spec{RFC2217: "desk:2000"}, true},
		{Spec{TCP: "desk:2000"}, Spec{TCP: "desk:2001"}, false},
		{Spec{Unix: node}, Spec{Unix: link}, true},
		{Spec{Exec: []string{"ssh", "a b"}}, Spec{Exec: []string{"ssh", "a", "b"}}, false},
		{Spec{USB: "dead:BEEF:A"}, Spec{USB: "DEAD:beef:a"}, true},
	} {
		a, b := test.a.Device(), test.b.Device()
		if a == "" || (a == b) != test.same {
			t.Errorf("Device() of %+v is %q, of %+v is %q; same: want %v", test.a, a, test.b, b, test.same)
		}
	}
	if got := (Spec{}).Device(); got != "" {
		t.Errorf("Device of nothing is %q", got)
	}
}
