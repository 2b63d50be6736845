package console

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTelnetDecode(t *testing.T) {
	const sb, se = "\xff\xfa", "\xff\xf0"
	for _, test := range []struct{ name, in, data, answer string }{
		{"plain", "login: ", "login: ", ""},
		{"escaped 255", "a\xff\xffb", "a\xffb", ""},
		{"carriage returns", "a\r\x00b\r\nc\x00", "a\rb\r\nc\x00", ""},
		{"two carriage returns", "\r\r\x00\x00", "\r\r\x00", ""},
		{"no-op, go ahead, are you there", "a\xff\xf1\xff\xf9\xff\xf6b", "ab", ""},
		{"will echo", "\xff\xfb\x01", "", "\xff\xfd\x01"},
		{"do echo", "\xff\xfd\x01", "", "\xff\xfc\x01"},
		{"binary both ways", "\xff\xfb\x00\xff\xfd\x00", "", "\xff\xfd\x00\xff\xfb\x00"},
		{"binary keeps NUL", "\xff\xfb\x00\r\x00", "\r\x00", "\xff\xfd\x00"},
		{"binary and back", "\xff\xfb\x00\xff\xfc\x00\r\x00", "\r", "\xff\xfd\x00\xff\xfe\x00"},
		{"said twice", "\xff\xfb\x03\xff\xfb\x03", "", "\xff\xfd\x03"},
		{"refusing is not answered", "\xff\xfc\x18\xff\xfe\x18", "", ""},
		{"unknown options", "\xff\xfb\x22\xff\xfd\x18", "", "\xff\xfe\x22\xff\xfc\x18"},
		{"com port is not for telnet", "\xff\xfd\x2c", "", "\xff\xfc\x2c"},
		{"subnegotiation", "a" + sb + "\x18\x01" + se + "b", "ab", ""},
		{"subnegotiation with 255", "a" + sb + "\x18\xff\xff\xf0" + se + "b", "ab", ""},
		{"subnegotiation cut", "a" + sb + "\x18\xff\xf1b", "ab", ""},
		{"subnegotiation without end", sb + strings.Repeat("x", maxSubnegotiation+1) + "b", "b", ""},
	} {
		var c telnetCodec
		data := c.decode(nil, []byte(test.in))
		if diff := cmp.Diff(test.data+"|"+test.answer, string(data)+"|"+string(c.answer)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestTelnetAsks(t *testing.T) {
	var c telnetCodec
	if got := c.ask(nil, cmdWill, optBinary); string(got) != "\xff\xfb\x00" {
		t.Errorf("ask: %q", got)
	}
	if got := c.encode(nil, []byte("\r")); string(got) != "\r\x00" {
		t.Errorf("before the answer, CR is sent as %q", got)
	}
	c.decode(nil, []byte("\xff\xfd\x00"))
	if len(c.answer) > 0 {
		t.Errorf("an answer was answered: %q", c.answer)
	}
	if got := c.encode(nil, []byte("\r\xff")); string(got) != "\r\xff\xff" {
		t.Errorf("after it, CR and 255 are sent as %q", got)
	}
}

// FuzzTelnet: whatever a server sends, in whatever pieces, does the same; what
// one end encodes the other decodes; nothing grows beyond its input.
func FuzzTelnet(f *testing.F) {
	f.Add([]byte("\xff\xfb\x01\xff\xfa\x18\x01\xff\xf0a\xff\xff\r\x00b"), uint8(1))
	f.Add([]byte("\xff\xfd\x00\xff\xfd\x2c\xff\xfa\x2c\x65\x00\x01\xc2\x00\xff\xf0"), uint8(3))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		whole, pieces := telnetCodec{comPort: true}, telnetCodec{comPort: true}
		var subs, subsOfPieces []string
		whole.onSub = func(option byte, value []byte) { subs = append(subs, fmt.Sprintf("%d %q", option, value)) }
		pieces.onSub = func(option byte, value []byte) {
			subsOfPieces = append(subsOfPieces, fmt.Sprintf("%d %q", option, value))
		}
		data := whole.decode(nil, in)
		var piecewise []byte
		for rest := in; len(rest) > 0; {
			n := min(int(step)+1, len(rest))
			piecewise = pieces.decode(piecewise, rest[:n])
			rest = rest[n:]
		}
		if !bytes.Equal(data, piecewise) || !bytes.Equal(whole.answer, pieces.answer) || !cmp.Equal(subs, subsOfPieces) {
			t.Errorf("whole: %q %q %q, in pieces: %q %q %q", data, whole.answer, subs, piecewise, pieces.answer, subsOfPieces)
		}
		if len(data)+len(whole.answer)+len(whole.sub) > len(in) || len(whole.sub) > maxSubnegotiation {
			t.Errorf("%d bytes became %d of data, %d of answer, %d of subnegotiation", len(in), len(data), len(whole.answer), len(whole.sub))
		}
		for _, mode := range []agreement{refused, agreed} {
			var sender, receiver telnetCodec
			sender.ours[optBinary], receiver.theirs[optBinary] = mode, mode
			if got := receiver.decode(nil, sender.encode(nil, in)); !bytes.Equal(got, in) {
				t.Errorf("binary %d: sent %q, received %q", mode, in, got)
			}
		}
	})
}

// ser2net serves a pseudo-terminal by telnet and RFC 2217; it returns the board's
// end of it and the address.
func ser2net(t *testing.T, accepter string) (*os.File, string) {
	t.Helper()
	tool := need(t, "ser2net")
	board, tty := boardPTY(t)
	host, port := freeAddress(t)
	config := filepath.Join(t.TempDir(), "ser2net.yaml")
	text := fmt.Sprintf("%%YAML 1.1\n---\nconnection: &board\n  accepter: %s,tcp,%s,%s\n  connector: serialdev,%s,9600n81,local\n", accepter, host, port, tty)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, tool, "-n", "-d", "-c", config, "-P", filepath.Join(t.TempDir(), "pid"))
	address := net.JoinHostPort(host, port)
	eventually(t, "ser2net listens", func() bool { return listens(t, port) })
	return board, address
}

// dialSer2net opens the console once ser2net has let go of the connection before.
func dialSer2net(t *testing.T, spec Spec) Port {
	t.Helper()
	var port Port
	eventually(t, "ser2net takes the connection", func() bool {
		p, err := Dial(t.Context(), spec, nil)
		port = p
		return err == nil
	})
	t.Cleanup(func() { port.Close() })
	return port
}

func TestTelnetOverSer2net(t *testing.T) {
	board, address := ser2net(t, "telnet")
	port := dialSer2net(t, Spec{Telnet: address})
	// What the board says before ser2net has opened its end is lost.
	writeAll(t, port, []byte("first"))
	readAll(t, board, 5)
	exchange(t, port, board)
	if err := port.(Breaker).SendBreak(0); err != nil {
		t.Errorf("SendBreak: %v", err)
	}
	exchange(t, port, board)
	expectClosed(t, port)
}
