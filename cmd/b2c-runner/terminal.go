package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/term"
)

// leaveKey is Ctrl-], as in telnet.
const leaveKey = 0x1d

var errLeft = errors.New("left")

// terminal joins the user's terminal to a console until the user leaves, the
// console ends, or ctx does.
func (c *cli) terminal(ctx context.Context, console io.ReadWriter, readOnly bool) error {
	if in, ok := c.in.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		state, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return err
		}
		defer term.Restore(int(in.Fd()), state)
	}
	ended := make(chan error, 2)
	go func() {
		_, err := io.Copy(&safeTerminal{w: c.out}, console)
		ended <- err
	}()
	go func() { ended <- typeInto(console, c.in, readOnly) }()
	select {
	case err := <-ended:
		if errors.Is(err, errLeft) {
			return nil
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// typeInto sends keys to the console until the leave key or the end of input.
func typeInto(console io.Writer, keys io.Reader, readOnly bool) error {
	buf := make([]byte, 256)
	for {
		n, err := keys.Read(buf)
		typed, _, leave := bytes.Cut(buf[:n], []byte{leaveKey})
		if !readOnly && len(typed) > 0 {
			if _, err := console.Write(typed); err != nil {
				return err
			}
		}
		switch {
		case leave || errors.Is(err, io.EOF):
			return errLeft
		case err != nil:
			return err
		}
	}
}

// safeTerminal passes a board's output to the user's terminal without what a
// hostile board could do to it: only text, line control, and the cursor and
// colour sequences (ECMA-48) pass; commands (OSC, DCS, APC …: window titles, the
// clipboard, key strings) and requests that make the terminal type do not.
type safeTerminal struct {
	w     io.Writer
	state safeState
	seq   []byte
}

type safeState int

const (
	inText safeState = iota
	afterESC
	inCSI
	inCommand    // until BEL or ST
	inCommandESC // ESC within a command
)

// safeFinals are the final bytes of the CSI sequences that pass: cursor
// movement, erasing, insertion, scrolling, colours, modes.
const safeFinals = "ABCDEFGHJKLMPSTX@adefghlmrsu`"

const maxSequence = 64

func (s *safeTerminal) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p)+maxSequence)
	for _, b := range p {
		out = s.step(out, b)
	}
	if _, err := s.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *safeTerminal) step(out []byte, b byte) []byte {
	switch s.state {
	case afterESC:
		switch {
		case b == '[':
			s.state, s.seq = inCSI, append(s.seq[:0], 0x1b, '[')
		case b == ']' || b == 'P' || b == 'X' || b == '^' || b == '_':
			s.state = inCommand
		case b == '7' || b == '8' || b == 'M' || b == 'D' || b == 'E': // cursor: DECSC, DECRC, RI, IND, NEL
			s.state = inText
			return append(out, 0x1b, b)
		case b == 0x1b:
		default:
			s.state = inText
		}
	case inCSI:
		s.seq = append(s.seq, b)
		switch {
		case b >= 0x40 && b <= 0x7e:
			s.state = inText
			if bytes.IndexByte([]byte(safeFinals), b) >= 0 {
				return append(out, s.seq...)
			}
		case b < 0x20 || b > 0x7e || len(s.seq) > maxSequence:
			s.state = inText
		}
	case inCommand:
		switch b {
		case 0x07:
			s.state = inText
		case 0x1b:
			s.state = inCommandESC
		}
	case inCommandESC:
		s.state = inCommand
		if b == '\\' {
			s.state = inText
		}
	default:
		switch {
		case b == 0x1b:
			s.state = afterESC
		case b >= 0x20 && b != 0x7f || b == '\n' || b == '\r' || b == '\t' || b == '\b' || b == 0x07:
			return append(out, b)
		}
	}
	return out
}
