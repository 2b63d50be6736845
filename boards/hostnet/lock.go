package hostnet

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/sys/unix"
)

// lock says that the interface is this process's. It is an abstract Unix socket
// (unix(7)): unlike a locked file it is one and the same for every user and every
// state directory, it is seen in this network namespace only, it cannot be left
// behind, and it knows its holder.
type lock struct{ listener net.Listener }

func lockInterface(name string) (*lock, error) {
	at := "@b2c-runner/hostnet/" + name
	l, err := net.Listen("unix", at)
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("another runner has it: %s (try: wait until it has ended, or give this one another interface)", lockHolder(at))
	}
	if err != nil {
		return nil, fmt.Errorf("failed to lock it: %w", err)
	}
	return &lock{l}, nil
}

func (l *lock) release() { l.listener.Close() }

// lockHolder describes the process that listens at a Unix socket.
func lockHolder(at string) string {
	const unknown = "a process that does not tell its name"
	conn, err := net.Dial("unix", at)
	if err != nil {
		return unknown
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return unknown
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || credErr != nil || cred.Pid == 0 {
		return unknown
	}
	command := procFile(int(cred.Pid), "cmdline")
	return fmt.Sprintf("%q (pid %d)", strings.TrimSpace(strings.ReplaceAll(command, "\x00", " ")), cred.Pid)
}
