package netboot_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b2c-runner/boards/netboot"
	"b2c-runner/boards/netboot/netboottest"

	"github.com/beevik/ntp"
	"github.com/google/go-cmp/cmp"
)

// names that are not there, however a board asks for them.
var names = []string{
	"", "/", ".", "..", "nothing", "KERNEL", "kernel/", "kernel.", "kernel ", "./kernel", "/./kernel", "//kernel", "../kernel",
	"x/../kernel", `..\kernel`, `\kernel`, "....//kernel", "../../../../etc/passwd", "/etc/passwd", "/../../etc/shadow",
	"%2e%2e/kernel", "..%2fkernel", "kernel%00", "kernel\x00.img", "boot.ipxe~", "pxelinux.cfg/default", strings.Repeat("a/", 200),
}

// bench is a lab with one board that boots files from disk.
type bench struct {
	*lab
	board  *netboottest.Board
	seen   *events
	files  map[string][]byte
	client *http.Client
}

func startBench(t *testing.T) *bench {
	t.Helper()
	seen := newEvents()
	bn := &bench{lab: startLab(t, labConfig{events: seen.add}), seen: seen}
	noise := rand.NewChaCha8([32]byte{1})
	part := func(n int) ([]byte, netboot.File) {
		data := make([]byte, n)
		_, _ = noise.Read(data)
		path := filepath.Join(t.TempDir(), "part")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return data, netboot.File{Path: path}
	}
	kernel, kernelFile := part(3 << 20)
	one, oneFile := part(70_001)
	two, twoFile := part(1)
	three, threeFile := part(513)
	dtb, dtbFile := part(1468 * 4)
	boot := netboot.Boot{Kernel: kernelFile, Initramfs: []netboot.File{oneFile, twoFile, threeFile}, DTB: &dtbFile, Cmdline: "quiet"}
	add(t, bn.lab, netboot.Offer{MAC: macA, Boot: boot})
	script, err := netboot.Script(boot, "http://10.42.0.1")
	if err != nil {
		t.Fatal(err)
	}
	initramfs := append(append(append(one, 0, 0, 0), append(two, 0, 0, 0)...), three...)
	bn.files = map[string][]byte{"boot.ipxe": []byte(script), "kernel": kernel, "initramfs": initramfs, "dtb": dtb}
	bn.board = netboottest.Plug(t, bn.net, macA)
	bn.board.Lease()
	bn.client = bn.board.HTTP()
	return bn
}

func TestHTTP(t *testing.T) {
	b := startBench(t)
	for name, want := range b.files {
		b.seen.clear()
		if got := b.get(t, http.MethodGet, name, ""); !bytes.Equal(got.body, want) || got.status != 200 {
			t.Errorf("GET %s: status %d, %d bytes, want the %d offered", name, got.status, len(got.body), len(want))
		}
		kind, detail := netboot.HTTP, "GET 200"
		if name == "boot.ipxe" {
			kind, detail = netboot.ScriptSent, "http"
		}
		e := b.seen.wait(t, kind)
		e.Time, e.Took = time.Time{}, 0
		e2 := netboot.Event{Kind: kind, MAC: macA, Addr: netip.MustParseAddr("10.42.0.100"), File: "/" + name, Bytes: int64(len(want)), Detail: detail}
		if diff := cmp.Diff(e2, e, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
		if got := b.get(t, http.MethodHead, name, ""); got.status != 200 || got.length != int64(len(want)) || len(got.body) != 0 {
			t.Errorf("HEAD %s: %+v", name, got)
		}
		if got := b.get(t, http.MethodGet, name, "bytes=5-9"); got.status != 206 || !bytes.Equal(got.body, want[5:10]) {
			t.Errorf("GET %s of bytes 5 to 9: status %d, %q", name, got.status, got.body)
		}
		if got := b.get(t, http.MethodGet, name, fmt.Sprintf("bytes=%d-", len(want))); got.status != 416 {
			t.Errorf("GET %s past its end: status %d", name, got.status)
		}
		if got := b.get(t, http.MethodPost, name, ""); got.status != 405 {
			t.Errorf("POST %s: status %d", name, got.status)
		}
	}
	// Across the parts of the initramfs, and resumed in the padding.
	if got := b.get(t, http.MethodGet, "initramfs", "bytes=69999-70010"); !bytes.Equal(got.body, b.files["initramfs"][69999:70011]) {
		t.Errorf("a range across parts is %x", got.body)
	}
	if got := b.get(t, http.MethodGet, "initramfs", "bytes=70002-"); !bytes.Equal(got.body, b.files["initramfs"][70002:]) {
		t.Error("a range that begins in the padding differs")
	}
}

type answer struct {
	status int
	length int64
	body   []byte
}

func (b *bench) get(t *testing.T, method, name, ranges string) answer {
	t.Helper()
	r, err := http.NewRequest(method, "http://10.42.0.1:80/"+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ranges != "" {
		r.Header.Set("Range", ranges)
	}
	res, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.ContentLength, body}
}

func TestHTTPNames(t *testing.T) {
	b := startBench(t)
	b.server.Handle("/v2/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "registry "+r.URL.Path) }))
	if got := b.get(t, http.MethodGet, "v2/x/manifests/latest", ""); string(got.body) != "registry /v2/x/manifests/latest" {
		t.Errorf("the added handler serves %q", got.body)
	}
	for _, name := range append(names, "/v2/../kernel", "/v2//x", "/v2/./", "/v2/%2e%2e/x", "http://10.42.0.1/kernel/") {
		if name == "/" || strings.ContainsAny(name, " \x00") {
			continue // not a request line
		}
		target := name
		if !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "http:") {
			target = "/" + name
		}
		if got := b.raw(t, "GET "+target+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); got != 404 {
			t.Errorf("GET %q: status %d", target, got)
		}
	}
	for _, request := range []string{"GET kernel HTTP/1.1\r\nHost: x\r\n\r\n", "BREW /kernel HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"} {
		if got := b.raw(t, request); got < 400 {
			t.Errorf("%q: status %d", request, got)
		}
	}
}

func (b *bench) raw(t *testing.T, request string) int {
	t.Helper()
	c, err := b.board.DialTCP(t.Context(), netip.AddrPortFrom(gateway, 80))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	res.Body.Close()
	return res.StatusCode
}

// TestStrangersGetNothing asks from an address that no offer has.
func TestStrangersGetNothing(t *testing.T) {
	b := startBench(t)
	stranger := netboottest.Plug(t, b.net, macB)
	stranger.Use(netip.MustParsePrefix("10.42.0.200/24"), netip.IPv4Unspecified())
	res, err := stranger.HTTP().Get("http://10.42.0.1:80/kernel")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 404 {
		t.Errorf("a stranger's GET: status %d", res.StatusCode)
	}
	if _, err := fetchTFTP(stranger.ListenUDP(), "kernel", nil); err == nil || !strings.Contains(err.Error(), "file not found") {
		t.Errorf("a stranger's read: %v", err)
	}
	b.server.Remove(macA)
	if got := b.get(t, http.MethodGet, "kernel", ""); got.status != 404 {
		t.Errorf("after the offer, GET: status %d", got.status)
	}
}

func TestAbortedTransfers(t *testing.T) {
	b := startBench(t)
	c, err := b.board.DialTCP(t.Context(), netip.AddrPortFrom(gateway, 80))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "GET /kernel HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	e := b.seen.waitFor(t, func(e netboot.Event) bool { return e.Kind == netboot.HTTP && e.File == "/kernel" })
	if e.Err == "" || e.Bytes == 0 || e.Bytes >= 3<<20 {
		t.Errorf("the aborted GET is told as %+v", e)
	}
	b.seen.clear()
	_, err = fetchTFTP(b.board.ListenUDP(), "kernel", map[string]string{"tsize": "0", "abort": "yes"})
	if err == nil {
		t.Fatal("the TFTP client did not abort")
	}
	if e := b.seen.wait(t, netboot.TFTP); e.Err == "" || e.File != "kernel" {
		t.Errorf("the aborted read is told as %+v", e)
	}
	if got := b.get(t, http.MethodGet, "kernel", ""); !bytes.Equal(got.body, b.files["kernel"]) {
		t.Error("after the aborts the kernel differs")
	}
}

// TestRemoveEndsTransfers withdraws an offer under a board that takes nothing.
func TestRemoveEndsTransfers(t *testing.T) {
	b := startBench(t)
	big := filepath.Join(t.TempDir(), "big")
	f, err := os.Create(big)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(1<<30), f.Close()); err != nil {
		t.Fatal(err)
	}
	b.server.Remove(macA)
	add(t, b.lab, netboot.Offer{MAC: macA, Boot: netboot.Boot{Kernel: netboot.File{Path: big}}})
	c, err := b.board.DialTCP(t.Context(), netip.AddrPortFrom(gateway, 80))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /kernel HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	b.server.Remove(macA)
	if e := b.seen.wait(t, netboot.HTTP); e.Err != "aborted: the offer was withdrawn" || e.Bytes >= 1<<30 {
		t.Errorf("the withdrawn transfer is told as %+v", e)
	}
}

func TestNTP(t *testing.T) {
	b := startBench(t)
	for _, version := range []int{3, 4} {
		res, err := ntp.QueryWithOptions("10.42.0.1", ntp.QueryOptions{Version: version, Dialer: func(_, _ string) (net.Conn, error) {
			return b.board.DialUDP(netip.AddrPortFrom(gateway, 123)), nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Validate(); err != nil || res.ClockOffset.Abs() > 100*time.Millisecond {
			t.Errorf("version %d: offset %v, %v", version, res.ClockOffset, err)
		}
	}
	b.seen.wait(t, netboot.NTP)
}

// TestStopIsQuick ends the server while boards take nothing: a run that is
// canceled has 5 s for everything.
func TestStopIsQuick(t *testing.T) {
	b := startBench(t)
	c, err := b.board.DialTCP(t.Context(), netip.AddrPortFrom(gateway, 80))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /kernel HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	p := b.board.ListenUDP()
	if _, err := p.WriteTo([]byte("\x00\x01kernel\x00octet\x00"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(gateway, 69))); err != nil {
		t.Fatal(err)
	}
	_ = p.SetReadDeadline(time.Now().Add(netboottest.Patience))
	if _, _, err := p.ReadFrom(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	b.stop()
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("the server took %v to stop", took)
	}
	for _, kind := range []netboot.Kind{netboot.HTTP, netboot.TFTP} {
		if e := b.seen.wait(t, kind); e.Err == "" {
			t.Errorf("the transfer that was cut is told as %+v", e)
		}
	}
}
