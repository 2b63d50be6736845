package console

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// maxAttribute bounds what is taken of a sysfs attribute; a USB string
// descriptor has at most 126 characters (USB 2.0, section 9.6.7).
const maxAttribute = 256

// Adapter is a serial port of this host, read from sysfs without opening it.
// What the USB device says of itself holds printable characters only.
type Adapter struct {
	Name         string // ttyUSB0
	Path         string // /dev/ttyUSB0
	ByID         string // /dev/serial/by-id/…; empty where udev made none
	VID, PID     string // four lower-case hex digits; empty when not on USB
	Serial       string // serial number of the USB device; many have none
	Interface    int    // bInterfaceNumber; -1 when not on USB
	Manufacturer string
	Product      string
	USBPort      string // place in the USB tree, as 1-1.4
}

// Adapters lists the serial ports in sys (/sys), sorted by name. dev (/dev) gives
// their by-id names and may be nil. Ports without hardware, which 8250 drivers
// register in advance, are left out.
func Adapters(sys, dev fs.FS) ([]Adapter, error) {
	entries, err := fs.ReadDir(sys, "class/tty")
	if err != nil {
		return nil, fmt.Errorf("failed to list serial ports: %w", err)
	}
	byID := byIDNames(dev)
	var adapters []Adapter
	for _, entry := range entries {
		target, err := fs.ReadLink(sys, path.Join("class/tty", entry.Name()))
		if err != nil {
			continue
		}
		dir := path.Join("class/tty", target)
		adapter := Adapter{Name: entry.Name(), Path: "/dev/" + entry.Name(), ByID: byID[entry.Name()], Interface: -1}
		if !adapter.readUSB(sys, dir) && !hasUART(sys, dir) {
			continue
		}
		adapters = append(adapters, adapter)
	}
	slices.SortFunc(adapters, func(a, b Adapter) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	return adapters, nil
}

// readUSB fills in the USB interface and device above dir, if there are.
func (a *Adapter) readUSB(sys fs.FS, dir string) bool {
	for ; dir != "." && dir != "/" && !strings.HasPrefix(dir, ".."); dir = path.Dir(dir) {
		if number := attribute(sys, dir, "bInterfaceNumber"); number != "" && a.Interface < 0 {
			if n, err := strconv.ParseUint(number, 16, 8); err == nil {
				a.Interface = int(n)
			}
		}
		if vid := attribute(sys, dir, "idVendor"); vid != "" {
			a.VID, a.PID = strings.ToLower(vid), strings.ToLower(attribute(sys, dir, "idProduct"))
			a.Serial = attribute(sys, dir, "serial")
			a.Manufacturer = attribute(sys, dir, "manufacturer")
			a.Product = attribute(sys, dir, "product")
			a.USBPort = path.Base(dir)
			return true
		}
	}
	return false
}

// hasUART tells a real serial_core port from a placeholder, whose type is
// PORT_UNKNOWN, 0 (Linux, include/uapi/linux/serial_core.h).
func hasUART(sys fs.FS, dir string) bool {
	kind := attribute(sys, dir, "type")
	return kind != "" && kind != "0"
}

func attribute(sys fs.FS, dir, name string) string {
	text, err := fs.ReadFile(sys, path.Join(dir, name))
	if err != nil {
		return ""
	}
	text = text[:min(len(text), maxAttribute)]
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, string(text)))
}

func byIDNames(dev fs.FS) map[string]string {
	names := make(map[string]string)
	if dev == nil {
		return names
	}
	const dir = "serial/by-id"
	entries, err := fs.ReadDir(dev, dir)
	if err != nil {
		return names
	}
	for _, entry := range entries {
		if target, err := fs.ReadLink(dev, path.Join(dir, entry.Name())); err == nil {
			names[path.Base(target)] = path.Join("/dev", dir, entry.Name())
		}
	}
	return names
}

var usbSelector = regexp.MustCompile(`^([0-9a-fA-F]{4}):([0-9a-fA-F]{4})(?::(.+))?$`)

func checkUSB(selector string) error {
	if !usbSelector.MatchString(selector) {
		return errors.New("want VID:PID[:SERIAL[:INTERFACE]], as 0403:6001 or 0403:6011:FT4PWSEK:2")
	}
	return nil
}

// matches tells whether selector, VID:PID[:SERIAL[:INTERFACE]], names a. A serial
// number may itself hold colons, so both readings of the rest count.
func (a Adapter) matches(selector string) bool {
	parts := usbSelector.FindStringSubmatch(selector)
	if parts == nil || !strings.EqualFold(a.VID, parts[1]) || !strings.EqualFold(a.PID, parts[2]) {
		return false
	}
	rest := parts[3]
	if rest == "" || rest == a.Serial {
		return true
	}
	last := strings.LastIndexByte(rest, ':')
	if last < 0 {
		return false
	}
	number, err := strconv.ParseUint(rest[last+1:], 16, 8)
	return err == nil && int(number) == a.Interface && (rest[:last] == "" || rest[:last] == a.Serial)
}

// same tells whether b is a, plugged in again, perhaps under another name.
// Without a serial number, only the USB port tells two adapters apart.
func (a Adapter) same(b Adapter) bool {
	return a.VID != "" && a.VID == b.VID && a.PID == b.PID && a.Serial == b.Serial && a.Interface == b.Interface &&
		(a.Serial != "" || a.USBPort == b.USBPort)
}

func (a Adapter) String() string {
	if a.VID == "" {
		return a.Path
	}
	return fmt.Sprintf("%s (%s:%s:%s:%x %s)", cmp.Or(a.ByID, a.Path), a.VID, a.PID, a.Serial, a.Interface, a.Product)
}
