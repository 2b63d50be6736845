package power

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cavaliergopher/cpio"
)

// guestInit runs the guest's side of TestUSBHubInGuest.
const guestInit = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
for module in usb-common usbcore xhci-hcd xhci-pci; do insmod /modules/$module.ko; done
/guest.test -test.run '^TestUSBHubGuestSide$' -test.v
poweroff -f
`

// guestVariable is set for the guest's side.
const guestVariable = "B2C_USB_GUEST_SIDE"

// TestUSBHubInGuest runs TestUSBHubGuestSide on a virtual machine with hubs: 1-1
// switches its ports one by one, 1-2 not at all. It boots what
// testdata/usbguest.sh has made.
func TestUSBHubInGuest(t *testing.T) {
	const made = "../build/usbguest"
	if _, err := os.Stat(made + "/initramfs"); err != nil {
		t.Skip("needs build/usbguest (try: power/testdata/usbguest.sh build/usbguest)")
	}
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("needs qemu-system-x86_64")
	}
	dir := t.TempDir()
	binary, initramfs := filepath.Join(dir, "guest.test"), filepath.Join(dir, "initramfs")
	build := exec.Command("go", "test", "-c", "-ldflags", "-s -w", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("failed to build for the guest: %v\n%s", err, output)
	}
	base, err := os.ReadFile(made + "/initramfs")
	must(t, err)
	must(t, os.WriteFile(initramfs, append(base, guestFiles(t, binary)...), 0o600))

	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	var console bytes.Buffer
	cmd := exec.CommandContext(ctx, qemu, "-machine", "q35", "-accel", "tcg", "-m", "512", "-nographic", "-no-reboot", "-net", "none",
		"-kernel", made+"/vmlinuz", "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=-1 "+guestVariable+"=1",
		"-device", "qemu-xhci,id=x,addr=4",
		"-device", "usb-hub,port-power=on,bus=x.0,port=1,ports=4", "-device", "usb-kbd,bus=x.0,port=1.2",
		"-device", "usb-hub,port-power=off,bus=x.0,port=2,ports=4", "-device", "usb-mouse,bus=x.0,port=2.3")
	cmd.Stdout, cmd.Stderr = &console, &console
	err = cmd.Run()
	if err != nil || !strings.Contains(console.String(), "--- PASS: TestUSBHubGuestSide") {
		t.Errorf("the guest: %v\n%s", err, console.String())
	}
}

// guestFiles is an archive that the kernel unpacks over the base.
func guestFiles(t *testing.T, binary string) []byte {
	t.Helper()
	program, err := os.Open(binary)
	must(t, err)
	defer program.Close()
	info, err := program.Stat()
	must(t, err)
	var archive bytes.Buffer
	w := cpio.NewWriter(&archive)
	for _, file := range []struct {
		name string
		size int64
		io.Reader
	}{{"init", int64(len(guestInit)), strings.NewReader(guestInit)}, {"guest.test", info.Size(), program}} {
		must(t, w.WriteHeader(&cpio.Header{Name: file.name, Mode: cpio.TypeReg | 0o755, Size: file.size}))
		_, err := io.Copy(w, file)
		must(t, err)
	}
	must(t, w.Close())
	return archive.Bytes()
}

// TestUSBHubGuestSide has the real kernel below, and uhubctl as the oracle.
func TestUSBHubGuestSide(t *testing.T) {
	if os.Getenv(guestVariable) == "" {
		t.Skip("runs in the guest of TestUSBHubInGuest")
	}
	const device = "/sys/bus/usb/devices/1-1.2"
	await := func(present bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; {
			if _, err := os.Stat(device); (err == nil) == present {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("the device is there: %t, want %t", !present, present)
			}
		}
	}
	oracle := func(want State) {
		t.Helper()
		output, err := exec.Command("uhubctl", "-l", "1-1", "-p", "2").CombinedOutput()
		said := map[State]string{On: " power", Off: " off"}[want]
		if _, status, _ := strings.Cut(string(output), "Port 2: "); err != nil || len(status) < 4 || !strings.HasPrefix(status[4:], said) {
			t.Errorf("uhubctl says %q, %v; want %s", output, err, want)
		}
	}
	supply := func(hub string, port int) Supply {
		s, err := Open(Spec{USBHub: &USBHub{Hub: hub, Port: port}, OffTime: -1}, Options{})
		must(t, err)
		return s
	}
	await(true)
	s := supply("1-1", 2)
	for _, step := range []struct {
		do   func(context.Context) error
		want State
	}{{s.Off, Off}, {s.On, On}, {func(ctx context.Context) error { return Cycle(ctx, s) }, On}, {s.Off, Off}, {s.Off, Off}, {s.On, On}} {
		must(t, step.do(t.Context()))
		await(step.want == On)
		oracle(step.want)
		if state, err := s.(Stater).State(t.Context()); err != nil || state != step.want {
			t.Errorf("the state is %s, %v; want %s", state, err, step.want)
		}
	}
	// Switched by somebody else.
	if output, err := exec.Command("uhubctl", "-l", "1-1", "-p", "2", "-a", "off").CombinedOutput(); err != nil {
		t.Fatalf("uhubctl: %v %s", err, output)
	}
	if state, err := s.(Stater).State(t.Context()); err != nil || state != Off {
		t.Errorf("after uhubctl the state is %s, %v; want off", state, err)
	}
	must(t, s.On(t.Context()))
	await(true)

	// By request, as on a kernel without the disable files.
	hub := usbfs{}
	var number int
	text, err := os.ReadFile("/sys/bus/usb/devices/1-1/devnum")
	must(t, err)
	fmt.Sscan(string(text), &number)
	for _, want := range []State{Off, On} {
		must(t, hub.setPower(1, number, 2, want == On))
		oracle(want)
		status, err := hub.status(1, number, 2)
		if err != nil || (status&(1<<8) != 0) != (want == On) {
			t.Errorf("the status is %#x, %v; want %s", status, err, want)
		}
	}
	for hub, port := range map[string]int{"1-2": 3, "usb1": 3, "usb2": 3} {
		wantError(t, supply(hub, port).Off(t.Context()), "cannot switch the power of its ports")
	}
	wantError(t, supply("1-1", 5).Off(t.Context()), "has no port 5")
	wantError(t, supply("1-3", 1).Off(t.Context()), `there is no USB hub "1-3"`)
	if output, err := exec.Command("uhubctl").CombinedOutput(); err != nil || strings.Contains(string(output), "hub 1-2 ") {
		t.Errorf("uhubctl takes 1-2 for a switchable hub: %v\n%s", err, output)
	}
	byController, err := Open(Spec{USBHub: &USBHub{Hub: "9-1", Port: 2, Controller: "0000:00:04.0"}, OffTime: -1}, Options{})
	must(t, err)
	must(t, byController.Off(t.Context()))
	await(false)
}
