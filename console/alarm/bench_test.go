package alarm

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// cleanLog is a kernel's and its userspace's output with nothing wrong in it.
func cleanLog() []string {
	var lines []string
	for i := range 4000 {
		lines = append(lines,
			fmt.Sprintf("[%5d.%06d] usb 1-1.%d: new high-speed USB device number %d using dwc_otg", i/100, i*97%1000000, i%4, i%128),
			fmt.Sprintf("[%5d.%06d] pci 0000:00:%02x.0: BAR 4 [mem 0x8000000000-0x8000003fff 64bit pref]: assigned", i/100, i*31%1000000, i%32),
			fmt.Sprintf("[%5d.%06d][ T%4d] EXT4-fs (mmcblk0p%d): mounted filesystem with ordered data mode. Quota mode: none.", i/100, i*7%1000000, i, i%9),
			fmt.Sprintf("ok %d - test_case_%d # SKIP not supported on this platform", i, i),
		)
	}
	return lines
}

// BenchmarkClean feeds clean lines. The ratio compares it with the plain way: one
// bytes.Contains for each literal the rules need.
func BenchmarkClean(b *testing.B) {
	lines := cleanLog()
	size := 0
	for _, line := range lines {
		size += len(line)
	}
	d, err := NewDetector(Options{})
	if err != nil {
		b.Fatal(err)
	}

	var literals [][]byte
	for _, lit := range bannerLiterals() {
		literals = append(literals, []byte(lit))
	}
	for _, r := range builtin() {
		literals = append(literals, []byte(r.literal))
	}
	raw := make([][]byte, len(lines))
	for i, line := range lines {
		raw[i] = []byte(line)
	}
	start := time.Now()
	for _, line := range raw {
		for _, lit := range literals {
			if bytes.Contains(line, lit) {
				b.Fatalf("%q is not clean", line)
			}
		}
	}
	plain := time.Since(start)

	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		for i, line := range lines {
			if got := d.Feed(0, i, line); got != nil {
				b.Fatal(got)
			}
		}
	}
	b.ReportMetric(float64(plain)/(float64(b.Elapsed())/float64(b.N)), "x-contains-loop")
}

// BenchmarkTrouble feeds a report again and again: the worst a board can say.
func BenchmarkTrouble(b *testing.B) {
	var log strings.Builder
	for i := range 200 {
		fmt.Fprintf(&log, "[%5d.%06d] WARNING: CPU: 0 PID: %d at drivers/base/core.c:12 thing_%d+0x12/0x34\n", i, i, i, i)
		log.WriteString(strings.Repeat(fmt.Sprintf("[%5d.%06d]  device_add+0x12/0x34\n", i, i), 40))
	}
	lines := strings.Split(log.String(), "\n")
	b.SetBytes(int64(log.Len()))
	for b.Loop() {
		d, err := NewDetector(Options{})
		if err != nil {
			b.Fatal(err)
		}
		for i, line := range lines {
			d.Feed(0, i, line)
		}
	}
}
