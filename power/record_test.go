package power

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOffTime(t *testing.T) {
	for name, test := range map[string]struct {
		mute bool
		rest time.Duration // between Off and On
		want time.Duration // that On waits
	}{
		"at once":           {want: 10 * time.Second},
		"after a while":     {rest: 4 * time.Second, want: 6 * time.Second},
		"after a long time": {rest: time.Hour},
		"cannot be read":    {mute: true, rest: time.Second, want: 9 * time.Second},
	} {
		for _, other := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/another process %t", name, other), func(t *testing.T) {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					p := &plug{on: true, mute: test.mute}
					c := newTestConduct(p, dir)
					must(t, c.Off(t.Context()))
					if other {
						c = newTestConduct(p, dir)
					}
					time.Sleep(test.rest)
					start := time.Now()
					must(t, c.On(t.Context()))
					if got := since(start); got != test.want {
						t.Errorf("On waited %s, want %s", got, test.want)
					}
					if !p.on {
						t.Error("the board is not on")
					}
				})
			})
		}
	}
}

func TestOffTimeOddRecords(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	record := func(device string, state State, at time.Time) string {
		return fmt.Sprintf(`{"device":%q,"state":%q,"since":%q}`, device, state, at.Format(time.RFC3339Nano))
	}
	for name, test := range map[string]struct {
		file string
		on   bool
		want time.Duration
	}{
		"no record":                      {},
		"off in the future":              {file: record("test:plug", Off, now.Add(100*time.Hour)), want: 10 * time.Second},
		"off long ago":                   {file: record("test:plug", Off, now.Add(-100*time.Hour))},
		"off three seconds ago":          {file: record("test:plug", Off, now.Add(-3*time.Second)), want: 7 * time.Second},
		"switched off by somebody else":  {file: record("test:plug", On, now.Add(-100*time.Hour)), want: 10 * time.Second},
		"switched on by somebody else":   {file: record("test:plug", Off, now), on: true},
		"garbage":                        {file: "{", want: 10 * time.Second},
		"empty":                          {file: " ", want: 10 * time.Second},
		"of another device":              {file: record("test:fork", Off, now.Add(-100*time.Hour)), want: 10 * time.Second},
		"state that is none":             {file: record("test:plug", "oof", now.Add(-100*time.Hour)), want: 10 * time.Second},
		"larger than any record of ours": {file: strings.Repeat(" ", maxRecord) + record("test:plug", Off, now.Add(-100*time.Hour)), want: 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(now))
				c := newTestConduct(&plug{on: test.on}, dir)
				if test.file != "" {
					must(t, os.WriteFile(c.record.path, []byte(test.file), 0o600))
				}
				start := time.Now()
				must(t, c.On(t.Context()))
				if got := since(start); got != test.want {
					t.Errorf("On waited %s, want %s", got, test.want)
				}
			})
		})
	}
}

// A crash between the switch and its record must not shorten the off time of the
// next process.
func TestOffTimeAfterCrash(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := &plug{on: true}
		must(t, newTestConduct(p, dir).Off(t.Context()))
		time.Sleep(time.Hour)
		must(t, newTestConduct(p, dir).On(t.Context()))
		time.Sleep(time.Hour)
		p.on = false // and nothing on record
		c := newTestConduct(p, dir)
		must(t, c.Off(t.Context()))
		start := time.Now()
		must(t, c.On(t.Context()))
		if got := since(start); got != 10*time.Second {
			t.Errorf("On waited %s, want 10s", got)
		}
	})
}

func TestOffTwiceKeepsTheMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestConduct(&plug{on: true}, "")
		must(t, c.Off(t.Context()))
		time.Sleep(9 * time.Second)
		must(t, c.Off(t.Context()))
		start := time.Now()
		must(t, c.On(t.Context()))
		if got := since(start); got != time.Second {
			t.Errorf("On waited %s, want 1s", got)
		}
	})
}

func TestRecordCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	c := newTestConduct(&plug{on: true}, filepath.Join(dir, "gone"))
	var log strings.Builder
	c.logger = slog.New(slog.NewTextHandler(&log, nil))
	must(t, c.Off(t.Context()))
	if !strings.Contains(log.String(), "off time") {
		t.Errorf("nothing is said about the record: %s", log.String())
	}
	if left := c.record.wait(Off, time.Hour); left < 59*time.Minute {
		t.Errorf("memory has forgotten the moment: %s left", left)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"device":"test:plug","state":"off","since":"2026-01-01T00:00:00Z"}`), "off")
	f.Add([]byte(`{"device":"test:plug","state":"on","since":"9999-01-01T00:00:00Z"}`), "unknown")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, state string) {
		r := newRecord(dir, "test:plug")
		must(t, os.WriteFile(r.path, data, 0o600))
		if left := r.wait(State(state), time.Minute); left < 0 || left > time.Minute {
			t.Errorf("wait is %s", left)
		}
	})
}
