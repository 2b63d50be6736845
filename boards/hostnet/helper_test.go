package hostnet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/mdlayher/ndp"
	"golang.org/x/net/ipv6"
)

// task is what this binary does as a process of its own.
type task struct {
	Do     string
	Config Config
}

// help does a task, and answers on standard output with one line.
func help(text string) {
	var what task
	answer := "ready"
	err := json.Unmarshal([]byte(text), &what)
	if err == nil {
		switch what.Do {
		case "hold": // until it is killed
			_, err = Open(context.Background(), what.Config)
		case "serve":
			err = tryEverything(what.Config)
		case "receive":
			answer, err = receive()
		case "solicit":
			err = solicitFromAfar()
		}
	}
	if err != nil {
		answer = "error: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	fmt.Println(answer)
	if err == nil && what.Do == "hold" {
		_, _ = os.Stdin.Read(make([]byte, 1))
	}
	os.Exit(0)
}

// tryEverything uses every power that a Hostnet needs.
func tryEverything(cfg Config) error {
	h, err := Open(context.Background(), cfg)
	if err != nil {
		return err
	}
	_, errDetect := h.Detect(context.Background())
	dhcp, errDHCP := h.ListenBroadcast(67)
	tftp, errTFTP := h.ListenPacket(69)
	http, errHTTP := h.Listen(80)
	if err := errors.Join(errDetect, errDHCP, errTFTP, errHTTP); err != nil {
		return err
	}
	ra, errRA := h.listenNDP()
	if errRA != nil {
		return errRA
	}
	return errors.Join(dhcp.Close(), tftp.Close(), http.Close(), ra.Close(), h.Close())
}

// receive tells where the first packet to UDP port 68 comes from.
func receive() (string, error) {
	c, err := net.ListenPacket("udp4", "0.0.0.0:68")
	if err != nil {
		return "", err
	}
	defer c.Close()
	_, from, err := c.ReadFrom(make([]byte, 1500))
	if err != nil {
		return "", err
	}
	return from.String(), nil
}

// solicitFromAfar sends a router solicitation that has passed a router, which no
// one may answer (RFC 4861, section 6.1.1).
func solicitFromAfar() error {
	c, err := net.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := ipv6.NewPacketConn(c).SetMulticastHopLimit(ndp.HopLimit - 1); err != nil {
		return err
	}
	text, err := ndp.MarshalMessage(&ndp.RouterSolicitation{})
	if err != nil {
		return err
	}
	_, err = c.WriteTo(text, &net.IPAddr{IP: net.IPv6linklocalallrouters, Zone: "eth0"})
	return err
}

// helper is a process that does a task.
type helper struct {
	cmd *exec.Cmd
	out *bufio.Scanner
}

// startHelper runs this binary, or a command that runs it with the same environment.
func startHelper(t *testing.T, what task, args ...string) *helper {
	t.Helper()
	text, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	if len(args) == 0 {
		args = []string{"/proc/self/exe"}
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), helperEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	if _, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &helper{cmd: cmd, out: bufio.NewScanner(out)}
	t.Cleanup(h.kill)
	return h
}

// answer waits for the line.
func (h *helper) answer(t *testing.T) string {
	t.Helper()
	if !h.out.Scan() {
		t.Fatalf("the helper does not answer: %v", h.out.Err())
	}
	return h.out.Text()
}

// kill is kill -9, and waits.
func (h *helper) kill() {
	_ = h.cmd.Process.Signal(syscall.SIGKILL)
	_ = h.cmd.Wait()
}
