package console

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestExecCarriesEveryByte(t *testing.T) {
	port := dialFor(t, Spec{Exec: []string{"cat"}})
	all := everyByte()
	writeAll(t, port, all)
	if got := readAll(t, port, len(all)); !bytes.Equal(got, all) {
		t.Errorf("sent\n%q, got\n%q", all, got)
	}
	expectClosed(t, port)
}

func TestExecEnds(t *testing.T) {
	for _, test := range []struct {
		script, out string
		want        []string // in the error; none: io.EOF itself
	}{
		{"printf bye", "bye", nil},
		{"printf x; echo 'Connection closed.' >&2", "x", []string{"saying \"Connection closed.\": EOF"}},
		{"echo one >&2; echo 'no such host' >&2; exit 3", "", []string{`one\nno such host`, "exit status 3"}},
		{"kill -9 $$", "", []string{"signal: killed"}},
		// A descendant that holds stdout does not keep the port alive.
		{"printf x; setsid sleep 1000 & exit 4", "x", []string{"exit status 4"}},
		// Nor does one that only closes it.
		{"exec >&-; sleep 1000", "", []string{"signal: killed"}},
	} {
		port := dialFor(t, Spec{Exec: []string{"sh", "-c", test.script}})
		out, err := readToEnd(t, port)
		if out != test.out {
			t.Errorf("%s: read %q, want %q", test.script, out, test.out)
		}
		if test.want == nil && err != io.EOF {
			t.Errorf("%s: %v, want EOF", test.script, err)
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q in it", test.script, err, want)
			}
		}
		if _, again := port.Read(make([]byte, 1)); again == nil || again.Error() != err.Error() {
			t.Errorf("%s: second Read: %v, first: %v", test.script, again, err)
		}
	}
}

func readToEnd(t *testing.T, port Port) (string, error) {
	t.Helper()
	alarm := time.AfterFunc(patience, func() { port.Close() })
	defer alarm.Stop()
	var out strings.Builder
	for buffer := make([]byte, 64); ; {
		n, err := port.Read(buffer)
		out.Write(buffer[:n])
		if err != nil {
			return out.String(), err
		}
	}
}

// TestExecLosesNothing reads slowly what a dead command left in the pipe.
func TestExecLosesNothing(t *testing.T) {
	port := dialFor(t, Spec{Exec: []string{"sh", "-c", "head -c 60000 /dev/zero"}})
	<-port.(*execPort).ended
	// As if reading starts long after the deadline that the end sets.
	if err := port.(*execPort).stdout.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if out, err := readToEnd(t, port); len(out) != 60000 || err != io.EOF {
		t.Errorf("read %d bytes, %v", len(out), err)
	}
}

func TestExecCloseEndsTheGroup(t *testing.T) {
	for _, script := range []string{
		"sleep 1000 & echo $!; wait",
		"trap '' TERM; sleep 1000 & echo $!; while :; do wait; done",
		"trap 'exit 0' TERM; (trap '' TERM; sleep 1000) & echo $!; wait",
	} {
		port := dialFor(t, Spec{Exec: []string{"sh", "-c", script}})
		pid := readPID(t, port)
		leader := port.(*execPort).cmd.Process.Pid
		if err := port.Close(); err != nil {
			t.Errorf("%s: Close: %v", script, err)
		}
		for _, pid := range []int{leader, pid} {
			eventually(t, fmt.Sprintf("%s: process %d ends", script, pid), func() bool { return dead(pid) })
		}
	}
}

func readPID(t *testing.T, r io.ReadCloser) int {
	t.Helper()
	var line []byte
	for !bytes.HasSuffix(line, []byte("\n")) {
		line = append(line, readAll(t, r, 1)...)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// dead tells whether a process ended; one that nobody has waited for counts.
func dead(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(stat), ") ")
	return err != nil || strings.HasPrefix(after, "Z")
}

// TestExecDiesWithItsParent kills a process that holds an exec console, this
// test binary run again, and looks for the command.
func TestExecDiesWithItsParent(t *testing.T) {
	if os.Getenv("CONSOLE_TEST_PARENT") != "" {
		port := dialFor(t, Spec{Exec: []string{"sh", "-c", "echo $$; exec sleep 1000"}})
		fmt.Printf("pid\n%d\n", readPID(t, port))
		os.Stdout.Sync()
		<-port.(*execPort).ended
		return
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestExecDiesWithItsParent$", "-test.v=false")
	parent.Env = append(os.Environ(), "CONSOLE_TEST_PARENT=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, out, 4); string(got) != "pid\n" {
		t.Fatalf("the parent said %q", got)
	}
	pid := readPID(t, out)
	if dead(pid) {
		t.Fatalf("process %d is not there", pid)
	}
	if err := parent.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	parent.Wait()
	eventually(t, "the command dies with its parent", func() bool { return dead(pid) })
}

func TestExecLogsStderr(t *testing.T) {
	var log bytes.Buffer
	port, err := Dial(t.Context(), Spec{Exec: []string{"sh", "-c", "seq 100 >&2; head -c 9000 /dev/zero >&2; printf end >&2; exit 1"}},
		slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = readToEnd(t, port)
	port.Close()
	if lines := strings.Count(log.String(), "stderr="); lines != 103 {
		t.Errorf("%d lines were logged, want 100 and 3", lines)
	}
	if text := err.Error(); strings.Contains(text, `93\n`) || !strings.Contains(text, `94\n`) || len(text) > 40_000 {
		t.Errorf("the error holds more or less than the last ten lines: %d bytes, %.200q", len(text), text)
	}
}

// TestExecSSH has a console behind a real ssh and sshd, which talk through pipes.
func TestExecSSH(t *testing.T) {
	ssh, sshd, keygen := need(t, "ssh"), need(t, "sshd"), need(t, "ssh-keygen")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil || !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(me.Username)+`:.*:/[^:]*sh$`).Match(passwd) {
		t.Skip("needs an account with a shell")
	}
	if me.Uid == "0" && !exists("/run/sshd") {
		if err := os.Mkdir("/run/sshd", 0o755); err != nil {
			t.Skip("needs /run/sshd")
		}
		t.Cleanup(func() { os.Remove("/run/sshd") })
	}
	dir := t.TempDir()
	key, config := filepath.Join(dir, "key"), filepath.Join(dir, "sshd_config")
	if out, err := exec.Command(keygen, "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	settings := fmt.Sprintf("HostKey %s\nAuthorizedKeysFile %s.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nForceCommand echo ready; exec cat\n", key, key)
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	port := dialFor(t, Spec{Exec: []string{
		ssh, "-F", "none", "-i", key, "-o", "ProxyCommand=" + sshd + " -i -f " + config,
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", me.Username + "@board",
	}})
	if got := readAll(t, port, 6); string(got) != "ready\n" {
		t.Fatalf("read %q", got)
	}
	all := everyByte()
	writeAll(t, port, all)
	if got := readAll(t, port, len(all)); !bytes.Equal(got, all) {
		t.Errorf("sent\n%q, got\n%q", all, got)
	}
	expectClosed(t, port)
}

// TestExecConserver attaches to a console of a real conserver.
func TestExecConserver(t *testing.T) {
	conserver, console := need(t, "conserver"), need(t, "console")
	_, port := freeAddress(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "conserver.cf")
	text := "default * { logfile " + filepath.Join(dir, "log") + "; rw *; master localhost; }\naccess * { trusted 127.0.0.1; }\nconsole board { type exec; exec cat; }\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, conserver, "-C", config, "-p", port, "-b", "0", "-M", "127.0.0.1", "-n", "-U", filepath.Join(dir, "sock"))
	eventually(t, "conserver listens", func() bool { return listens(t, port) })
	p := dialFor(t, Spec{Exec: []string{console, "-M", "127.0.0.1", "-p", port, "board"}})
	writeAll(t, p, []byte("hello from the desk"))
	var out strings.Builder
	for !strings.Contains(out.String(), "hello from the desk") {
		out.Write(readAll(t, p, 1))
	}
	if err := p.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		t.Errorf("Close: %v", err)
	}
}
