package console

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"
)

func TestSerialCarriesEveryByte(t *testing.T) {
	board, name := boardPTY(t)
	port := dialFor(t, Spec{Serial: name})
	exchange(t, port, board)
	expectClosed(t, port)
}

func TestSerialBaud(t *testing.T) {
	for _, test := range []struct{ ask, want int }{
		{0, DefaultBaud}, {9600, 9600}, {74880, 74880}, {250_000, 250_000}, {1_500_000, 1_500_000}, {3_000_000, 3_000_000},
	} {
		board, name := boardPTY(t)
		port := dialFor(t, Spec{Serial: name, Baud: test.ask})
		if got := lineSpeed(t, board); int(got) != test.want {
			t.Errorf("baud %d: the line runs at %d, want %d", test.ask, got, test.want)
		}
		exchange(t, port, board)
	}
}

func TestSerialWithManyFiles(t *testing.T) {
	const files = 1100
	for range files {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, unix.EMFILE) {
			t.Skip("needs a limit of 1200 open files (ulimit -n)")
		}
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	board, name := boardPTY(t)
	port := dialFor(t, Spec{Serial: name})
	if fd := port.(*serialPort).line.Fd(); fd < 1024 {
		t.Fatalf("descriptor %d does not test what select(2) cannot take", fd)
	}
	exchange(t, port, board)
	expectClosed(t, port)
}

// TestSerialInheritsNothing starts processes while a console is set up again and
// again, beside one that is open; none of them may have either.
func TestSerialInheritsNothing(t *testing.T) {
	_, name := boardPTY(t)
	_, other := boardPTY(t)
	dialFor(t, Spec{Serial: other})
	const children = 50
	ctx, cancel := context.WithCancel(t.Context())
	var opening sync.WaitGroup
	opening.Go(func() {
		for ctx.Err() == nil {
			if err := configure(name, DefaultBaud); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer opening.Wait()
	defer cancel()
	for range children {
		open, err := exec.Command("sh", "-c", "readlink /proc/self/fd/*; true").Output()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(open), name) || strings.Contains(string(open), other) {
			t.Fatalf("a child process has the console open:\n%s", open)
		}
	}
}

func TestSerialIsExclusive(t *testing.T) {
	_, name := boardPTY(t)
	first := dialFor(t, Spec{Serial: name})
	if _, err := Dial(t.Context(), Spec{Serial: name}, nil); err == nil || !strings.Contains(err.Error(), "already open in this process") {
		t.Errorf("second Dial: %v", err)
	}
	first.Close()

	flock := need(t, "flock")
	holder := start(t, flock, "--no-fork", name, "sleep", "1000")
	eventually(t, "flock takes the lock", func() bool { return lockHolder(name) != 0 })
	if _, err := Dial(t.Context(), Spec{Serial: name}, nil); err == nil || !strings.Contains(err.Error(), "in use by sleep, process") {
		t.Errorf("Dial of a locked device: %v, want the holder named", err)
	}
	holder.stop()
	dialFor(t, Spec{Serial: name}).Close()

	claimed, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer claimed.Close()
	if err := unix.IoctlSetInt(int(claimed.Fd()), unix.TIOCEXCL, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), Spec{Serial: name}, nil); err == nil || !strings.Contains(err.Error(), "in use by another program") {
		t.Errorf("Dial of a claimed device: %v", err)
	}
}

func TestSerialErrorsAdvise(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		spec Spec
		want string
	}{
		{Spec{Serial: file + "x"}, "no such device (there"},
		{Spec{Serial: file}, "is not a serial device"},
		{Spec{USB: "dead:beef"}, "no such adapter (there"},
	} {
		_, err := Dial(t.Context(), test.spec, nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Dial(%+v): %v, want %q in it", test.spec, err, test.want)
		}
	}
	if err := explainOpen("/dev/null", fs.ErrPermission); !strings.Contains(err.Error(), "usermod -aG dialout $USER") {
		t.Errorf("permission denied: %v", err)
	}
}

// socatPair is a null-modem cable: the names of its two ends.
func socatPair(t *testing.T, board, console string) *process {
	t.Helper()
	log := filepath.Join(t.TempDir(), "socat.log")
	p := start(t, need(t, "socat"), "-d", "-d", "-lf", log, "PTY,rawer,link="+board, "PTY,rawer,link="+console)
	eventually(t, "socat has set up its terminals", func() bool {
		text, _ := os.ReadFile(log)
		return strings.Contains(string(text), "starting data transfer loop")
	})
	return p
}

func TestSerialUnplugAndReplug(t *testing.T) {
	dir := t.TempDir()
	boardName, consoleName := filepath.Join(dir, "board"), filepath.Join(dir, "console")
	cable := socatPair(t, boardName, consoleName)
	port := dialFor(t, Spec{Serial: consoleName, Reopen: patience})
	for range 3 {
		board, err := os.OpenFile(boardName, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, port, board)
		board.Close()
		before := time.Now()
		cable.stop()
		eventually(t, "the port notices that it is unplugged", func() bool {
			_, err := port.Write([]byte("x"))
			return err != nil && !exists(consoleName)
		})
		gap := make(chan error)
		go func() {
			n, err := port.Read(make([]byte, 10))
			if n != 0 {
				t.Errorf("Read %d bytes with the gap", n)
			}
			gap <- err
		}()
		cable = socatPair(t, boardName, consoleName)
		var lost *GapError
		if err := <-gap; !errors.As(err, &lost) {
			t.Fatalf("Read after a replug: %v, want a GapError", err)
		}
		if lost.For <= 0 || lost.For > time.Since(before) || lost.Since.Before(before) {
			t.Errorf("gap %+v does not fit", lost)
		}
	}
	cable.stop()
	closed := make(chan error)
	go func() {
		_, err := port.Read(make([]byte, 10))
		closed <- err
	}()
	serial := port.(*serialPort)
	eventually(t, "Read waits for the adapter", func() bool {
		serial.mu.Lock()
		defer serial.mu.Unlock()
		return serial.line == nil
	})
	before := time.Now()
	port.Close()
	if err := <-closed; !errors.Is(err, os.ErrClosed) || time.Since(before) > patience/2 {
		t.Errorf("Close in the gap: Read gave %v after %s", err, time.Since(before))
	}
}

// TestSerialGapIsRecorded replugs a console below a Stream.
func TestSerialGapIsRecorded(t *testing.T) {
	link := filepath.Join(t.TempDir(), "tty")
	plug := func() *os.File {
		board, name := boardPTY(t)
		if err := os.Symlink(name, link); err != nil {
			t.Fatal(err)
		}
		return board
	}
	board := plug()
	var log bytes.Buffer
	stream := NewStream(dialFor(t, Spec{Serial: link, Reopen: patience}), Config{Log: &log})
	cursor := stream.CursorAt(0)
	expectLine := func(want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for {
			line, err := cursor.Next(ctx)
			if err != nil {
				t.Fatalf("waiting for %q: %v", want, err)
			}
			if strings.Contains(line.Text, want) {
				return
			}
		}
	}
	writeAll(t, board, []byte("before\r\n"))
	expectLine("before")
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	board.Close()
	board = plug()
	expectLine("console was gone for")
	writeAll(t, board, []byte("after\r\n"))
	expectLine("after")
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
	if got := log.String(); !strings.Contains(got, "console was gone for") || !strings.HasSuffix(got, "after\r\n") {
		t.Errorf("log: %q", got)
	}
}

func TestSerialStaysAway(t *testing.T) {
	for _, reopen := range []time.Duration{-1, 30 * time.Millisecond} {
		board, name := boardPTY(t)
		link := filepath.Join(t.TempDir(), "tty")
		if err := os.Symlink(name, link); err != nil {
			t.Fatal(err)
		}
		port := dialFor(t, Spec{Serial: link, Reopen: reopen})
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
		board.Close()
		var gap *GapError
		for range 2 {
			_, err := port.Read(make([]byte, 1))
			if err == nil || errors.As(err, &gap) || errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), "did not come back") {
				t.Errorf("reopen %s: Read: %v", reopen, err)
			}
		}
		if _, err := port.Write([]byte("x")); err == nil {
			t.Errorf("reopen %s: Write to a lost console succeeded", reopen)
		}
	}
}

// TestSerialFollowsItsAdapter plugs an adapter in again under another name, while
// a different one has taken over the name in the lab file.
func TestSerialFollowsItsAdapter(t *testing.T) {
	root := t.TempDir()
	plug := func(name string) *os.File {
		board, tty := boardPTY(t)
		if err := os.Symlink(tty, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
		return board
	}
	var sys swapFS
	sys.tree.Store(usbTree(map[string]usbTTY{"ttyUSB0": {serial: "MINE", port: "1-1"}}))
	for _, spec := range []Spec{{Serial: filepath.Join(root, "ttyUSB0")}, {USB: "0403:6001"}} {
		spec.Reopen = patience
		board := plug("ttyUSB0")
		port, err := openSerial(spec, serialBus{&sys, root}, quiet())
		if err != nil {
			t.Fatal(err)
		}
		defer port.Close()
		exchange(t, port, board)

		sys.tree.Store(usbTree(map[string]usbTTY{
			"ttyUSB0": {serial: "OTHER", port: "1-1"},
			"ttyUSB1": {serial: "MINE", port: "1-2"},
		}))
		if err := os.Remove(filepath.Join(root, "ttyUSB0")); err != nil {
			t.Fatal(err)
		}
		plug("ttyUSB0")
		again := plug("ttyUSB1")
		board.Close()
		var gap *GapError
		if _, err := port.Read(make([]byte, 1)); !errors.As(err, &gap) {
			t.Fatalf("Read: %v, want a GapError", err)
		}
		exchange(t, port, again)

		port.Close()
		sys.tree.Store(usbTree(map[string]usbTTY{"ttyUSB0": {serial: "MINE", port: "1-1"}}))
		for _, name := range []string{"ttyUSB0", "ttyUSB1"} {
			if err := os.Remove(filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// swapFS is a sysfs that changes.
type swapFS struct{ tree atomic.Pointer[fstest.MapFS] }

func (s *swapFS) Open(name string) (fs.File, error)      { return s.tree.Load().Open(name) }
func (s *swapFS) ReadLink(name string) (string, error)   { return s.tree.Load().ReadLink(name) }
func (s *swapFS) Lstat(name string) (fs.FileInfo, error) { return s.tree.Load().Lstat(name) }

func TestSerialBreakAndPurge(t *testing.T) {
	board, name := boardPTY(t)
	port := dialFor(t, Spec{Serial: name})
	writeAll(t, board, []byte("stale"))
	// Reading one byte shows that all of them have arrived.
	readAll(t, port, 1)
	if err := port.(Purger).Purge(); err != nil {
		t.Errorf("Purge: %v", err)
	}
	if err := port.(Breaker).SendBreak(time.Millisecond); err != nil {
		t.Errorf("SendBreak: %v", err)
	}
	if err := port.(ModemLines).SetDTR(true); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("SetDTR of a pseudo-terminal: %v, want ENOTTY", err)
	}
	exchange(t, port, board)
}
