package power

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// rig is a device on the test bench and how to reach it.
type rig struct {
	spec    Spec
	opts    Options
	prepare func(outlet)     // puts a seam of the driver in place
	isOn    func() bool      // the truth, at the device
	blind   bool             // the driver cannot read the state back
	secret  string           // that must not leak
	wrong   *Spec            // as spec, with wrong credentials
	faults  map[fault]func() // that the device can have; each lasts
}

type fault string

const (
	mute    fault = "no answer"
	garbage fault = "garbage answer"
	gone    fault = "device gone"
	stuck   fault = "switch that does nothing"
)

// rigs are one for each driver and dialect. A rig skips when it needs a program
// that is not there.
var rigs = map[string]func(*testing.T) *rig{
	"usbhub":              usbHubRig,
	"usbhub by request":   usbHubRequestRig,
	"gpio":                gpioRig,
	"gpio active low":     gpioLowRig,
	"serial-relay lcus":   lcusRig,
	"serial-relay status": lcusStatusRig,
	"serial-relay numato": numatoRig,
	"snmp v1":             snmpV1Rig,
	"snmp v2c":            snmpV2Rig,
	"snmp by snmpd v2c":   snmpdV2Rig,
	"snmp by snmpd v3":    snmpdV3Rig,
	"shelly gen 1":        shelly1Rig,
	"shelly gen 2":        shelly2Rig,
	"tasmota":             tasmotaRig,
	"mqtt":                mqttRig,
	"mqtt with JSON":      mqttJSONRig,
	"http":                httpRig,
	"pdudaemon":           pdudaemonRig,
	"pdudaemon by Debian": pdudaemonDebianRig,
	"homeassistant":       homeAssistantRig,
	"redfish":             redfishRig,
	"redfish basic":       redfishBasicRig,
	"ipmi by ipmi_sim":    ipmiRig,
	"exec":                execRig,
	"manual":              manualRig,
}

// opened is a supply with short waits, and the guard before its driver.
func (r *rig) opened(t *testing.T) (Supply, *conduct, *guard) {
	t.Helper()
	if err := r.spec.Check(); err != nil {
		t.Fatal(err)
	}
	r.opts.OffTime, r.opts.Settle = -1, -1
	r.opts.StateDir = t.TempDir()
	r.opts.Logger = slog.New(slog.NewTextHandler(&testLog{t: t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := Open(r.spec, r.opts)
	if err != nil {
		t.Fatal(err)
	}
	var c *conduct
	switch s := s.(type) {
	case *conduct:
		c = s
	case *meteredConduct:
		c = s.conduct
	case *energyConduct:
		c = s.conduct
	}
	if r.prepare != nil {
		r.prepare(c.outlet)
	}
	g := &guard{outlet: c.outlet}
	closer := c
	t.Cleanup(func() {
		if err := closer.Close(); err != nil {
			t.Errorf("failed to close: %v", err)
		}
	})
	c.outlet, c.pause = g, time.Millisecond
	return s, c, g
}

// guard watches the calls of a driver.
type guard struct {
	outlet
	inside  atomic.Int32
	overlap atomic.Bool
	entered chan struct{} // told of each call
	after   func()        // once after a set
}

func (g *guard) watch() func() {
	if g.inside.Add(1) > 1 {
		g.overlap.Store(true)
	}
	select {
	case g.entered <- struct{}{}:
	default:
	}
	return func() { g.inside.Add(-1) }
}

func (g *guard) set(ctx context.Context, on bool) error {
	defer g.watch()()
	err := g.outlet.set(ctx, on)
	if g.after != nil {
		g.after()
		g.after = nil
	}
	return err
}

func (g *guard) state(ctx context.Context) (State, error) {
	defer g.watch()()
	return g.outlet.state(ctx)
}

func (g *guard) Close() error {
	if c, ok := g.outlet.(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}

// testLog gives the log to the test that made it, while that runs.
type testLog struct{ t *testing.T }

func (l *testLog) Write(line []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

func TestConformance(t *testing.T) {
	for name, build := range rigs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for aspect, check := range map[string]func(*testing.T, *rig){
				"switches": checkSwitches, "concurrent callers": checkConcurrent,
				"cancelled before": checkCancelledBefore, "cancelled in the middle": checkCancelledInside,
				"gone in the middle": checkGoneInTheMiddle, "faults": checkFaults, "wrong credentials": checkCredentials,
			} {
				t.Run(aspect, func(t *testing.T) { check(t, build(t)) })
			}
		})
	}
}

func checkState(t *testing.T, r *rig, s Supply, want State) {
	t.Helper()
	if r.isOn() != (want == On) {
		t.Errorf("the device is on: %t, want %s", r.isOn(), want)
	}
	if r.blind {
		want = Unknown
	}
	got, err := s.(Stater).State(t.Context())
	if err != nil || got != want {
		t.Errorf("the state is %s, %v; want %s", got, err, want)
	}
}

func checkSwitches(t *testing.T, r *rig) {
	s, _, _ := r.opened(t)
	for _, step := range []struct {
		do   func(context.Context) error
		want State
	}{
		{s.Off, Off}, {s.On, On}, {s.On, On}, {s.Off, Off}, {s.Off, Off}, {s.On, On},
		{func(ctx context.Context) error { return Cycle(ctx, s) }, On}, {s.Off, Off},
	} {
		must(t, step.do(t.Context()))
		checkState(t, r, s, step.want)
	}
}

func checkConcurrent(t *testing.T, r *rig) {
	s, _, g := r.opened(t)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			do := s.On
			if i%2 == 0 {
				do = s.Off
			}
			if err := do(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := s.(Stater).State(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if g.overlap.Load() {
		t.Error("two calls were in the driver at the same time")
	}
	must(t, s.On(t.Context()))
	checkState(t, r, s, On)
}

func checkCancelledBefore(t *testing.T, r *rig) {
	s, _, _ := r.opened(t)
	must(t, s.Off(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.On(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	checkState(t, r, s, Off)
}

// checkCancelledInside cancels while the driver waits for an answer.
func checkCancelledInside(t *testing.T, r *rig) {
	hush := r.faults[mute]
	if hush == nil {
		t.Skip("this device cannot keep a caller waiting")
	}
	s, _, g := r.opened(t)
	g.entered = make(chan struct{}, 100)
	hush()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error)
	go func() { failed <- s.On(ctx) }()
	<-g.entered
	start := time.Now()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %s to give up", took)
	}
}

// checkGoneInTheMiddle unplugs the device when it has just obeyed.
func checkGoneInTheMiddle(t *testing.T, r *rig) {
	unplug := r.faults[gone]
	if unplug == nil {
		t.Skip("this device cannot go")
	}
	s, c, g := r.opened(t)
	must(t, s.Off(t.Context()))
	c.timeout = min(c.timeout, time.Second)
	g.after = unplug
	err := s.On(t.Context())
	if r.blind {
		must(t, err)
	} else {
		wantError(t, err, "failed to switch on supply", "told to switch on, ")
	}
}

func checkFaults(t *testing.T, r *rig) {
	if len(r.faults) == 0 {
		t.Skip("this device cannot fail")
	}
	s, _, _ := r.opened(t)
	must(t, s.Off(t.Context()))
	for _, f := range []fault{stuck, mute, garbage, gone} { // the last cannot be undone
		impose := r.faults[f]
		if impose == nil {
			continue
		}
		t.Run(string(f), func(t *testing.T) {
			s, c, _ := r.opened(t)
			c.timeout, c.confirm = min(c.timeout, 600*time.Millisecond), min(c.confirm, 50*time.Millisecond)
			if f == stuck {
				c.timeout = 2 * time.Second // it does answer, if slowly on a busy machine
			}
			impose()
			start := time.Now()
			err := s.On(t.Context())
			want := map[fault]string{stuck: "told to switch on", mute: "no answer within"}[f]
			wantError(t, err, "failed to switch on supply", want)
			if most := time.Duration(c.tries) * (c.timeout + 2*time.Second); time.Since(start) > most {
				t.Errorf("it took %s to fail, want at most %s", time.Since(start), most)
			}
			state, stateErr := s.(Stater).State(t.Context())
			if f != stuck && (state != Unknown || stateErr == nil && !r.blind) {
				t.Errorf("the state is %s, %v; want an error", state, stateErr)
			}
			if err != nil && r.secret != "" && strings.Contains(errors.Join(err, stateErr).Error(), r.secret) {
				t.Errorf("the error has the secret: %v", err)
			}
		})
	}
}

func checkCredentials(t *testing.T, r *rig) {
	if r.wrong == nil {
		t.Skip("this device has no credentials, or does not tell that they are wrong")
	}
	s, _, _ := r.opened(t)
	must(t, s.Off(t.Context()))
	r.spec = *r.wrong
	s, _, g := r.opened(t)
	g.entered = make(chan struct{}, 100)
	err := s.On(t.Context())
	wantError(t, err, "failed to switch on supply", "(try: ")
	if err != nil && strings.Contains(err.Error(), r.secret) {
		t.Errorf("the error has the secret: %v", err)
	}
	want := 1
	if r.blind {
		want = 2 // the state, which is unknown, and the switch
	}
	if calls := len(g.entered); calls != want {
		t.Errorf("wrong credentials: %d calls, want %d (accounts get locked)", calls, want)
	}
	if r.isOn() {
		t.Error("it was switched all the same")
	}
}

// TestNoGoroutinesLeft opens, uses and forgets each kind of supply.
func TestNoGoroutinesLeft(t *testing.T) {
	for name, build := range rigs {
		t.Run(name, func(t *testing.T) {
			r := build(t)
			s, c, _ := r.opened(t)
			must(t, s.Off(t.Context()))
			before := runtime.NumGoroutine()
			must(t, Cycle(t.Context(), s))
			must(t, c.Close())
			for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
				if time.Now().After(deadline) {
					stacks := make([]byte, 1<<20)
					t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
				}
			}
		})
	}
}
