package netboot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/pin/tftp/v3"
)

// How TFTP is served. A block of tftpBlock bytes fills an Ethernet frame: larger
// ones come in fragments, which boot ROMs often cannot put together. A client that
// is gone costs tftpTimeout × (tftpRetries+1).
const (
	tftpBlock     = 1468
	tftpTimeout   = time.Second
	tftpRetries   = 5
	tftpTransfers = 32 // at a time
)

// serveTFTP serves the routes by TFTP (RFC 1350, RFC 2347 to 2349) until ctx ends
// and no transfer is left. On a socket that is not the host's own, pin/tftp has
// to use the one port for everything.
func (s *Server) serveTFTP(ctx context.Context, conn net.PacketConn) error {
	slots := make(chan struct{}, tftpTransfers)
	srv := tftp.NewServer(func(name string, to io.ReaderFrom) error {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			return s.sendTFTP(ctx, name, to)
		default:
			return errors.New("busy, try again")
		}
	}, nil)
	srv.SetTimeout(tftpTimeout)
	srv.SetRetries(tftpRetries)
	srv.SetBackoff(func(int) time.Duration { return 0 })
	srv.SetBlockSize(tftpBlock)
	if _, ours := conn.(*net.UDPConn); !ours {
		srv.SetBlockSizeNegotiation(false) // else 512: it cannot know the interface
		srv.EnableSinglePort()
		conn = &tftpConn{PacketConn: conn, ctx: ctx}
	}
	defer context.AfterFunc(ctx, srv.Shutdown)()
	for {
		err := serveTFTPOnce(srv, conn)
		if ctx.Err() != nil {
			return nil
		}
		s.log.Warn("TFTP server failed, starting it again", "error", err)
		if !pause(ctx) {
			return nil
		}
	}
}

// serveTFTPOnce turns a panic into an error: in single-port mode pin/tftp may send
// to a channel that a transfer has just closed.
func serveTFTPOnce(srv *tftp.Server, conn net.PacketConn) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in the TFTP server: %v", p)
		}
	}()
	return srv.Serve(conn)
}

// These go to the board, and say nothing about this host.
var (
	errNotFound  = errors.New("file not found")
	errWithdrawn = errors.New("the offer was withdrawn")
)

// sendTFTP answers one read request.
func (s *Server) sendTFTP(ctx context.Context, name string, to io.ReaderFrom) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic in a TFTP transfer", "panic", p)
			err = errors.New("internal error")
		}
	}()
	out, ok := to.(tftp.OutgoingTransfer)
	if !ok {
		return errNotFound
	}
	remote := out.RemoteAddr()
	b := s.boardAt(remote.String())
	if b == nil {
		return errNotFound
	}
	e := Event{Time: time.Now(), Kind: TFTP, MAC: b.MAC, Addr: b.Addr, File: printable(name)}
	defer func() {
		e.Took = time.Since(e.Time)
		if err != nil {
			e.Err = printable(err.Error())
		}
		s.emit(e)
	}()
	name = strings.TrimPrefix(name, "/")
	content, err := b.lookup(name, s.base())
	if err != nil {
		s.log.Error("failed to open a file for TFTP", "name", name, "error", err)
		return errNotFound
	}
	if content == nil {
		return errNotFound
	}
	defer content.Close()
	if name == scriptName {
		e.Kind, e.Detail = ScriptSent, "tftp"
	}
	out.SetSize(content.size)
	e.Bytes, err = to.ReadFrom(&tftpReader{r: content, server: ctx, board: b.ctx})
	return err
}

// tftpReader ends a transfer when the server stops or the offer is withdrawn. It
// is asked after each block that the board has confirmed.
type tftpReader struct {
	r             io.Reader
	server, board context.Context
}

// Read implements io.Reader.
func (r *tftpReader) Read(p []byte) (int, error) {
	if r.server.Err() != nil || r.board.Err() != nil {
		return 0, errWithdrawn
	}
	return r.r.Read(p)
}

// tftpConn is the socket of single-port mode, made to fit pin/tftp: once ctx has
// ended a retransmission fails for good, so that a board that is gone does not
// hold up the end; and a broken socket does not make it spin.
type tftpConn struct {
	net.PacketConn
	ctx context.Context
}

// WriteTo implements net.PacketConn.
func (c *tftpConn) WriteTo(p []byte, to net.Addr) (int, error) {
	if c.ctx.Err() != nil {
		return 0, errors.New("the server stops")
	}
	return c.PacketConn.WriteTo(p, to)
}

// ReadFrom implements net.PacketConn.
func (c *tftpConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.PacketConn.ReadFrom(p)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		pause(c.ctx)
	}
	return n, from, err
}
