package power

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// USBHub is a port of a USB hub that can switch the power of each of its ports.
//
// A USB 3 hub is two hubs, one for each kind of speed, and a board is fed while
// either half of its port is on: both are switched.
type USBHub struct {
	// Hub is the name of the hub in /sys/bus/usb/devices, such as 1-1.1, or usb1
	// for a root hub; either half of a USB 3 hub will do.
	Hub  string `yaml:"hub" strict:"required"`
	Port int    `yaml:"port" strict:"required"` // from 1, as printed by lsusb -t
	// Controller is the host controller that the hub is behind, such as
	// 0000:00:14.0 (try: readlink /sys/bus/usb/devices/usb1). With it the number
	// of the bus in Hub, which may change from boot to boot, does not count.
	Controller string `yaml:"controller"`
	// Force is for a hub that says its ports are switched together, or not at
	// all, when you have seen that they are not.
	Force bool `yaml:"force"`
}

var hubName = regexp.MustCompile(`^(usb[0-9]{1,3}|[0-9]{1,3}-[0-9]{1,2}(\.[0-9]{1,2})*)$`)

func (c *USBHub) check() error {
	var errs []error
	if !hubName.MatchString(c.Hub) {
		errs = append(errs, fmt.Errorf("bad hub %q: want a name of /sys/bus/usb/devices such as 1-1.1 (try: lsusb -t)", c.Hub))
	}
	if c.Port < 1 || c.Port > 255 {
		errs = append(errs, fmt.Errorf("bad port %d: want 1 to 255", c.Port))
	}
	if strings.Contains(c.Controller, "/") {
		errs = append(errs, fmt.Errorf("bad controller %q: want a name such as 0000:00:14.0", c.Controller))
	}
	return errors.Join(errs...)
}

func (c *USBHub) device() string {
	if c.Controller != "" {
		return fmt.Sprintf("%s/%s/%d", c.Controller, strings.TrimLeft(strings.TrimPrefix(c.Hub, "usb"), "0123456789"), c.Port)
	}
	return fmt.Sprintf("%s/%d", c.Hub, c.Port)
}

func (c *USBHub) secrets() []string { return nil }

func (c *USBHub) open(Options) (outlet, error) {
	return &usbHub{USBHub: *c, sys: "/sys", requests: usbfs{}}, nil
}

type usbHub struct {
	USBHub
	sys      string // where sysfs is
	requests hubRequests
}

// hubRequests are requests to a hub itself, of the USB 2.0 specification 11.24.2
// and the USB 3.2 specification 10.16.2.
type hubRequests interface {
	// descriptor returns the start of the hub descriptor, up to and with
	// wHubCharacteristics.
	descriptor(bus, device int, super bool) ([]byte, error)
	setPower(bus, device, port int, on bool) error
	status(bus, device, port int) (uint16, error) // wPortStatus
}

// half is a port of one of the two hubs that a USB 3 hub is.
type half struct {
	hub         string // 1-1.1
	port        int
	dir         string // of the port, below /sys
	bus, device int
	super       bool // the SuperSpeed half
}

const usbDevices = "bus/usb/devices"

// halves finds the port and, for a USB 3 hub, its peer, which the kernel links.
func (u *usbHub) halves(root *os.Root) ([]half, error) {
	name, err := u.name(root)
	if err != nil {
		return nil, err
	}
	first, err := readHalf(root, name, u.Port)
	if err != nil {
		return nil, err
	}
	peer, err := root.Readlink(first.dir + "/peer")
	if errors.Is(err, fs.ErrNotExist) {
		return []half{first}, nil
	}
	if err != nil {
		return nil, err
	}
	hub, port, ok := strings.Cut(path.Base(peer), "-port")
	number, err := strconv.Atoi(port)
	if !ok || err != nil || !hubName.MatchString(hub) {
		return nil, fmt.Errorf("hub %q port %d has a peer that makes no sense: %q", name, u.Port, peer)
	}
	second, err := readHalf(root, hub, number)
	return []half{first, second}, err
}

// name is the hub's name with the bus number of today: that of the root hub
// behind the controller under which there is such a hub.
func (u *usbHub) name(root *os.Root) (string, error) {
	if u.Controller == "" {
		return u.Hub, nil
	}
	for bus := 1; bus <= 255; bus++ {
		link, err := root.Readlink(usbDevices + "/usb" + strconv.Itoa(bus))
		if err != nil || path.Base(path.Dir(link)) != u.Controller {
			continue
		}
		name := "usb" + strconv.Itoa(bus)
		if _, below, ok := strings.Cut(u.Hub, "-"); ok {
			name = strconv.Itoa(bus) + "-" + below
		}
		if _, err := root.Stat(usbDevices + "/" + name); err == nil {
			return name, nil
		}
	}
	return "", fmt.Errorf("controller %q has no hub %q (try: lsusb -t)", u.Controller, u.Hub)
}

func readHalf(root *os.Root, hub string, port int) (half, error) {
	h := half{hub: hub, port: port}
	attribute := func(name string) string {
		data, _ := root.ReadFile(usbDevices + "/" + hub + "/" + name)
		return strings.TrimSpace(string(data))
	}
	if _, err := root.Stat(usbDevices + "/" + hub); err != nil {
		return half{}, fmt.Errorf("there is no USB hub %q: %w (try: lsusb -t)", hub, err)
	}
	if class := attribute("bDeviceClass"); class != "09" {
		return half{}, fmt.Errorf("USB device %q is no hub (its class is %q)", hub, class)
	}
	h.bus, _ = strconv.Atoi(attribute("busnum"))
	h.device, _ = strconv.Atoi(attribute("devnum"))
	h.super = attribute("bDeviceProtocol") == "03"
	interfaces := hub
	if bus, ok := strings.CutPrefix(hub, "usb"); ok {
		interfaces = bus + "-0"
	}
	h.dir = fmt.Sprintf("%s/%s/%s:%s.0/%s-port%d", usbDevices, hub, interfaces, attribute("bConfigurationValue"), hub, port)
	if _, err := root.Stat(h.dir); err != nil {
		return half{}, fmt.Errorf("USB hub %q has no port %d: %w (it has %s)", hub, port, err, attribute("maxchild"))
	}
	return h, nil
}

func (u *usbHub) set(_ context.Context, on bool) error {
	return u.each(func(root *os.Root, h half) error {
		if err := u.refuseGanged(h); err != nil {
			return err
		}
		file, err := root.OpenFile(h.dir+"/disable", os.O_WRONLY, 0)
		if errors.Is(err, fs.ErrNotExist) { // Linux before 6.0
			return u.requests.setPower(h.bus, h.device, h.port, on)
		}
		if err != nil {
			return explainUSB(err)
		}
		value := "1"
		if on {
			value = "0"
		}
		_, err = file.WriteString(value)
		return errors.Join(err, file.Close())
	})
}

// refuseGanged reads wHubCharacteristics, of which bits 1 and 0 are 01 for ports
// that are switched one by one.
func (u *usbHub) refuseGanged(h half) error {
	if u.Force {
		return nil
	}
	data, err := u.requests.descriptor(h.bus, h.device, h.super)
	switch {
	case err != nil:
		return explainUSB(fmt.Errorf("failed to read the descriptor of hub %q: %w", h.hub, err))
	case len(data) < 5:
		return fmt.Errorf("the descriptor of hub %q is cut off", h.hub)
	case int(data[2]) < h.port:
		return refused{fmt.Errorf("hub %q has %d ports, no port %d", h.hub, data[2], h.port)}
	}
	switch data[3] & 3 {
	case 1:
		return nil
	case 0:
		return refused{fmt.Errorf("hub %q switches all its ports together (try: another hub; one that uhubctl lists with ppps)", h.hub)}
	}
	return refused{fmt.Errorf("hub %q cannot switch the power of its ports (try: another hub; one that uhubctl lists with ppps)", h.hub)}
}

// state is On while either half is on.
func (u *usbHub) state(context.Context) (State, error) {
	state := Off
	err := u.each(func(root *os.Root, h half) error {
		data, err := root.ReadFile(h.dir + "/disable")
		if errors.Is(err, fs.ErrNotExist) {
			status, err := u.requests.status(h.bus, h.device, h.port)
			if err != nil {
				return explainUSB(err)
			}
			bit := uint16(1 << 8) // PORT_POWER, USB 2.0 table 11-21
			if h.super {
				bit = 1 << 9 // USB 3.2 table 10-13
			}
			if status&bit != 0 {
				state = On
			}
			return nil
		}
		switch text := strings.TrimSpace(string(data)); {
		case err != nil:
			return explainUSB(err)
		case text == "0":
			state = On
		case text != "1":
			return fmt.Errorf("%s/disable says %s", h.dir, excerpt(data))
		}
		return nil
	})
	if err != nil {
		return Unknown, err
	}
	return state, nil
}

// each calls f with each half, also after one has failed.
func (u *usbHub) each(f func(*os.Root, half) error) error {
	root, err := os.OpenRoot(u.sys)
	if err != nil {
		return err
	}
	defer root.Close()
	halves, err := u.halves(root)
	if err != nil {
		return err
	}
	var errs []error
	for _, h := range halves {
		errs = append(errs, f(root, h))
	}
	return errors.Join(errs...)
}

func explainUSB(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w (try: run as root, or a udev rule that gives your group the hub and its disable files)", err)
	}
	return err
}
