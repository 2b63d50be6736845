package console

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRFC2217OverSer2net(t *testing.T) {
	board, address := ser2net(t, "telnet(rfc2217=true)")
	for _, test := range []struct{ ask, want int }{{115200, 115200}, {1_500_000, 1_500_000}, {0, 9600}} {
		port := dialSer2net(t, Spec{RFC2217: address, Baud: test.ask})
		if got := lineSpeed(t, board); int(got) != test.want {
			t.Errorf("baud %d: the line runs at %d, want %d", test.ask, got, test.want)
		}
		exchange(t, port, board)
		if err := port.(Breaker).SendBreak(time.Millisecond); err != nil {
			t.Errorf("SendBreak: %v", err)
		}
		if err := port.(Purger).Purge(); err != nil {
			t.Errorf("Purge: %v", err)
		}
		expectClosed(t, port)
	}
}

func TestRFC2217WithoutTheOption(t *testing.T) {
	_, address := ser2net(t, "telnet")
	var err error
	eventually(t, "ser2net refuses the option", func() bool {
		_, err = Dial(t.Context(), Spec{RFC2217: address}, nil)
		return err != nil && strings.Contains(err.Error(), "refuses RFC 2217 (try: telnet")
	})
}

// comServer is the far end of RFC 2217 as far as our client goes: it writes down
// each command and answers by its rules.
type comServer struct {
	maxBaud uint32
	mute    byte   // a command that it does not answer
	chatter string // said before the next answer

	mu  sync.Mutex
	log []string
}

func (s *comServer) serve(conn net.Conn) {
	defer conn.Close()
	codec := telnetCodec{comPort: true}
	var out []byte
	codec.onSub = func(option byte, value []byte) {
		if option != optComPort || len(value) < 2 {
			return
		}
		command, value := value[0], value[1:]
		s.mu.Lock()
		defer s.mu.Unlock()
		s.log = append(s.log, fmt.Sprintf("%d %x", command, value))
		if command == s.mute {
			return
		}
		if command == comSetBaud && binary.BigEndian.Uint32(value) > s.maxBaud {
			value = binary.BigEndian.AppendUint32(nil, s.maxBaud)
		}
		out = append(codec.encode(out, []byte(s.chatter)), encodeSub(nil, optComPort, append([]byte{command + comAnswer}, value...)...)...)
		s.chatter = ""
	}
	buffer := make([]byte, 1<<10)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		codec.decode(nil, buffer[:n])
		out = append(codec.answer, out...)
		if _, err := conn.Write(out); err != nil {
			return
		}
		codec.answer, out = nil, nil
	}
}

// say comes before the next answer.
func (s *comServer) say(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chatter = text
}

// listen lets s serve one connection to the address.
func (s *comServer) listen(t *testing.T) string {
	t.Helper()
	listener, conns := serveOnce(t, "tcp", "127.0.0.1:0")
	var serving sync.WaitGroup
	serving.Go(func() {
		select {
		case conn := <-conns:
			s.serve(conn)
		case <-t.Context().Done():
		}
	})
	t.Cleanup(serving.Wait)
	return listener.Addr().String()
}

func dialServer(t *testing.T, s *comServer, spec Spec) (Port, error) {
	t.Helper()
	spec.RFC2217 = s.listen(t)
	port, err := Dial(t.Context(), spec, nil)
	if err == nil {
		t.Cleanup(func() { port.Close() })
	}
	return port, err
}

func TestRFC2217Commands(t *testing.T) {
	yes, no := true, false
	server := &comServer{maxBaud: 4_000_000, chatter: "U-Boot \xff\r\n"}
	// The rate holds a byte 255, which must be escaped.
	port, err := dialServer(t, server, Spec{Baud: 0x0001ff00, DTR: &no, RTS: &yes})
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, port, 10); string(got) != "U-Boot \xff\r\n" {
		t.Errorf("said during set-up: %q", got)
	}
	modem := port.(ModemLines)
	for _, err := range []error{modem.SetDTR(true), modem.SetRTS(false), port.(Breaker).SendBreak(time.Millisecond), port.(Purger).Purge()} {
		if err != nil {
			t.Error(err)
		}
	}
	want := []string{
		"2 08", "3 01", "4 01", "5 01", "1 0001ff00", "10 0a", "11 00",
		"5 09", "5 0b", // DTR off, RTS on
		"5 08", "5 0c", "5 05", "5 06", "12 03",
	}
	eventually(t, "the server has all commands", func() bool {
		server.mu.Lock()
		defer server.mu.Unlock()
		return len(server.log) >= len(want)
	})
	if diff := cmp.Diff(want, server.log); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	expectClosed(t, port)
}

func TestRFC2217Refusals(t *testing.T) {
	_, err := dialServer(t, &comServer{maxBaud: 115200}, Spec{Baud: 3_000_000})
	if err == nil || !strings.Contains(err.Error(), "refuses 3000000 baud, it stays at 115200") {
		t.Errorf("too fast: %v", err)
	}
	port, err := dialServer(t, &comServer{maxBaud: 3_030_000}, Spec{Baud: 3_000_000})
	if err != nil {
		t.Errorf("a rate within the skew: %v", err)
	} else {
		expectClosed(t, port)
	}
}

// TestRFC2217Silence: a server that answers nothing at all, not to the rate, or
// not to something lesser.
func TestRFC2217Silence(t *testing.T) {
	for _, test := range []struct {
		mute byte
		want string // in the error
	}{
		{comSetBaud, "does not answer to baud"},
		{comSetParity, ""},
	} {
		server := &comServer{maxBaud: 115200, mute: test.mute}
		conn, err := net.Dial("tcp", server.listen(t))
		if err != nil {
			t.Fatal(err)
		}
		p := newRFC2217Port(conn, quiet())
		err = p.setUp(Spec{Baud: 9600}, 100*time.Millisecond)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("no answer to %d: %v, want %q in it", test.mute, err, test.want)
		}
		if err == nil {
			server.say("still here")
			if err := p.SetDTR(true); err != nil {
				t.Error(err)
			}
			readAll(t, p, len("still here"))
		}
		p.Close()
	}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	p := newRFC2217Port(silentWriter{ours}, quiet())
	if err := p.setUp(Spec{}, 10*time.Millisecond); err == nil || !strings.Contains(err.Error(), "try: telnet or tcp") {
		t.Errorf("no telnet at all: %v", err)
	}
	p.Close()
}

// FuzzRFC2217: whatever a server sends, set-up ends, and reading gives no more
// bytes than came.
func FuzzRFC2217(f *testing.F) {
	const good = "\xff\xfd\x2chello\xff\xfa\x2c\x65\x00\x01\xc2\x00\xff\xf0"
	f.Add([]byte(good))
	f.Add([]byte("\xff\xfe\x2c"))
	f.Add([]byte("\xff\xfd\x2c\xff\xfa\x2c\x6a\x0a\xff\xf0\xff\xfa\x2c\xff\xff\xff\xf0"))
	f.Fuzz(func(t *testing.T, in []byte) {
		ours, theirs := net.Pipe()
		var far sync.WaitGroup
		far.Go(func() {
			theirs.Write(in)
			theirs.Close()
		})
		p := newRFC2217Port(silentWriter{ours}, quiet())
		err := p.setUp(Spec{Baud: 115200}, patience)
		total := 0
		for buffer := make([]byte, 7); ; {
			n, err := p.Read(buffer)
			total += n
			if err != nil {
				break
			}
		}
		p.Close()
		far.Wait()
		if total > len(in) {
			t.Errorf("read %d bytes of %d", total, len(in))
		}
		if string(in) == good && (p.answers[comSetBaud] != 115200 || total != len("hello")) {
			t.Errorf("the good server was not understood: %v, %d bytes", err, total)
		}
		if len(p.answers) > comPurge {
			t.Errorf("%d kinds of answers", len(p.answers))
		}
	})
}

// silentWriter is a connection whose peer takes whatever is sent.
type silentWriter struct{ net.Conn }

func (silentWriter) Write(b []byte) (int, error) { return len(b), nil }
