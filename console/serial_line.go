package console

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// maxSkew is how far the rate of an adapter may be from what was asked; a UART
// frame of ten bits bears about twice that, shared with the other end.
const maxSkew = 0.03

// serialLine is an open, locked and configured serial device. The serial library
// sets it up but does not read it: its Read calls select(2), which cannot take a
// descriptor above 1023, and parks a thread. Here the runtime's poller reads.
type serialLine struct {
	*os.File
}

func openLine(node string, spec Spec) (_ *serialLine, err error) {
	file, err := os.OpenFile(node, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, explainOpen(node, err)
	}
	line := &serialLine{file}
	defer func() {
		if err != nil {
			err = errors.Join(err, line.close())
		}
	}()
	if err := line.lock(); err != nil {
		return nil, err
	}
	baud := spec.Baud
	if baud == 0 {
		baud = DefaultBaud
	}
	if err := configure(node, baud); err != nil {
		return nil, err
	}
	if err := line.ioctl(func(fd int) error { return unix.IoctlSetInt(fd, unix.TIOCEXCL, 0) }); err != nil {
		return nil, fmt.Errorf("failed to claim %q: %w", node, err)
	}
	if err := line.checkBaud(baud); err != nil {
		return nil, err
	}
	if spec.DTR != nil {
		if err := line.setDTR(*spec.DTR); err != nil {
			return nil, fmt.Errorf("failed to set DTR: %w", err)
		}
	}
	if spec.RTS != nil {
		if err := line.setRTS(*spec.RTS); err != nil {
			return nil, fmt.Errorf("failed to set RTS: %w", err)
		}
	}
	return line, nil
}

// configure makes the device raw, 8N1, without flow control. The settings stay
// because the caller holds the device open. The library's descriptor is not
// close-on-exec, so no process may be started meanwhile.
func configure(node string, baud int) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	port, err := serial.Open(node, &serial.Mode{BaudRate: baud, DataBits: 8, Parity: serial.NoParity, StopBits: serial.OneStopBit})
	if err != nil {
		return fmt.Errorf("failed to configure %q for %d baud: %w", node, baud, err)
	}
	if err := port.Close(); err != nil {
		return fmt.Errorf("failed to configure %q: %w", node, err)
	}
	return nil
}

// lock takes the flock that picocom, minicom and other runners respect, and
// refuses a device on which another program set TIOCEXCL, which does not keep
// root out (tty_ioctl(4)).
func (l *serialLine) lock() error {
	return l.ioctl(func(fd int) error {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
			if errors.Is(err, unix.EWOULDBLOCK) {
				return busy(l.Name(), lockHolder(l.Name()))
			}
			return fmt.Errorf("failed to lock %q: %w", l.Name(), err)
		}
		exclusive, err := unix.IoctlGetInt(fd, unix.TIOCGEXCL)
		if err != nil {
			return fmt.Errorf("%q is not a serial device: %w", l.Name(), err)
		}
		if exclusive != 0 {
			return busy(l.Name(), openHolder(l.Name()))
		}
		return nil
	})
}

// checkBaud reads back what the driver made of the rate.
func (l *serialLine) checkBaud(want int) error {
	return l.ioctl(func(fd int) error {
		settings, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
		if err != nil {
			return fmt.Errorf("failed to read back the baud rate: %w", err)
		}
		if skew := math.Abs(float64(settings.Ospeed)/float64(want) - 1); skew > maxSkew {
			return fmt.Errorf("the adapter cannot do %d baud, the nearest is %d (try: another adapter)", want, settings.Ospeed)
		}
		return nil
	})
}

func (l *serialLine) setDTR(on bool) error { return l.setModem(unix.TIOCM_DTR, on) }
func (l *serialLine) setRTS(on bool) error { return l.setModem(unix.TIOCM_RTS, on) }

func (l *serialLine) setModem(bit int, on bool) error {
	request := uint(unix.TIOCMBIC)
	if on {
		request = unix.TIOCMBIS
	}
	return l.ioctl(func(fd int) error { return unix.IoctlSetPointerInt(fd, request, bit) })
}

func (l *serialLine) sendBreak(d time.Duration, closing <-chan struct{}) error {
	if err := l.ioctl(func(fd int) error { return unix.IoctlSetInt(fd, unix.TIOCSBRK, 0) }); err != nil {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-closing:
	}
	return l.ioctl(func(fd int) error { return unix.IoctlSetInt(fd, unix.TIOCCBRK, 0) })
}

func (l *serialLine) purge() error {
	return l.ioctl(func(fd int) error { return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIOFLUSH) })
}

// close gives up TIOCEXCL by hand: a device that something else holds open
// without a claim would keep it.
func (l *serialLine) close() error {
	err := l.ioctl(func(fd int) error { return unix.IoctlSetInt(fd, unix.TIOCNXCL, 0) })
	if errors.Is(err, unix.EIO) || errors.Is(err, unix.ENOTTY) { // unplugged
		err = nil
	}
	return errors.Join(err, l.File.Close())
}

// ioctl calls f with the descriptor, which stays in the poller.
func (l *serialLine) ioctl(f func(fd int) error) error {
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

func explainOpen(node string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (try: sudo usermod -aG %s $USER, then log in again)", err, groupOf(node))
	case errors.Is(err, unix.EBUSY):
		return busy(node, cmp.Or(lockHolder(node), openHolder(node)))
	}
	return err
}

// groupOf is the group that may open node: dialout on Debian, uucp on Arch.
func groupOf(node string) string {
	var stat unix.Stat_t
	if err := unix.Stat(node, &stat); err == nil && stat.Gid != 0 {
		if group, err := user.LookupGroupId(strconv.FormatUint(uint64(stat.Gid), 10)); err == nil {
			return group.Name
		}
	}
	return "dialout"
}
