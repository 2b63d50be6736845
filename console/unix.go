package console

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func dialUnix(ctx context.Context, spec Spec, _ *slog.Logger) (Port, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", spec.Unix)
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return nil, fmt.Errorf("%w (try: start the program that serves it)", err)
	case errors.Is(err, unix.EINVAL):
		return nil, fmt.Errorf("%w (try: a path shorter than 108 bytes)", err)
	}
	return nil, err
}

func unixDevice(spec Spec) string {
	if real, err := filepath.EvalSymlinks(spec.Unix); err == nil {
		return "unix:" + real
	}
	return "unix:" + filepath.Clean(spec.Unix)
}
