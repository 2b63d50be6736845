package power

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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

// A board is fed while either half of its port is on.
func TestUSBHubHalves(t *testing.T) {
	for _, disable := range []bool{true, false} {
		for _, on := range []string{"", "1", "2", "12"} {
			sys := sysfsHub(t, disable)
			hub := &fakeHub{characteristics: 1, powered: map[[2]int]bool{}}
			for bus, number := range map[string]int{"1": 1, "2": 2} {
				hub.powered[[2]int{number, 3}] = strings.Contains(on, bus)
				if disable && !strings.Contains(on, bus) {
					must(t, os.WriteFile(filepath.Join(sys, usbDevices, bus+"-1", bus+"-1:1.0", bus+"-1-port3", "disable"), []byte("1\n"), 0o644))
				}
			}
			for _, name := range []string{"1-1", "2-1"} {
				u := &usbHub{USBHub: USBHub{Hub: name, Port: 3}, sys: sys, requests: hub}
				if state, err := u.state(t.Context()); err != nil || state != stateOf(on != "") {
					t.Errorf("hub %s, disable files %t, halves that are on %q: %s, %v", name, disable, on, state, err)
				}
			}
		}
	}
}
