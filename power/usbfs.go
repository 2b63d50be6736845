package power

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// usbfs sends hub requests by the device nodes of the kernel.
type usbfs struct{}

// Requests of the USB 2.0 specification: tables 9-4, 9-5, 11-15 to 11-17.
const (
	usbGetStatus     = 0
	usbClearFeature  = 1
	usbSetFeature    = 3
	usbGetDescriptor = 6

	usbPortPower = 8 // feature

	usbHubDescriptor      = 0x29
	usbSuperHubDescriptor = 0x2a // USB 3.2, 10.16.2.5

	usbToHub    = 0x20 // class request to the device
	usbToPort   = 0x23 // class request to a port
	usbFromHub  = usbToHub | 0x80
	usbFromPort = usbToPort | 0x80
)

// usbRequestTimeout is in milliseconds.
const usbRequestTimeout = 1000

// usbControl is struct usbdevfs_ctrltransfer of linux/usbdevice_fs.h.
type usbControl struct {
	requestType, request uint8
	value, index, length uint16
	timeout              uint32 // ms
	data                 unsafe.Pointer
}

// usbDevfsControl is _IOWR('U', 0, struct usbdevfs_ctrltransfer), as most
// architectures number it.
const usbDevfsControl = 3<<30 | unsafe.Sizeof(usbControl{})<<16 | 'U'<<8

func (usbfs) descriptor(bus, device int, super bool) ([]byte, error) {
	kind := uint16(usbHubDescriptor)
	if super {
		kind = usbSuperHubDescriptor
	}
	data := make([]byte, 12) // hubs stall when asked for less than a whole descriptor
	n, err := control(bus, device, usbFromHub, usbGetDescriptor, kind<<8, 0, data)
	return data[:n], err
}

func (usbfs) setPower(bus, device, port int, on bool) error {
	request := uint8(usbClearFeature)
	if on {
		request = usbSetFeature
	}
	_, err := control(bus, device, usbToPort, request, usbPortPower, uint16(port), nil)
	return err
}

func (usbfs) status(bus, device, port int) (uint16, error) {
	data := make([]byte, 4)
	n, err := control(bus, device, usbFromPort, usbGetStatus, 0, uint16(port), data)
	if err == nil && n < len(data) {
		err = fmt.Errorf("the status of port %d is cut off", port)
	}
	return uint16(data[0]) | uint16(data[1])<<8, err
}

// control makes one control transfer and returns how many bytes it moved.
func control(bus, device int, requestType, request uint8, value, index uint16, data []byte) (int, error) {
	file, err := os.OpenFile(fmt.Sprintf("/dev/bus/usb/%03d/%03d", bus, device), os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	transfer := usbControl{
		requestType: requestType, request: request, value: value, index: index,
		length: uint16(len(data)), timeout: usbRequestTimeout, data: unsafe.Pointer(unsafe.SliceData(data)),
	}
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), usbDevfsControl, uintptr(unsafe.Pointer(&transfer)))
	runtime.KeepAlive(data)
	if errno != 0 {
		return 0, fmt.Errorf("control request %#x to %q: %w", request, file.Name(), errno)
	}
	return int(n), nil
}
