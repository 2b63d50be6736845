package boards

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestLock(t *testing.T) {
	dir := t.TempDir()
	me := Holder{PID: os.Getpid(), User: "me", What: "run a.yaml", Since: time.Now()}
	release, err := Lock(t.Context(), dir, "desk-3", me, false)
	if err != nil {
		t.Fatal(err)
	}
	if h, ok := HeldBy(dir, "desk-3"); !ok || h.What != me.What {
		t.Errorf("held by %v, %v", h, ok)
	}
	_, err = Lock(t.Context(), dir, "desk-3", me, false)
	if !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "run a.yaml") {
		t.Errorf("a second lock: %v", err)
	}
	other, err := Lock(t.Context(), dir, "desk-4", me, false)
	if err != nil {
		t.Errorf("another board: %v", err)
	} else {
		other()
	}

	waited := make(chan error)
	go func() {
		again, err := Lock(t.Context(), dir, "desk-3", me, true)
		if err == nil {
			again()
		}
		waited <- err
	}()
	release()
	if err := <-waited; err != nil {
		t.Errorf("waiting: %v", err)
	}
	if h, ok := HeldBy(dir, "desk-3"); ok {
		t.Errorf("held by %v after all have released it", h)
	}
}

func TestLockEndsWithItsProcess(t *testing.T) {
	dir := t.TempDir()
	if os.Getenv("B2C_TEST_LOCK") != "" {
		if _, err := Lock(t.Context(), os.Getenv("B2C_TEST_LOCK"), "desk-3", Holder{What: "child"}, false); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("locked\n")
		select {} // until killed
	}
	child := exec.Command(os.Args[0], "-test.run=^TestLockEndsWithItsProcess$")
	child.Env = append(os.Environ(), "B2C_TEST_LOCK="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := Lock(ctx, dir, "desk-3", Holder{}, true); !errors.Is(err, ErrHeld) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while the child lives: %v", err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	release, err := Lock(t.Context(), dir, "desk-3", Holder{}, false)
	if err != nil {
		t.Fatalf("after kill -9 of the holder: %v", err)
	}
	release()
}
