package netboottest

import (
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Segment is what boards plug into, by a stream on which each frame stands behind
// its length (4 bytes, big endian).
type Segment interface {
	Attach(conn net.Conn)
}

// Cable plugs a cable in until the test ends, and returns its other end, which a
// QEMU can inherit as "-netdev socket,fd=…". The kernel keeps the frames that
// nobody has taken yet, as it does for a board in use.
func Cable(t testing.TB, network Segment) *os.File {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	near, far := os.NewFile(uintptr(fds[0]), "segment"), os.NewFile(uintptr(fds[1]), "board")
	t.Cleanup(func() { far.Close() })
	defer near.Close()
	conn, err := net.FileConn(near)
	if err != nil {
		t.Fatal(err)
	}
	network.Attach(conn)
	return far
}

// Dial is Cable for a board in this process.
func Dial(t testing.TB, network Segment) net.Conn {
	t.Helper()
	far := Cable(t, network)
	defer far.Close()
	conn, err := net.FileConn(far)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
