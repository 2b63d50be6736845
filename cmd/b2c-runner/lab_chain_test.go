package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"b2c-runner/jobs"
)

// TestLabBoard runs a job on a board of a lab file, as on a real bench: its power
// is switched by commands, its console is a port of its own, and its network is
// an interface. That the board is a QEMU on a tap is unknown to the program.
func TestLabBoard(t *testing.T) {
	dir := payload(t)
	if os.Getuid() != 0 {
		t.Skip("needs root, for a network namespace and a tap")
	}
	const namespace = "b2c-test-lab"
	command(t, "ip", "netns", "add", namespace)
	t.Cleanup(func() { command(t, "ip", "netns", "delete", namespace) })
	inside := func(args ...string) string {
		t.Helper()
		return command(t, append([]string{"ip", "netns", "exec", namespace}, args...)...)
	}
	inside("ip", "link", "set", "lo", "up")
	inside("ip", "tuntap", "add", "tap0", "mode", "tap")
	before := inside("ip", "-brief", "address", "show", "dev", "tap0")

	work := t.TempDir()
	serial := serialCable(t, work)
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	pid := filepath.Join(work, "pid")
	write("on", fmt.Sprintf(`#!/bin/sh
test -e %[1]s && exit 0
setsid qemu-system-x86_64 -nodefaults -display none -machine pc,graphics=off -accel tcg,thread=multi -m 1024 \
	-boot n -vga none -no-shutdown -serial unix:%[2]s -device virtio-rng-pci \
	-netdev tap,id=n0,ifname=tap0,script=no,downscript=no -device virtio-net-pci,netdev=n0,mac=52:54:00:b2:c0:03 \
	</dev/null >/dev/null 2>&1 &
echo $! >%[1]s
`, pid, serial.board), 0o755)
	write("off", fmt.Sprintf("#!/bin/sh\ntest -e %[1]s || exit 0\nkill -9 $(cat %[1]s)\nrm %[1]s\n", pid), 0o755)
	write("lab.yaml", fmt.Sprintf(`
version: 1
network: {interface: tap0, address: 10.77.0.1/24}
models:
  - name: bench-pc
    title: A PC that boots from its network card
    arch: amd64
    cmdline: [console=ttyS0,115200]
    baud: 115200
boards:
  - name: pc-1
    model: bench-pc
    mac: 52:54:00:b2:c0:03
    console: {unix: %[2]s}
    power:
      exec:
        on: [%[1]s/on]
        off: [%[1]s/off]
        state: {command: [sh, -c, 'test -e %[1]s/pid && echo yes || echo no'], on: yes, off: no}
      off_time: 100ms
      settle: 10ms
    tags: [desk]
`, work, serial.runner), 0o644)
	write("job.yaml", strings.Replace(bootJob(dir, busybox+`
steps:
  - {expect: '/ # ', timeout: 2m}
  - run: uname -m
    expect: x86_64
  - send: "exit\n"
`), "{model: qemu-x86_64}", "{model: bench-pc, tags: [desk]}", 1), 0o644)

	cmd := exec.Command("ip", "netns", "exec", namespace, "b2c-runner", "--lab", filepath.Join(work, "lab.yaml"), "run",
		"--out", filepath.Join(work, "out"), "--cache", filepath.Join(work, "cache"), filepath.Join(work, "job.yaml"))
	cmd.Env = append(os.Environ(), "B2C_RUNNER_STATE="+filepath.Join(work, "state"))
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	var o outcome
	o.read(t, filepath.Join(work, "out"))
	if o.result.Verdict != jobs.Pass || o.result.Board != "pc-1" || o.result.Model != "bench-pc" {
		t.Errorf("%s on %s (%s): %s", o.result.Verdict, o.result.Board, o.result.Model, o.result.Message)
	}
	if _, err := os.Stat(pid); err == nil {
		t.Error("the board is still on")
	}
	if after := inside("ip", "-brief", "address", "show", "dev", "tap0"); after != before {
		t.Errorf("the interface was %q and is %q", before, after)
	}
}

func command(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// cable joins a board's end to the runner's, both Unix sockets; the runner's end
// stays while the board comes and goes, as a serial adapter does.
type cable struct{ runner, board string }

func serialCable(t *testing.T, dir string) cable {
	t.Helper()
	c := cable{filepath.Join(dir, "serial-runner.sock"), filepath.Join(dir, "serial-board.sock")}
	var mu sync.Mutex
	ends := map[string]net.Conn{}
	carry := func(path, to string) {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				mu.Lock()
				ends[path] = conn
				mu.Unlock()
				go func() {
					buf := make([]byte, 4096)
					for {
						n, err := conn.Read(buf)
						mu.Lock()
						other := ends[to]
						mu.Unlock()
						if other != nil {
							_, _ = other.Write(buf[:n]) // a far end that is off loses bytes
						}
						if err != nil {
							return
						}
					}
				}()
			}
		}()
	}
	carry(c.runner, c.board)
	carry(c.board, c.runner)
	return c
}
