package power

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// defaultRelayBaud is the rate of the LCUS boards, in bit/s.
const defaultRelayBaud = 9600

// maxRelayAnswer bounds what a relay board may say, in bytes.
const maxRelayAnswer = 4 << 10

// relayLine is an open and locked serial device. The serial library sets it up
// but does not read it: its Read calls select(2), which cannot take a descriptor
// above 1023. Here the runtime's poller reads.
type relayLine struct{ *os.File }

// withRelayLine calls f with the device, of which it is the only user meanwhile:
// other channels of the board may feed boards of other processes.
func withRelayLine(ctx context.Context, node string, baud int, f func(io.ReadWriter) error) error {
	file, err := os.OpenFile(node, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w (try: sudo usermod -aG dialout $USER, then log in again)", err)
	}
	if err != nil {
		return err
	}
	line := &relayLine{file}
	defer line.Close()
	if err := line.lock(ctx); err != nil {
		return err
	}
	if baud == 0 {
		baud = defaultRelayBaud
	}
	if err := line.configure(baud); err != nil {
		return fmt.Errorf("failed to set up %q: %w", node, err)
	}
	deadline, _ := ctx.Deadline()
	if err := line.SetDeadline(deadline); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { line.SetDeadline(time.Now()) })()
	return f(line)
}

// lock waits for the flock, which console programs take too, until ctx ends.
func (l *relayLine) lock(ctx context.Context) error {
	for {
		err := l.ioctl(func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if err := sleep(ctx, firstPause); err != nil {
			return fmt.Errorf("%q is in use by another program: %w (try: fuser %s)", l.Name(), err, l.Name())
		}
	}
}

// configure makes the device raw, 8N1, and drops what is queued. The library's
// descriptor is not close-on-exec, so no process may be started meanwhile.
func (l *relayLine) configure(baud int) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	port, err := serial.Open(l.Name(), &serial.Mode{BaudRate: baud, DataBits: 8, Parity: serial.NoParity, StopBits: serial.OneStopBit})
	if err != nil {
		return err
	}
	err = port.ResetInputBuffer()
	// The library has made the device exclusive; the flock is what keeps others out.
	return errors.Join(err, port.Close(), l.ioctl(func(fd int) error { return unix.IoctlSetInt(fd, unix.TIOCNXCL, 0) }))
}

// readUntil reads until what was read satisfies enough.
func readUntil(line io.Reader, enough func([]byte) bool) ([]byte, error) {
	var said []byte
	buffer := make([]byte, 256)
	for len(said) < maxRelayAnswer {
		n, err := line.Read(buffer)
		said = append(said, buffer[:n]...)
		if enough(said) {
			return said, nil
		}
		if err != nil {
			return nil, fmt.Errorf("failed to read the answer: %w, so far %s", err, excerpt(said))
		}
	}
	return nil, fmt.Errorf("the board does not stop talking: %s", excerpt(said))
}

func (l *relayLine) ioctl(f func(fd int) error) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}
