package power

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// relayBoard is a relay board at the far end of a pty.
type relayBoard struct {
	mu      sync.Mutex
	got     bytes.Buffer // all that was written to it
	closed  map[int]bool // channels whose relay is closed
	mode    fault
	marked  chan struct{} // told of each marker
	replies func(b *relayBoard, got []byte) []byte
}

func (b *relayBoard) isClosed(channel int) func() bool {
	return func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.closed[channel]
	}
}

func (b *relayBoard) set(f fault) func() {
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.mode = f
	}
}

// newRelayBoard runs a board that is given its input as it comes.
func newRelayBoard(t *testing.T, replies func(b *relayBoard, got []byte) []byte) (*relayBoard, string, func()) {
	far, near, err := pty.Open()
	must(t, err)
	settings, err := unix.IoctlGetTermios(int(near.Fd()), unix.TCGETS)
	must(t, err)
	settings.Lflag &^= unix.ECHO | unix.ICANON
	settings.Oflag &^= unix.OPOST
	settings.Iflag &^= unix.ICRNL
	must(t, unix.IoctlSetTermios(int(near.Fd()), unix.TCSETS, settings))
	b := &relayBoard{closed: map[int]bool{}, marked: make(chan struct{}, 100), replies: replies}
	// The number of a pty that is gone is soon that of another.
	link := filepath.Join(t.TempDir(), "usb-relay")
	must(t, os.Symlink(near.Name(), link))
	unplug := sync.OnceFunc(func() { os.Remove(link); far.Close(); near.Close() })
	var group sync.WaitGroup
	group.Go(func() {
		for buffer := make([]byte, 64); ; {
			n, err := far.Read(buffer)
			if err != nil {
				return
			}
			b.mu.Lock()
			b.got.Write(buffer[:n])
			var reply []byte
			switch b.mode {
			case mute:
			case garbage:
				reply = []byte("\xfe\x00???\r\n>")
			default:
				reply = replies(b, buffer[:n])
			}
			b.mu.Unlock()
			far.Write(reply)
			if bytes.IndexByte(buffer[:n], marker) >= 0 {
				b.marked <- struct{}{}
			}
		}
	})
	t.Cleanup(func() { unplug(); group.Wait() })
	return b, link, unplug
}

// lcusBoard has four channels. It ignores a frame with a wrong sum.
func lcusBoard(b *relayBoard, got []byte) []byte {
	for len(got) > 0 {
		if got[0] == 0xFF {
			var status strings.Builder
			for channel := 1; channel <= 4; channel++ {
				fmt.Fprintf(&status, "CH%d: %s\r\n", channel, strings.ToUpper(string(stateOf(b.closed[channel]))))
			}
			return []byte(status.String())
		}
		if len(got) >= 4 && got[0] == 0xA0 && got[3] == got[0]+got[1]+got[2] && b.mode != stuck {
			b.closed[int(got[1])] = got[2] == 1
		}
		got = got[min(4, len(got)):]
	}
	return nil
}

func lcusRig(t *testing.T) *rig {
	b, node, unplug := newRelayBoard(t, lcusBoard)
	return &rig{
		spec: Spec{SerialRelay: &SerialRelay{Device: node}}, blind: true, isOn: settled(b, node, b.isClosed(1)),
		faults: map[fault]func(){gone: unplug},
	}
}

// marker is a byte that means nothing to a board.
const marker = 0x55

// settled waits until a board that does not answer has taken in what was written
// to it, and a marker after that.
func settled(b *relayBoard, node string, isOn func() bool) func() bool {
	return func() bool {
		near, err := os.OpenFile(node, os.O_WRONLY|unix.O_NOCTTY, 0)
		if err == nil {
			near.Write([]byte{marker})
			near.Close()
			<-b.marked
		}
		return isOn()
	}
}

func lcusStatusRig(t *testing.T) *rig {
	b, node, unplug := newRelayBoard(t, lcusBoard)
	return &rig{
		spec:   Spec{SerialRelay: &SerialRelay{Device: node, Protocol: "lcus-status", Channel: 3, NormallyClosed: true}},
		isOn:   func() bool { return !b.isClosed(3)() },
		faults: map[fault]func(){stuck: b.set(stuck), mute: b.set(mute), garbage: b.set(garbage), gone: unplug},
	}
}

// numatoBoard echoes, and answers each line with a prompt
// (https://numato.com/docs/16-channel-usb-relay-module/).
func numatoBoard() func(b *relayBoard, got []byte) []byte {
	var line []byte
	return func(b *relayBoard, got []byte) []byte {
		var reply []byte
		for _, c := range got {
			if c != '\r' {
				line = append(line, c)
				reply = append(reply, c)
				continue
			}
			reply = append(reply, "\n\r"...)
			switch words := strings.Fields(string(line)); {
			case len(words) == 3 && words[0] == "relay" && words[2] == "B":
				switch {
				case words[1] == "read":
					reply = append(reply, string(stateOf(b.closed[11]))+"\n\r"...)
				case b.mode != stuck:
					b.closed[11] = words[1] == "on"
				}
			case len(words) > 0:
				reply = append(reply, "Invalid command\n\r"...)
			}
			line, reply = nil, append(reply, '>')
		}
		return reply
	}
}

func numatoRig(t *testing.T) *rig {
	b, node, unplug := newRelayBoard(t, numatoBoard())
	return &rig{
		spec:   Spec{SerialRelay: &SerialRelay{Device: node, Protocol: "numato", Channel: 11}},
		isOn:   b.isClosed(11),
		faults: map[fault]func(){stuck: b.set(stuck), mute: b.set(mute), garbage: b.set(garbage), gone: unplug},
	}
}

// TestRelayBytes compares what goes over the wire with the vendors' words.
func TestRelayBytes(t *testing.T) {
	for name, test := range map[string]struct {
		spec SerialRelay
		want string
	}{
		"lcus":           {SerialRelay{}, "\xA0\x01\x01\xA2" + "\xA0\x01\x00\xA1"},
		"lcus channel 4": {SerialRelay{Channel: 4}, "\xA0\x04\x01\xA5" + "\xA0\x04\x00\xA4"},
		"lcus NC":        {SerialRelay{NormallyClosed: true}, "\xA0\x01\x00\xA1" + "\xA0\x01\x01\xA2"},
		"numato":         {SerialRelay{Protocol: "numato", Channel: 2}, "\rrelay on 2\r" + "\rrelay off 2\r"},
		"numato above 9": {SerialRelay{Protocol: "numato", Channel: 31}, "\rrelay on V\r" + "\rrelay off V\r"},
		"numato with 64": {SerialRelay{Protocol: "numato", Channel: 31, IDDigits: 2}, "\rrelay on 31\r" + "\rrelay off 31\r"},
	} {
		t.Run(name, func(t *testing.T) {
			heard := make(chan struct{}, 100)
			play := numatoBoard()
			b, node, _ := newRelayBoard(t, func(b *relayBoard, got []byte) []byte {
				select {
				case heard <- struct{}{}:
				default:
				}
				return play(b, got)
			})
			test.spec.Device = node
			o, err := test.spec.open(Options{})
			must(t, err)
			for i, on := range []bool{true, false} {
				must(t, o.set(deadline(t), on))
				for half := len(test.want) / 2 * (i + 1); ; {
					b.mu.Lock()
					got := b.got.Len()
					b.mu.Unlock()
					if got >= half-1 {
						break
					}
					<-heard
				}
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			if diff := cmp.Diff(test.want, b.got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRelayShared has two processes' worth of supplies on one board.
func TestRelayShared(t *testing.T) {
	b, node, _ := newRelayBoard(t, lcusBoard)
	var group sync.WaitGroup
	for channel := 1; channel <= 4; channel++ {
		group.Go(func() {
			o, err := (&SerialRelay{Device: node, Protocol: "lcus-status", Channel: channel}).open(Options{})
			must(t, err)
			for i := range 5 {
				on := i%2 == 0
				if err := o.set(deadline(t), on); err != nil {
					t.Error(err)
				}
				if state, err := o.state(deadline(t)); err != nil || state != stateOf(on) {
					t.Errorf("channel %d is %s, %v; want %s", channel, state, err, stateOf(on))
				}
			}
		})
	}
	group.Wait()
	for channel := 1; channel <= 4; channel++ {
		if !b.isClosed(channel)() {
			t.Errorf("channel %d is off", channel)
		}
	}
}

func TestRelayHeldByAnother(t *testing.T) {
	_, node, _ := newRelayBoard(t, lcusBoard)
	holder, err := os.OpenFile(node, os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	defer holder.Close()
	must(t, unix.Flock(int(holder.Fd()), unix.LOCK_EX))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o, err := (&SerialRelay{Device: node}).open(Options{})
	must(t, err)
	wantError(t, o.set(ctx, true), "in use by another program", "(try: fuser")
}
