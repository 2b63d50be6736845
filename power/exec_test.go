package power

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func execRig(t *testing.T) *rig {
	dir := t.TempDir()
	file, mode := filepath.Join(dir, "state"), filepath.Join(dir, "mode")
	script := filepath.Join(dir, "relay")
	must(t, os.WriteFile(script, []byte(`#!/bin/sh
case "$(cat `+mode+` 2>/dev/null)" in
mute) sleep 600 & wait ;;
garbage) echo "perhaps"; exit 0 ;;
gone) echo "no such relay" >&2; exit 1 ;;
stuck) [ "$1" = state ] || { echo ok; exit 0; } ;;
esac
case "$1" in
state) cat `+file+` ;;
*) echo "$1" >`+file+`; echo ok ;;
esac
`), 0o755))
	must(t, os.WriteFile(file, []byte("off"), 0o644))
	r := &rig{
		spec: Spec{Exec: &Exec{
			On: []string{script, "on"}, Off: []string{script, "off"}, Answer: `^ok\s*$`,
			State: &ExecState{Command: []string{script, "state"}, On: `^on\s*$`, Off: `^off\s*$`},
		}},
		isOn:   func() bool { data, _ := os.ReadFile(file); return strings.TrimSpace(string(data)) == "on" },
		faults: map[fault]func(){},
	}
	for _, f := range []struct {
		fault
		word string
	}{{stuck, "stuck"}, {mute, "mute"}, {garbage, "garbage"}, {gone, "gone"}} {
		r.faults[f.fault] = func() { os.WriteFile(mode, []byte(f.word), 0o644) }
	}
	return r
}

// TestExecLeavesNothing kills what a command has started when the context ends.
func TestExecLeavesNothing(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	must(t, unix.Mkfifo(pids, 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := run(ctx, []string{"/bin/sh", "-c", `sleep 600 & echo $! >` + pids + `; wait`})
		failed <- err
	}()
	text, err := os.ReadFile(pids)
	must(t, err)
	cancel()
	if err := <-failed; err == nil {
		t.Error("no error from a command that was killed")
	}
	var pid int
	fmt.Sscan(string(text), &pid)
	for patience := deadline(t); syscall.Kill(pid, 0) == nil; {
		if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Contains(string(data), ") Z ") {
			break
		}
		if patience.Err() != nil {
			t.Fatal("the command's child is alive")
		}
	}
}

func TestExecErrors(t *testing.T) {
	for want, argv := range map[string][]string{
		"no such file":       {"/nowhere/relay"},
		"exit status 3: \"d": {"/bin/sh", "-c", "echo dead relay >&2; exit 3"},
		"exit status 4":      {"/bin/sh", "-c", "exit 4"},
	} {
		_, err := run(deadline(t), argv)
		wantError(t, err, want)
	}
	output, err := run(deadline(t), []string{"/bin/sh", "-c", "head -c 1000000 /dev/zero"})
	if err != nil || len(output) != maxAnswer {
		t.Errorf("got %d bytes, %v; want %d", len(output), err, maxAnswer)
	}
}
