package console

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	floodConsoles = 16
	floodRate     = 300_000 // bytes/s of each: 3 Mbaud, 8N1
	floodTick     = 10 * time.Millisecond
	floodBurst    = 16 << 10 // of a feeder that comes late; a UART has none
)

// flooder is what one board says: numbered kernel lines without end.
type flooder struct {
	console, line int
	rest          []byte // of the lines made so far
	sent, lost    int64
}

// next is what the board says next, n bytes; take consumes it.
func (f *flooder) next(n int) []byte {
	for len(f.rest) < n {
		f.rest = fmt.Appendf(f.rest, "[%5d.%06d] usb 1-1.%d: flood line %d, register 0x%08x of 0x%016x\r\n",
			f.line/1000, f.line%1000*1000, f.console, f.line, uint32(f.line)*2654435761, f.line*f.console)
		f.line++
	}
	return f.rest[:n]
}

func (f *flooder) take(n int) { f.rest = f.rest[n:] }

// feed says n bytes. Where a pseudo-terminal has no room for them, a UART would
// overrun and lose them; else they are said later.
func (f *flooder) feed(tb testing.TB, board syscall.RawConn, n int, overrun bool) {
	text := f.next(n)
	written := 0
	err := board.Write(func(fd uintptr) bool {
		n, err := unix.Write(int(fd), text)
		if err != nil && err != unix.EAGAIN {
			tb.Error(err)
		}
		written = max(n, 0)
		return true
	})
	if err != nil {
		tb.Error(err)
	}
	f.sent += int64(written)
	if overrun {
		f.lost += int64(len(text) - written)
		written = len(text)
	}
	f.take(written)
}

type floodResult struct {
	bytes    int64
	cpu      float64 // of one core, without that of feeding
	peakRSS  float64 // MiB
	heapEach float64 // KiB grown per console
	late     time.Duration
}

// flood has all boards speak at full rate for d, records each, and compares
// the logs with what was said.
func flood(tb testing.TB, d time.Duration, overrun bool) floodResult {
	dir := tb.TempDir()
	before := heapInUse()
	var boards [floodConsoles]flooder
	var raws [floodConsoles]syscall.RawConn
	var streams [floodConsoles]*Stream
	var logs [floodConsoles]*os.File
	for i := range boards {
		master, name := boardPTY(tb)
		boards[i].console = i + 1
		raw, err := master.SyscallConn()
		if err != nil {
			tb.Fatal(err)
		}
		raws[i] = raw
		port, err := Dial(tb.Context(), Spec{Serial: name, Baud: 3_000_000}, nil)
		if err != nil {
			tb.Fatal(err)
		}
		logs[i], err = os.Create(filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			tb.Fatal(err)
		}
		defer logs[i].Close()
		streams[i] = NewStream(port, Config{Log: logs[i], Cast: io.Discard})
		defer streams[i].Close()
	}

	var result floodResult
	wallStart, cpuStart := time.Now(), cpuTime(tb, unix.RUSAGE_SELF)
	fed := make(chan time.Duration)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		begin := cpuTime(tb, unix.RUSAGE_THREAD)
		tick := time.NewTicker(floodTick)
		defer tick.Stop()
		last := wallStart
		for now := wallStart; now.Sub(wallStart) < d; {
			now = <-tick.C
			result.late = max(result.late, now.Sub(last)-floodTick)
			n := min(int(now.Sub(last).Seconds()*floodRate), floodBurst)
			for i := range boards {
				boards[i].feed(tb, raws[i], n, overrun)
			}
			last = now
		}
		fed <- cpuTime(tb, unix.RUSAGE_THREAD) - begin
	}()
	feeding := <-fed
	for i := range boards {
		eventually(tb, fmt.Sprintf("log %d has %d bytes", i, boards[i].sent), func() bool {
			info, err := logs[i].Stat()
			return err == nil && info.Size() >= boards[i].sent
		})
	}
	result.cpu = (cpuTime(tb, unix.RUSAGE_SELF) - cpuStart - feeding).Seconds() / time.Since(wallStart).Seconds()
	result.peakRSS = peakRSS(tb)
	result.heapEach = (heapInUse() - before) / 1024 / floodConsoles
	for i := range boards {
		if err := streams[i].Close(); err != nil {
			tb.Errorf("closing stream %d: %v", i, err)
		}
		if boards[i].lost > 0 {
			tb.Errorf("console %d overran: %d of %d bytes were lost", i, boards[i].lost, boards[i].lost+boards[i].sent)
			continue
		}
		compareFlood(tb, logs[i], boards[i])
		result.bytes += boards[i].sent
	}
	return result
}

func compareFlood(tb testing.TB, log *os.File, said flooder) {
	tb.Helper()
	if _, err := log.Seek(0, io.SeekStart); err != nil {
		tb.Fatal(err)
	}
	reader := bufio.NewReader(log)
	again := flooder{console: said.console}
	buffer := make([]byte, 64<<10)
	for at := int64(0); at < said.sent; {
		n := int(min(said.sent-at, int64(len(buffer))))
		if _, err := io.ReadFull(reader, buffer[:n]); err != nil {
			tb.Errorf("log of console %d ends after %d of %d bytes: %v", said.console, at, said.sent, err)
			return
		}
		if want := again.next(n); string(want) != string(buffer[:n]) {
			tb.Errorf("log of console %d differs in the %d bytes from %d on", said.console, n, at)
			return
		}
		again.take(n)
		at += int64(n)
	}
	if more, _ := reader.Peek(1); len(more) > 0 {
		tb.Errorf("log of console %d has more than the %d bytes that were said", said.console, said.sent)
	}
}

func cpuTime(tb testing.TB, who int) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(who, &usage); err != nil {
		tb.Error(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func heapInUse() float64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

// peakRSS is in MiB, for the whole process.
func peakRSS(tb testing.TB) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Skip("needs /proc")
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.ParseFloat(strings.Fields(after + " 0")[0], 64)
	if err != nil {
		tb.Error(err)
	}
	return kib / 1024
}

// TestFlood is the first seconds of BenchmarkFlood, at the pace that the machine
// can keep.
func TestFlood(t *testing.T) {
	r := flood(t, 3*time.Second, false)
	t.Logf("%d bytes on %d consoles, %.0f %% of a core, %.0f KiB of heap a console, peak RSS %.0f MiB, feeder late by %s",
		r.bytes, floodConsoles, 100*r.cpu, r.heapEach, r.peakRSS, r.late)
}

// BenchmarkFlood has 16 boards speak at 3 Mbaud for a minute; an overrun fails it.
func BenchmarkFlood(b *testing.B) {
	for b.Loop() {
		r := flood(b, time.Minute, true)
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(100*r.cpu, "%core")
		b.ReportMetric(r.heapEach, "KiB/console")
		b.ReportMetric(r.peakRSS, "MiB-peak")
		b.ReportMetric(float64(r.bytes), "bytes")
	}
}
