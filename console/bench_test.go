package console_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	expect "github.com/google/goexpect"

	"b2c-runner/console"
)

// benchPatterns are of the shapes that job files have: plain, anchored, with
// captures, alternations, leading .*, ignoring case.
var benchPatterns = []string{
	`Kernel panic - not syncing: (.*)`, `---\[ end Kernel panic`, `BUG: KASAN: (\S+) in (\S+)`, `BUG: unable to handle`,
	`Oops: [0-9a-f]+ \[#\d+\]`, `general protection fault`, `rcu: INFO: rcu_\w+ (?:self-)?detected`, `blocked for more than \d+ seconds`,
	`^U-Boot SPL 20\d\d`, `^U-Boot 20\d\d\.\d\d`, `^\[ *[\d.]+\] Run /sbin/init as init process`, `^\[ *[\d.]+\] Freeing unused decrypted memory`,
	`.*No working init found`, `.*Attempted to kill init.*`, `^.*VFS: Unable to mount root fs.*$`, `^.*end trace [0-9a-f]{16}.*$`,
	`(?i)segmentation fault`, `(?i)login incorrect`, `(?i)out of memory: killed process (\d+)`, `(?i)hung task`,
	`alpine login: `, `root@\w+:[^\n#]*# `, `/ # \x24`, `~ \$ $`, `=> $`,
	`\+ podman start -a ([0-9a-f]{64})`, `Execution is over, pipeline status: (\d+)`, `It's now safe to turn off your computer`,
	`The container exited with error code (\d+)`, `ERROR: Could not connect to the network`, `(?:Rebooting|Restarting) in \d+ seconds`,
	`reboot: (?:Power down|System halted)`, `Hit any key to stop autoboot`, `Press Ctrl-B for the iPXE`, `No configuration methods succeeded`,
	`Unhandled fault: .* at 0x`, `watchdog: BUG: soft lockup - CPU#(\d+)`, `possible circular locking dependency|possible recursive locking`,
	`systemd\[1\]: Failed to start (.+)\.$`, `hwci: mesa: (pass|fail), exit_code: (\d+)$`,
}

func benchCases() []expect.Caser {
	var cases []expect.Caser
	for _, p := range benchPatterns {
		cases = append(cases, &expect.Case{R: regexp.MustCompile(p), T: expect.OK()})
	}
	return cases
}

const lastLine = "hwci: mesa: pass, exit_code: 0\r\n"

// kernelLog is a log of about n bytes whose last line is the only one to match.
func kernelLog(n int) []byte {
	messages := []string{
		"usb %d-1: new high-speed USB device number %d using xhci_hcd",
		"pci 0000:00:%02x.0: [8086:%04x] type 00 class 0x060000 conventional PCI endpoint",
		"ACPI: LAPIC_NMI (acpi_id[0x%02x] high edge lint[0x%x])",
		"Memory: %dK/%dK available (14336K kernel code, 2340K rwdata, 5580K rodata)",
		"systemd[1]: Started session-%d.scope - Session %d of User root.",
		"nvme nvme%d: %d/0/0 default/read/poll queues",
		"random: crng init done (%d bytes, %d pools)",
		"EXT4-fs (vda%d): mounted filesystem with ordered data mode. Quota mode: none %d.",
		"smsc95xx 1-1.%d:1.0 eth0: register 'smsc95xx' at usb-3f980000.usb-1.%d",
		"cfg80211: Loading compiled-in X.509 certificates for regulatory database %d %d",
		"BCM2708FB: allocated DMA memory f%07x %d",
		"bridge: filtering via arp/ip/ip6tables is no longer available by default %d %d",
	}
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for i := 0; b.Len() < n-len(lastLine); i++ {
		fmt.Fprintf(&b, "[%5d.%06d] "+messages[r.IntN(len(messages))]+"\r\n", i/1000, i%1000*1000, r.IntN(16), r.IntN(9999))
	}
	b.WriteString(lastLine)
	return b.Bytes()
}

var benchLog = sync.OnceValue(func() []byte { return kernelLog(64 << 20) })

// memoryPort reads from memory, size bytes at a time, and then blocks until Close.
type memoryPort struct {
	data []byte
	size int
	end  chan struct{}
}

func (p *memoryPort) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		<-p.end
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size)], p.data)
	p.data = p.data[n:]
	return n, nil
}
func (p *memoryPort) Write(b []byte) (int, error) { return len(b), nil }
func (p *memoryPort) Close() error                { close(p.end); return nil }

// ours is how long the engine needs for log in reads of size bytes.
func ours(b *testing.B, log []byte, size int) time.Duration {
	begin := time.Now()
	s := console.NewStream(&memoryPort{data: log, size: size, end: make(chan struct{})}, console.Config{Log: io.Discard})
	defer s.Close()
	c := s.CursorAt(0)
	m, err := c.Expect(b.Context(), console.ExpectOptions{Deadline: begin.Add(time.Minute)}, benchCases()...)
	if err != nil || m.Case != len(benchPatterns)-1 || c.Dropped() > 0 {
		b.Fatalf("match = %+v, %v, dropped %d", m, err, c.Dropped())
	}
	return time.Since(begin)
}

// BenchmarkExpect is 40 patterns over a kernel log of 64 MiB, on one processor.
func BenchmarkExpect(b *testing.B) {
	for _, size := range []int{4096, 16} {
		b.Run(fmt.Sprintf("reads=%d", size), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			log := benchLog()
			lines := float64(bytes.Count(log, []byte("\n")))
			var before, after runtime.MemStats
			b.SetBytes(int64(len(log)))
			b.ResetTimer()
			runtime.ReadMemStats(&before)
			cpu := cpuTime(b)
			for b.Loop() {
				ours(b, log, size)
			}
			cpu = cpuTime(b) - cpu
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(len(log))*float64(b.N)/cpu.Seconds()/1e6, "MB/cpu-s") // on a busy machine as well
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N)/lines, "allocs/line")
		})
	}
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkAgainstPeers measures our engine and a peer's in the same run, with
// the same patterns and reads of 4 KiB, each looked at before the next one comes,
// as from a board. The peers get only the beginning of the log that they can
// finish; as their cost grows with the square of the length, the ratios of the
// throughputs are lower bounds.
func BenchmarkAgainstPeers(b *testing.B) {
	peers := []struct {
		name   string
		prefix int
		run    func(b *testing.B, log []byte) time.Duration
	}{
		{"goexpect", 256 << 10, goexpectTime},
		{"pexpect", 32 << 10, pexpectTime},
	}
	for _, peer := range peers {
		b.Run(peer.name, func(b *testing.B) {
			log := benchLog()
			prefix := append(bytes.Clone(log[:peer.prefix]), "\r\n"+lastLine...)
			var own, other time.Duration
			for b.Loop() {
				own += ours(b, log, 4096)
				other += peer.run(b, prefix)
			}
			ownRate := float64(len(log)) * float64(b.N) / own.Seconds() / 1e6
			peerRate := float64(len(prefix)) * float64(b.N) / other.Seconds() / 1e6
			b.ReportMetric(ownRate, "MB/s-ours")
			b.ReportMetric(peerRate, "MB/s-peer")
			b.ReportMetric(ownRate/peerRate, "ratio")
		})
	}
}

// peerPatterns are the patterns for engines that keep \r and \n.
func peerPatterns() []string {
	var patterns []string
	for _, p := range benchPatterns {
		if strings.HasSuffix(p, `$`) {
			p = strings.TrimSuffix(p, `$`) + `\s*$`
		}
		patterns = append(patterns, p)
	}
	return patterns
}

// stepPort delivers the next read when goexpect has looked at the last one: its
// Check is called by its reader for each read and by its matcher for each look.
type stepPort struct {
	memoryPort
	checks chan struct{}
}

func (p *stepPort) Read(b []byte) (int, error) {
	for range 2 {
		select {
		case <-p.checks:
		case <-p.end:
		}
	}
	return p.memoryPort.Read(b)
}

func (p *stepPort) check() bool {
	select {
	case p.checks <- struct{}{}:
	default:
	}
	return true
}

func goexpectTime(b *testing.B, log []byte) time.Duration {
	port := &stepPort{memoryPort{data: log, size: 4096, end: make(chan struct{})}, make(chan struct{}, 2)}
	begin := time.Now()
	e, _, err := expect.SpawnGeneric(&expect.GenOptions{
		In: port, Out: port, Close: port.Close,
		Wait:  func() error { <-port.end; return nil },
		Check: port.check,
	}, time.Minute, expect.CheckDuration(time.Millisecond))
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	var cases []expect.Caser
	for _, p := range peerPatterns() {
		cases = append(cases, &expect.Case{R: regexp.MustCompile(p), T: expect.OK()})
	}
	if _, _, i, err := e.ExpectSwitchCase(cases, time.Minute); err != nil || i != len(benchPatterns)-1 {
		b.Fatalf("case %d, %v", i, err)
	}
	return time.Since(begin)
}

const pexpectScript = `
import os, sys, threading, time
import pexpect.fdpexpect
patterns = [l.rstrip(b"\n") for l in open(sys.argv[1], "rb")]
log = open(sys.argv[2], "rb").read()
r, w = os.pipe()
def feed():
    for i in range(0, len(log), 4096):
        os.write(w, log[i:i+4096])
child = pexpect.fdpexpect.fdspawn(r, timeout=60, maxread=4096)
begin = time.monotonic()
t = threading.Thread(target=feed)
t.start()
i = child.expect(patterns)
print(i, time.monotonic() - begin)
t.join()
`

func pexpectTime(b *testing.B, log []byte) time.Duration {
	if out, err := exec.Command("python3", "-c", "import pexpect.fdpexpect").CombinedOutput(); err != nil {
		b.Skipf("needs python3-pexpect: %s", out)
	}
	dir := b.TempDir()
	for name, data := range map[string][]byte{"patterns": []byte(strings.Join(peerPatterns(), "\n") + "\n"), "log": log} {
		if err := os.WriteFile(dir+"/"+name, data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "python3", "-c", pexpectScript, dir+"/patterns", dir+"/log").Output()
	if err != nil {
		b.Fatalf("pexpect: %v", err)
	}
	_, seconds, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	took, err := strconv.ParseFloat(seconds, 64)
	if err != nil {
		b.Fatalf("pexpect printed %q", out)
	}
	return time.Duration(took * float64(time.Second))
}

// BenchmarkPrompt is the time from a prompt's bytes to its recognition.
func BenchmarkPrompt(b *testing.B) {
	r, w := io.Pipe()
	s := console.NewStream(pipePort{r, w}, console.Config{Log: io.Discard})
	defer s.Close()
	c := s.Cursor()
	prompt := []byte("\r\n/ # ")
	cases := []expect.Caser{ok(`panic`), ok(`/ # `)}
	for b.Loop() {
		b.StopTimer()
		time.Sleep(time.Millisecond) // so that the cursor is asleep, as it is on a board
		done := make(chan error, 1)
		go func() {
			_, err := c.Expect(b.Context(), console.ExpectOptions{}, cases...)
			done <- err
		}()
		time.Sleep(time.Millisecond)
		b.StartTimer()
		if _, err := w.Write(prompt); err != nil {
			b.Fatal(err)
		}
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

type pipePort struct {
	*io.PipeReader
	w *io.PipeWriter
}

func (p pipePort) Write(b []byte) (int, error) { return len(b), nil }
func (p pipePort) Close() error                { p.w.Close(); return p.PipeReader.Close() }
