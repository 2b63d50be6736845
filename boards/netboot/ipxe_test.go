package netboot_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"b2c-runner/boards/netboot"
	"b2c-runner/boards/netboot/netboottest"
	"b2c-runner/boards/virtual"
)

// TestIPXEBoots boots a real iPXE, in QEMU, with a kernel of 100 bytes that prints
// its command line. DISCOVER → script takes 16 s without the router advertisement,
// 3 s without option 176.
func TestIPXEBoots(t *testing.T) {
	cmdline := `console=ttyS0 b2c.run="-ti docker://10.42.0.1/x:latest;  echo 'a  b' && c || d # e" ; a;b | & x="$HOME ${y" \`
	initramfs := []netboot.File{
		{Data: bytes.Repeat([]byte("a"), 5)},
		{Data: bytes.Repeat([]byte("b"), 1<<20)},
		{Data: []byte("ccc")},
	}
	mac := net.HardwareAddr{0x52, 0x54, 0, 0x77, 0, 1}
	events := newEvents()
	lab := startLab(t, labConfig{events: events.add})
	err := lab.server.Add(netboot.Offer{
		Name: "qemu", MAC: mac,
		Boot: netboot.Boot{Kernel: netboot.File{Data: printerKernel()}, Initramfs: initramfs, Cmdline: cmdline},
	})
	if err != nil {
		t.Fatal(err)
	}
	console := startQEMU(t, lab.net, mac)
	console.waitFor(t, "["+"initrd=b2c "+cmdline+"]")

	script := events.wait(t, netboot.ScriptSent)
	discover := events.wait(t, netboot.DHCPDiscover)
	took := script.Time.Sub(discover.Time)
	t.Logf("DISCOVER → script: %v", took)
	if took > time.Second {
		t.Errorf("DISCOVER → script took %v, want less than 1 s", took)
	}
	for file, size := range map[string]int64{"/kernel": int64(len(printerKernel())), "/initramfs": 8 + 1<<20 + 3} {
		e := events.waitFor(t, func(e netboot.Event) bool { return e.Kind == netboot.HTTP && e.File == file })
		if e.Err != "" || e.Bytes != size {
			t.Errorf("%s: %d bytes, error %q; want %d bytes", file, e.Bytes, e.Err, size)
		}
		t.Logf("%s: %d bytes in %v", file, e.Bytes, e.Took)
	}
}

// TestIPXEReadsTFTP has a script for a kernel, which reads the initramfs by TFTP.
func TestIPXEReadsTFTP(t *testing.T) {
	mac := net.HardwareAddr{0x52, 0x54, 0, 0x77, 0, 3}
	events := newEvents()
	lab := startLab(t, labConfig{events: events.add})
	data := bytes.Repeat([]byte("x"), 300_000)
	add(t, lab, netboot.Offer{MAC: mac, Boot: netboot.Boot{
		Kernel:    netboot.File{Data: []byte("#!ipxe\nimgfetch tftp://10.42.0.1/initramfs && echo FETCHED\nexit 0\n")},
		Initramfs: []netboot.File{{Data: data}},
	}})
	startQEMU(t, lab.net, mac).waitFor(t, "FETCHED")
	if e := events.wait(t, netboot.TFTP); e.Bytes != int64(len(data)) || e.Err != "" {
		t.Errorf("the transfer is told as %+v", e)
	} else {
		t.Logf("%d bytes in %v", e.Bytes, e.Took)
	}
}

// TestIPXEGivesUp offers a kernel that vanishes: the board tries again, says so,
// and goes back to its firmware rather than to a shell.
func TestIPXEGivesUp(t *testing.T) {
	mac := net.HardwareAddr{0x52, 0x54, 0, 0x77, 0, 2}
	lab := startLab(t, labConfig{})
	path := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(path, printerKernel(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := lab.server.Add(netboot.Offer{MAC: mac, Boot: netboot.Boot{Kernel: netboot.File{Path: path}}}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	console := startQEMU(t, lab.net, mac)
	console.waitFor(t, "b2c-runner: failed to boot from http://10.42.0.1, try 2 of 4")
	console.waitFor(t, "b2c-runner: gave up after 4 tries")
	console.waitFor(t, "No bootable device")
}

// printerKernel is a Linux/x86 bzImage (Documentation/arch/x86/boot.rst) whose
// setup code prints "[command line]" to the first serial port and stops.
func printerKernel() []byte {
	b := make([]byte, 3*512)
	b[0x1f1] = 1 // sectors of setup code
	copy(b[0x1fe:], []byte{0x55, 0xaa, 0xeb, 0x7e})
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x206:], 0x206)
	b[0x211] = 1 // loaded high
	binary.LittleEndian.PutUint32(b[0x214:], 0x100000)
	binary.LittleEndian.PutUint32(b[0x22c:], 0x37ffffff)
	binary.LittleEndian.PutUint32(b[0x238:], 2047)
	copy(b[0x280:], []byte{
		0x66, 0xa1, 0x28, 0x02, // mov eax, [0x228]
		0x89, 0xc3, 0x83, 0xe3, 0x0f, // mov bx, ax; and bx, 15
		0x66, 0xc1, 0xe8, 0x04, 0x8e, 0xd8, // shr eax, 4; mov ds, ax
		0xb4, '[', 0xe8, 0x18, 0x00, // mov ah, '['; call putc
		0x8a, 0x27, 0x84, 0xe4, 0x74, 0x06, // loop: mov ah, [bx]; test ah, ah; jz end
		0xe8, 0x0f, 0x00, 0x43, 0xeb, 0xf4, // call putc; inc bx; jmp loop
		0xb4, ']', 0xe8, 0x07, 0x00, // end: mov ah, ']'; call putc
		0xfa, 0xf4, 0xeb, 0xfd, // cli; hlt; jmp hlt
		0x90, 0x90, 0x90,
		0xba, 0xfd, 0x03, 0xec, 0xa8, 0x20, 0x74, 0xfb, // putc: mov dx, 0x3fd; in al, dx; test al, 32; jz in
		0xba, 0xf8, 0x03, 0x88, 0xe0, 0xee, 0xc3, // mov dx, 0x3f8; mov al, ah; out dx, al; ret
	})
	return b
}

type console struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func startQEMU(t *testing.T, n *virtual.Usernet, mac net.HardwareAddr) *console {
	t.Helper()
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("needs qemu-system-x86_64 (Debian: qemu-system-x86 ipxe-qemu)")
	}
	if _, err := os.Stat("/usr/lib/ipxe/qemu/pxe-virtio.rom"); err != nil {
		t.Skip("needs the iPXE ROM of QEMU's network card (Debian: ipxe-qemu)")
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := &console{changed: make(chan struct{}, 1)}
	cmd := exec.CommandContext(ctx, qemu, "-machine", "pc,graphics=off", "-accel", "tcg", "-m", "256",
		"-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-boot", "n",
		"-netdev", "socket,id=n0,fd=3",
		"-device", "virtio-net-pci,netdev=n0,mac="+mac.String())
	cmd.Stdout, cmd.Stderr = c, os.Stderr
	cable := netboottest.Cable(t, n)
	defer cable.Close()
	cmd.ExtraFiles = []*os.File{cable}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("console:\n%s", c.text.String())
		}
	})
	return c
}

// Write implements io.Writer.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Write(p)
	select {
	case c.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (c *console) waitFor(t *testing.T, want string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		c.mu.Lock()
		found := strings.Contains(c.text.String(), want)
		c.mu.Unlock()
		if found {
			return
		}
		select {
		case <-c.changed:
		case <-deadline:
			t.Fatalf("the console does not show %q", want)
		}
	}
}
