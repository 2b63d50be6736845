package power

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// sysfsHub makes a USB 3 hub in a tree like sysfs: hub 1-1 with its peer 2-1.
// Without disable files it is the sysfs of a Linux before 6.0.
func sysfsHub(t *testing.T, disable bool) string {
	sys := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(sys, path)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
	must(t, os.MkdirAll(filepath.Join(sys, usbDevices), 0o755))
	for bus, protocol := range map[string]string{"1": "02", "2": "03"} {
		root := "devices/pci0000:00/0000:00:14.0/usb" + bus
		hub := root + "/" + bus + "-1"
		for name, text := range map[string]string{
			"bDeviceClass": "09\n", "bDeviceProtocol": protocol + "\n", "bConfigurationValue": "1\n", "maxchild": "4\n",
			"busnum": bus + "\n", "devnum": "5\n",
		} {
			write(hub+"/"+name, text)
		}
		for port := 1; port <= 4; port++ {
			dir := fmt.Sprintf("%s/%s-1:1.0/%s-1-port%d", hub, bus, bus, port)
			write(dir+"/connect_type", "hotplug\n")
			if disable {
				write(dir+"/disable", "0\n")
			}
			other := map[string]string{"1": "2", "2": "1"}[bus]
			must(t, os.Symlink(fmt.Sprintf("../../../../usb%s/%s-1/%s-1:1.0/%s-1-port%d", other, other, other, other, port), filepath.Join(sys, dir, "peer")))
		}
		must(t, os.Symlink("../../../"+root, filepath.Join(sys, usbDevices, "usb"+bus)))
		must(t, os.Symlink("../../../"+hub, filepath.Join(sys, usbDevices, bus+"-1")))
	}
	return sys
}

// fakeHub answers requests for both halves, by bus.
type fakeHub struct {
	characteristics byte
	powered         map[[2]int]bool // bus and port
	stuck           bool
	err             error
}

func (h *fakeHub) descriptor(int, int, bool) ([]byte, error) {
	return []byte{9, usbHubDescriptor, 4, h.characteristics, 0}, h.err
}

func (h *fakeHub) setPower(bus, _, port int, on bool) error {
	if !h.stuck {
		h.powered[[2]int{bus, port}] = on
	}
	return h.err
}

func (h *fakeHub) status(bus, _, port int) (uint16, error) {
	status := uint16(0)
	if h.powered[[2]int{bus, port}] {
		status = map[int]uint16{1: 1 << 8, 2: 1 << 9}[bus]
	}
	return status | 1, h.err
}

func usbHubRig(t *testing.T) *rig {
	sys := sysfsHub(t, true)
	port := func(bus string) string {
		return filepath.Join(sys, usbDevices, bus+"-1", bus+"-1:1.0", bus+"-1-port2", "disable")
	}
	enabled := func(bus string) bool {
		data, _ := os.ReadFile(port(bus))
		return strings.TrimSpace(string(data)) == "0"
	}
	return &rig{
		spec:    Spec{USBHub: &USBHub{Hub: "1-1", Port: 2}},
		prepare: func(o outlet) { u := o.(*usbHub); u.sys, u.requests = sys, &fakeHub{characteristics: 1} },
		isOn:    func() bool { return enabled("1") || enabled("2") },
		faults: map[fault]func(){
			garbage: func() { os.WriteFile(port("2"), []byte("perhaps\n"), 0o644); os.Chmod(port("2"), 0o444) },
			gone:    func() { os.Remove(filepath.Join(sys, usbDevices, "2-1")) },
		},
	}
}

func usbHubRequestRig(t *testing.T) *rig {
	sys := sysfsHub(t, false)
	hub := &fakeHub{characteristics: 9, powered: map[[2]int]bool{}}
	return &rig{
		spec:    Spec{USBHub: &USBHub{Hub: "7-1", Port: 2, Controller: "0000:00:14.0"}},
		prepare: func(o outlet) { u := o.(*usbHub); u.sys, u.requests = sys, hub },
		isOn:    func() bool { return hub.powered[[2]int{1, 2}] || hub.powered[[2]int{2, 2}] },
		faults: map[fault]func(){
			stuck: func() { hub.stuck = true },
			gone:  func() { hub.err = syscall.ENODEV },
		},
	}
}

func TestUSBHubRefusesGanged(t *testing.T) {
	for characteristics, want := range map[byte]string{
		0: "switches all its ports together", 2: "cannot switch the power", 3: "cannot switch the power",
		0xe0: "switches all its ports together", 1: "", 0xe9: "",
	} {
		t.Run(fmt.Sprintf("%#x", characteristics), func(t *testing.T) {
			r := usbHubRig(t)
			s, c, _ := r.opened(t)
			c.outlet.(*guard).outlet.(*usbHub).requests = &fakeHub{characteristics: characteristics}
			err := s.Off(t.Context())
			if want == "" {
				must(t, err)
				return
			}
			wantError(t, err, want, "(try: another hub")
			if !r.isOn() {
				t.Error("it was switched all the same")
			}
			r.spec.USBHub.Force = true
			s, _, _ = r.opened(t)
			must(t, s.Off(t.Context()))
		})
	}
}

func TestUSBHubMistakes(t *testing.T) {
	sys := sysfsHub(t, true)
	must(t, os.WriteFile(filepath.Join(sys, usbDevices, "1-1", "1-1:1.0", "bDeviceClass"), []byte("ff\n"), 0o644))
	must(t, os.Symlink("1-1/1-1:1.0", filepath.Join(sys, usbDevices, "1-2")))
	for want, spec := range map[string]USBHub{
		`no USB hub "1-3"`:                     {Hub: "1-3", Port: 1},
		`"1-2" is no hub`:                      {Hub: "1-2", Port: 1},
		`has no port 9`:                        {Hub: "1-1", Port: 9},
		`controller "0000:00:15.0" has no hub`: {Hub: "1-1", Port: 1, Controller: "0000:00:15.0"},
		`failed to read the descriptor`:        {Hub: "1-1", Port: 1},
	} {
		u := &usbHub{USBHub: spec, sys: sys, requests: &fakeHub{characteristics: 1, err: syscall.EACCES}}
		wantError(t, u.set(t.Context(), false), want)
	}
}

// fakeGPIO is one line that keeps its level when it is let go.
type fakeGPIO struct {
	output, busy bool
	level        int
	held         bool
	err          error
}

func (g *fakeGPIO) find(chip, line string) (string, int, error) {
	if line != "RELAY3" {
		return "", 0, errors.New("not found")
	}
	return "/dev/gpiochip0", 17, g.err
}

func (g *fakeGPIO) look(chip string, line int) (bool, int, error) {
	if chip != "/dev/gpiochip0" || line != 17 {
		return false, 0, errors.New("another line")
	}
	return g.output, g.level, g.err
}

func (g *fakeGPIO) drive(chip string, line, level int) (gpioLine, error) {
	if g.held || g.busy {
		return nil, syscall.EBUSY
	}
	g.held, g.output, g.level = true, true, level
	return g, g.err
}

func (g *fakeGPIO) SetValue(level int) error { g.level = level; return g.err }
func (g *fakeGPIO) Value() (int, error)      { return g.level, g.err }
func (g *fakeGPIO) Close() error             { g.held = false; return nil }

func gpioRig(t *testing.T) *rig    { return gpioLine17(GPIO{Chip: "/dev/gpiochip0", Line: "17"}) }
func gpioLowRig(t *testing.T) *rig { return gpioLine17(GPIO{Line: "RELAY3", ActiveLow: true}) }

func gpioLine17(cfg GPIO) *rig {
	line := &fakeGPIO{output: true}
	return &rig{
		spec:    Spec{GPIO: &cfg},
		prepare: func(o outlet) { line.held = false; o.(*gpio).bench = line },
		isOn:    func() bool { return (line.level == 1) != cfg.ActiveLow },
		faults:  map[fault]func(){gone: func() { line.err = syscall.ENODEV }},
	}
}

func TestGPIOLine(t *testing.T) {
	line := &fakeGPIO{}
	g := &gpio{GPIO: GPIO{Chip: "/dev/gpiochip0", Line: "17"}, bench: line}
	if state, err := g.state(t.Context()); state != Unknown || err != nil {
		t.Errorf("an input is %s, %v; want unknown", state, err)
	}
	line.busy = true
	wantError(t, g.set(t.Context(), true), "held by another program")
	line.busy = false
	must(t, g.set(t.Context(), true))
	if !line.held {
		t.Error("the line is not held")
	}
	must(t, g.Close())
	if line.held || line.level != 1 {
		t.Errorf("after close the line is held: %t, at %d; want free, at 1", line.held, line.level)
	}
}

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

func execRig(t *testing.T) *rig {
	dir := t.TempDir()
	file, mode := filepath.Join(dir, "state"), filepath.Join(dir, "mode")
	script := filepath.Join(dir, "relay")
	must(t, os.WriteFile(script, []byte(`#!/bin/sh
case "$(cat `+mode+` 2>/dev/null)" in
mute) sleep 600 & wait ;;
garbage) echo "perhaps"; exit 0 ;;
gone) echo "no such relay" >&2; exit 1 ;;
stuck) [ "$1" = state ] || { echo ok; exit 0; } ;;
esac
case "$1" in
state) cat `+file+` ;;
*) echo "$1" >`+file+`; echo ok ;;
esac
`), 0o755))
	must(t, os.WriteFile(file, []byte("off"), 0o644))
	r := &rig{
		spec: Spec{Exec: &Exec{
			On: []string{script, "on"}, Off: []string{script, "off"}, Answer: `^ok\s*$`,
			State: &ExecState{Command: []string{script, "state"}, On: `^on\s*$`, Off: `^off\s*$`},
		}},
		isOn:   func() bool { data, _ := os.ReadFile(file); return strings.TrimSpace(string(data)) == "on" },
		faults: map[fault]func(){},
	}
	for _, f := range []struct {
		fault
		word string
	}{{stuck, "stuck"}, {mute, "mute"}, {garbage, "garbage"}, {gone, "gone"}} {
		r.faults[f.fault] = func() { os.WriteFile(mode, []byte(f.word), 0o644) }
	}
	return r
}

// TestExecLeavesNothing kills what a command has started when the context ends.
func TestExecLeavesNothing(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	must(t, unix.Mkfifo(pids, 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := run(ctx, []string{"/bin/sh", "-c", `sleep 600 & echo $! >` + pids + `; wait`})
		failed <- err
	}()
	text, err := os.ReadFile(pids)
	must(t, err)
	cancel()
	if err := <-failed; err == nil {
		t.Error("no error from a command that was killed")
	}
	var pid int
	fmt.Sscan(string(text), &pid)
	for syscall.Kill(pid, 0) == nil {
		if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Contains(string(data), ") Z ") {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("the command's child is alive")
		}
	}
}

func TestExecErrors(t *testing.T) {
	for want, argv := range map[string][]string{
		"no such file":       {"/nowhere/relay"},
		"exit status 3: \"d": {"/bin/sh", "-c", "echo dead relay >&2; exit 3"},
		"exit status 4":      {"/bin/sh", "-c", "exit 4"},
	} {
		_, err := run(deadline(t), argv)
		wantError(t, err, want)
	}
	output, err := run(deadline(t), []string{"/bin/sh", "-c", "head -c 1000000 /dev/zero"})
	if err != nil || len(output) != maxAnswer {
		t.Errorf("got %d bytes, %v; want %d", len(output), err, maxAnswer)
	}
}

func manualRig(t *testing.T) *rig {
	var on atomic.Bool
	return &rig{
		spec: Spec{Manual: &Manual{Switch: "the left plug"}}, blind: true, isOn: on.Load,
		opts: Options{Ask: func(ctx context.Context, question string) error {
			switch question {
			case "Switch the left plug on.":
				on.Store(true)
			case "Switch the left plug off.":
				on.Store(false)
			default:
				return errors.New("pardon?")
			}
			return ctx.Err()
		}},
	}
}

func TestManualNeedsAPerson(t *testing.T) {
	_, err := Open(Spec{Manual: &Manual{}}, Options{})
	wantError(t, err, "nobody to ask")
}
