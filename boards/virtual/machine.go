package virtual

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"b2c-runner/boards"
)

// The descriptors that a machine inherits: its serial port and its network cable,
// each one end of a socket pair. So there is no socket file to be left behind.
const (
	consoleFD = 3
	cableFD   = 4
)

// machine is a running QEMU.
type machine struct {
	cmd    *exec.Cmd
	stderr *bytes.Buffer
	exited chan struct{}
}

// start runs QEMU. It dies with this process, even by SIGKILL: the parent-death
// signal is bound to the thread that forks (prctl(2), PR_SET_PDEATHSIG), so that
// thread is kept until QEMU has exited.
func start(model *boards.Model, mac string, serial, cable *os.File) (*machine, error) {
	binary, err := exec.LookPath("qemu-system-" + model.QEMU.System)
	if err != nil {
		return nil, fmt.Errorf("failed to find the emulator of board model %q: %w (try: apt-get install --no-install-recommends %s)",
			model.Name, err, strings.Join(model.QEMU.Packages, " "))
	}
	m := &machine{stderr: &bytes.Buffer{}, exited: make(chan struct{})}
	m.cmd = exec.Command(binary, arguments(model.QEMU, mac)...)
	m.cmd.Stderr = m.stderr
	m.cmd.ExtraFiles = []*os.File{consoleFD - 3: serial, cableFD - 3: cable}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := m.cmd.Start()
		started <- err
		if err == nil {
			_ = m.cmd.Wait() // whatever the status: the machine is off
			close(m.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("failed to start %q: %w", binary, err)
	}
	return m, nil
}

// stop ends the machine as pulling the plug does.
func (m *machine) stop() {
	_ = m.cmd.Process.Kill() // fails only if it has exited
	<-m.exited
}

func arguments(q *boards.QEMU, mac string) []string {
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none",
		"-no-shutdown", // a machine that powers itself off still hangs on its supply
		"-machine", q.Machine, "-accel", accelerator(q.System), "-m", strconv.Itoa(q.Memory),
		"-chardev", "socket,id=console,fd=" + strconv.Itoa(consoleFD), "-serial", "chardev:console",
		"-netdev", "socket,id=cable,fd=" + strconv.Itoa(cableFD),
		"-device", q.NIC + ",netdev=cable,mac=" + mac,
	}
	if q.CPU != "" {
		args = append(args, "-cpu", q.CPU)
	}
	return append(args, q.Args...)
}

// accelerator is "kvm" only if it will work: there are hosts where /dev/kvm opens
// without the CPU's virtualisation flags, and the guest hangs in its first second.
func accelerator(system string) string {
	const emulated = "tcg,thread=multi"
	if system != "x86_64" || runtime.GOARCH != "amd64" {
		return emulated
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || !hasVirtualisation(string(info)) {
		return emulated
	}
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return emulated
	}
	kvm.Close()
	return "kvm"
}

func hasVirtualisation(cpuinfo string) bool {
	for line := range strings.Lines(cpuinfo) {
		if key, flags, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "flags" {
			for flag := range strings.FieldsSeq(flags) {
				if flag == "vmx" || flag == "svm" {
					return true
				}
			}
			return false
		}
	}
	return false
}
