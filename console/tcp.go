package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A console server that vanished without a word is noticed after about this
// long, whether bytes are under way to it or not.
const peerTimeout = 30 * time.Second

func dialTCP(ctx context.Context, spec Spec, _ *slog.Logger) (Port, error) {
	return connect(ctx, spec.TCP)
}

func connect(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: peerTimeout / 2, Interval: peerTimeout / 6, Count: 3},
		Control: func(_, _ string, raw syscall.RawConn) error {
			var failed error
			err := raw.Control(func(fd uintptr) {
				// Keep-alive probes are not sent while data waits for its
				// acknowledgement (tcp(7)).
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(peerTimeout.Milliseconds()))
			})
			return errors.Join(err, failed)
		},
	}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, explainConnect(err)
	}
	return conn, nil
}

func explainConnect(err error) error {
	var timeout net.Error
	var lookup *net.DNSError
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("%w (try: is the console server running, and is this its port?)", err)
	case errors.As(err, &lookup):
		return fmt.Errorf("%w (try: its IP address)", err)
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, unix.EHOSTUNREACH):
		return fmt.Errorf("%w (try: ping it; is it powered and on this network?)", err)
	}
	return err
}

func netDevice(address string) string { return "net:" + strings.ToLower(address) }
