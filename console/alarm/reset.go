package alarm

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// banner is a line by which a board shows that it starts.
type banner struct {
	literal string
	re      *regexp.Regexp
	kernel  bool // the kernel's own; the others are firmware
}

// banners come from the firmware and loaders of boards in the field. Blanks may
// stand before them, a quotation mark of an echoed command may not.
var banners = []banner{
	{"U-Boot", regexp.MustCompile(`(?:^|\s)(U-Boot (?:SPL |TPL )?20\d\d\.\d\d)`), false},
	{"iPXE", regexp.MustCompile(`(?:^|\s)(iPXE initialising devices|iPXE .* -- Open Source Network Boot Firmware)`), false},
	{"SeaBIOS", regexp.MustCompile(`(?:^|\s)(SeaBIOS \(version)`), false},
	{"RPi: BOOTLOADER", regexp.MustCompile(`(?:^|\s)(RPi: BOOTLOADER)`), false}, // Raspberry Pi 4 and 5 EEPROM
	{"UEFI firmware", regexp.MustCompile(`^(UEFI firmware \()`), false},         // edk2 ArmVirt, RPi_EFI
	{"BdsDxe: ", regexp.MustCompile(`^(BdsDxe: loading)`), false},               // edk2
	{"NOTICE:  B", regexp.MustCompile(`^(NOTICE:  BL(?:1|2|31): v\d)`), false},  // Trusted Firmware-A
	{"OpenSBI v", regexp.MustCompile(`^(OpenSBI v\d)`), false},
	{"coreboot-", regexp.MustCompile(`(coreboot-.* bootblock starting)`), false},
	{"barebox 20", regexp.MustCompile(`^(barebox 20\d\d\.\d\d)`), false},
	{"Booting Linux", regexp.MustCompile(`^(Booting Linux on physical CPU)`), true},
	{"Linux version", regexp.MustCompile(`^(Linux version \d[\w.+-]*)`), true},
}

func bannerLiterals() []string {
	var out []string
	for _, b := range banners {
		out = append(out, b.literal)
	}
	return out
}

const (
	maxEarly = 128 // stamped lines remembered of a boot's beginning
	proof    = 32  // stamped lines that tell a new boot from a dmesg
	hint     = 4   // the same, when no more will come
)

// boot follows the board from its firmware to the kernel, to see it start again.
//
// The kernel's first line may also come from a dmesg somebody runs. Stamps tell
// them apart: a dmesg repeats those of this boot and then time goes on, a new
// boot has its own, earlier than the last.
type boot struct {
	started  map[string]bool // the kernel banners of this boot
	stamped  bool            // the kernel stamps its lines
	early    map[string]bool // its first stamped lines
	expected bool            // the next reset is no alarm

	doubtful *Alarm          // a second beginning, not known to be a reset yet
	again    map[string]bool // started and early, if it is
	fresh    map[string]bool
	before   float64 // the last stamp before it, seconds

	listening bool // every line is wanted, not only those with a literal
}

// see looks at a line; last is the last one before it that may be the kernel's.
// It returns an alarm when the board has started again unannounced.
func (b *boot) see(m message, at time.Duration, n int, last string) (Alarm, bool) {
	if m.syslog {
		return Alarm{}, false
	}
	for _, banner := range banners {
		if !strings.Contains(m.text, banner.literal) {
			continue
		}
		if found := banner.re.FindStringSubmatch(m.text); found != nil {
			a := Alarm{At: at, Line: n, Kind: Reset, Title: "unexpected reset: " + found[1], Trace: []string{strings.Clone(m.line)}}
			switch {
			case banner.kernel:
				return b.kernel(banner.literal, a, m, last)
			case m.time == "":
				return b.firmware(a)
			}
		}
	}
	if b.listening && m.time != "" && !strings.HasPrefix(m.time, "0.000") {
		return b.stamp(m)
	}
	return Alarm{}, false
}

func (b *boot) kernel(name string, a Alarm, m message, last string) (Alarm, bool) {
	switch {
	case !b.started[name] && b.doubtful == nil:
		if len(b.started) == 0 {
			b.begin(nil, nil)
		}
		b.started[name] = true
		b.stamped = b.stamped || m.time != ""
		return Alarm{}, false
	case !b.stamped:
		b.begin(map[string]bool{name: true}, nil)
		return b.report(a)
	case b.doubtful != nil && !b.again[name]:
		b.again[name] = true
		return Alarm{}, false
	}
	earlier, ok := b.settle()
	b.doubtful, b.again, b.fresh = &a, map[string]bool{name: true}, map[string]bool{}
	b.before = math.Inf(1)
	if stamp := parse(last).time; stamp != "" {
		b.before = seconds(stamp)
	}
	b.listening = true
	return earlier, ok
}

func (b *boot) firmware(a Alarm) (Alarm, bool) {
	if len(b.started) == 0 {
		return Alarm{}, false
	}
	expected := b.expected
	*b = boot{expected: expected}
	return b.report(a)
}

// stamp weighs a line the kernel has stamped.
func (b *boot) stamp(m message) (Alarm, bool) {
	key := m.time + " " + clip(m.text, 80)
	switch {
	case b.doubtful == nil:
		b.early[strings.Clone(key)] = true
		b.listening = len(b.early) < maxEarly
	case b.early[key] || seconds(m.time) >= b.before:
		b.doubtful = nil
		b.listening = len(b.early) < maxEarly
	default:
		b.fresh[key] = true
		if len(b.fresh) >= proof {
			return b.settle()
		}
	}
	return Alarm{}, false
}

// settle takes a doubtful beginning for a reset, if there is any evidence.
func (b *boot) settle() (Alarm, bool) {
	if b.doubtful == nil || len(b.fresh) < hint {
		return Alarm{}, false
	}
	a := *b.doubtful
	b.begin(b.again, b.fresh)
	return b.report(a)
}

func (b *boot) begin(started, early map[string]bool) {
	expected, stamped := b.expected, len(early) > 0
	*b = boot{started: started, early: early, expected: expected, stamped: stamped, listening: true}
	if started == nil {
		b.started = map[string]bool{}
	}
	if early == nil {
		b.early = map[string]bool{}
	}
}

func (b *boot) report(a Alarm) (Alarm, bool) {
	announced := b.expected
	b.expected = false
	return a, !announced
}

func seconds(stamp string) float64 {
	s, err := strconv.ParseFloat(stamp, 64)
	if err != nil {
		return 0
	}
	return s
}
