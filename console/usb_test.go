package console

import (
	"io/fs"
	"log/slog"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// usbTTY is one port of an FT232R or FT4232H.
type usbTTY struct{ serial, port, iface string }

// usbTree is the part of sysfs that Linux makes for USB serial adapters.
func usbTree(ttys map[string]usbTTY) *fstest.MapFS {
	tree := fstest.MapFS{"class/tty": {Mode: fs.ModeDir}}
	for name, tty := range ttys {
		iface := tty.iface
		if iface == "" {
			iface = "00"
		}
		device := "devices/pci0000:00/0000:00:14.0/usb1/" + tty.port
		above := device + "/" + tty.port + ":1." + strings.TrimLeft(iface, "0")
		tree["class/tty/"+name] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte("../../" + above + "/" + name + "/tty/" + name)}
		for file, text := range map[string]string{
			above + "/bInterfaceNumber":                  iface + "\n",
			above + "/" + name + "/tty/" + name + "/dev": "188:0\n",
			device + "/idVendor":                         "0403\n",
			device + "/idProduct":                        "6001\n",
			device + "/product":                          "FT232R \x1b[31mUSB\x00 UART\n",
			device + "/manufacturer":                     "FTDI\n",
		} {
			tree[file] = &fstest.MapFile{Data: []byte(text)}
		}
		if tty.serial != "" {
			tree[device+"/serial"] = &fstest.MapFile{Data: []byte(tty.serial + "\n")}
		}
	}
	return &tree
}

func TestAdapters(t *testing.T) {
	sys := *usbTree(map[string]usbTTY{
		"ttyUSB10": {serial: "FT4PWSEK", port: "1-1.4", iface: "01"},
		"ttyUSB2":  {port: "1-2"},
	})
	uart := func(name, kind string) {
		dir := "devices/platform/serial8250/tty/" + name
		sys["class/tty/"+name] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte("../../" + dir)}
		sys[dir+"/type"] = &fstest.MapFile{Data: []byte(kind + "\n")}
	}
	uart("ttyS0", "4")
	uart("ttyS1", "0")
	for name, target := range map[string]string{"tty0": "../../devices/virtual/tty/tty0", "evil": "../../../../../etc"} {
		sys["class/tty/"+name] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte(target)}
	}
	const byID = "usb-FTDI_FT4232H_FT4PWSEK-if01-port0"
	dev := fstest.MapFS{"serial/by-id/" + byID: {Mode: fs.ModeSymlink, Data: []byte("../../ttyUSB10")}}

	got, err := Adapters(sys, dev)
	if err != nil {
		t.Fatal(err)
	}
	usb := Adapter{VID: "0403", PID: "6001", Manufacturer: "FTDI", Product: "FT232R [31mUSB UART"}
	second, tenth := usb, usb
	second.Name, second.Path, second.USBPort = "ttyUSB2", "/dev/ttyUSB2", "1-2"
	tenth.Name, tenth.Path, tenth.USBPort = "ttyUSB10", "/dev/ttyUSB10", "1-1.4"
	tenth.Serial, tenth.Interface, tenth.ByID = "FT4PWSEK", 1, "/dev/serial/by-id/"+byID
	want := []Adapter{{Name: "ttyS0", Path: "/dev/ttyS0", Interface: -1}, second, tenth}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Adapters (-want +got):\n%s", diff)
	}

	if _, err := Adapters(fstest.MapFS{}, nil); err == nil {
		t.Error("Adapters without a sysfs succeeded")
	}
}

func TestAdaptersOfThisHost(t *testing.T) {
	if !exists("/sys/class/tty") {
		t.Skip("needs sysfs")
	}
	adapters, err := Adapters(os.DirFS("/sys"), os.DirFS("/dev"))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range adapters {
		t.Log(a)
		if path.Base(a.Path) != a.Name {
			t.Errorf("%+v has no path", a)
		}
	}
}

func TestUSBSelector(t *testing.T) {
	plain := Adapter{VID: "0403", PID: "6011", Serial: "FT4PWSEK", Interface: 2}
	colons := Adapter{VID: "1a86", PID: "55d3", Serial: "AA:BB:02", Interface: 0}
	unnamed := Adapter{VID: "1a86", PID: "7523", Interface: 0}
	for _, test := range []struct {
		selector string
		adapter  Adapter
		want     bool
	}{
		{"0403:6011", plain, true},
		{"0403:6001", plain, false},
		{"0403:6011:FT4PWSEK", plain, true},
		{"0403:6011:ft4pwsek", plain, false},
		{"0403:6011:FT4PWSEK:2", plain, true},
		{"0403:6011:FT4PWSEK:02", plain, true},
		{"0403:6011:FT4PWSEK:1", plain, false},
		{"0403:6011::2", plain, true},
		{"1A86:55D3:AA:BB:02", colons, true},
		{"1a86:55d3:AA:BB:02:0", colons, true},
		{"1a86:55d3:AA:BB", colons, false},
		{"1a86:7523", unnamed, true},
		{"1a86:7523:X", unnamed, false},
		{"1a86:7523::0", unnamed, true},
		{"1a86", unnamed, false},
		{":", Adapter{}, false},
	} {
		if got := test.adapter.matches(test.selector); got != test.want {
			t.Errorf("%q matches %+v: %v, want %v", test.selector, test.adapter, got, test.want)
		}
	}
}

func TestAmbiguousAdapterIsRefused(t *testing.T) {
	bus := serialBus{usbTree(map[string]usbTTY{
		"ttyUSB0": {serial: "A", port: "1-1"},
		"ttyUSB1": {serial: "B", port: "1-2"},
	}), t.TempDir()}
	_, _, err := bus.find(Spec{USB: "0403:6001"}, nil)
	if err == nil || !strings.Contains(err.Error(), "2 adapters match") || !strings.Contains(err.Error(), "0403:6001:B:0") {
		t.Errorf("find: %v, want both adapters in it", err)
	}
	node, adapter, err := bus.find(Spec{USB: "0403:6001:B"}, nil)
	if err != nil || path.Base(node) != "ttyUSB1" || adapter.Serial != "B" {
		t.Errorf("find B: %q %+v %v", node, adapter, err)
	}
}
