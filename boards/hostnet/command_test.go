package hostnet

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func needTools(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs %s", name)
		}
	}
}

// commandTime is more than any command takes here.
const commandTime = 30 * time.Second

func command(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := command(context.Background(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// in runs a command in a namespace.
func in(t *testing.T, ns string, args ...string) string {
	t.Helper()
	return must(t, "ip", append([]string{"netns", "exec", ns}, args...)...)
}

// start runs a daemon until the test ends, in a namespace or, if that is "", on the
// host itself.
func start(t *testing.T, ns string, args ...string) *exec.Cmd {
	t.Helper()
	if ns != "" {
		args = append([]string{"ip", "netns", "exec", ns}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		log.Close()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s:\n%s", strings.Join(args, " "), text)
		}
	})
	return cmd
}

// await waits for what the kernel tells nobody, but shows who looks.
func await(t *testing.T, want string, look func() string) {
	t.Helper()
	text := ""
	for deadline := time.Now().Add(commandTime); time.Now().Before(deadline); {
		if text = look(); strings.Contains(text, want) {
			return
		}
	}
	t.Fatalf("%q does not come:\n%s", want, text)
}

// awaitPort waits until something listens in a namespace ("": the host).
func awaitPort(t *testing.T, ns, proto string, port uint16) {
	t.Helper()
	await(t, fmt.Sprintf(":%04X 00000000:0000", port), func() string {
		if ns == "" {
			return must(t, "cat", "/proc/net/"+proto)
		}
		return in(t, ns, "cat", "/proc/net/"+proto)
	})
}

// awaitUp waits for the kernel's link watch, which sees a carrier a moment later.
func awaitUp(t *testing.T, link string) {
	t.Helper()
	await(t, "inet6 fe80", func() string { return must(t, "ip", "addr", "show", "dev", link, "-tentative") })
}
