package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"b2c-runner/boards/registry"
	"b2c-runner/jobs"
)

// The recipe is what people do by hand, as boot2container's authors publish it: an
// address, dnsmasq with its plain flags, TFTP for every file, a boot.ipxe.
const (
	recipeNamespace = "b2c-recipe"
	recipeGateway   = "10.0.0.1"
	recipeMAC       = "52:54:00:b2:c0:01"
)

// BenchmarkBoot boots one board, kernel and initramfs to the container's prompt
// through the recipe and through b2c-runner, in turn, and prints the ratio.
func BenchmarkBoot(b *testing.B) {
	dir := payload(b)
	for _, tool := range []string{"dnsmasq", "ip", "python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			b.Skipf("needs %s (make test-packages)", tool)
		}
	}
	if os.Getuid() != 0 {
		b.Skip("needs root, for a network namespace and a tap")
	}
	recipe := newRecipe(b, dir)
	job := filepath.Join(b.TempDir(), "job.yaml")
	text := bootJob(dir, busybox+"steps:\n  - {expect: '/ # ', timeout: 5m}\n  - send: \"exit\\n\"\n")
	if err := os.WriteFile(job, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	cache := b.TempDir()
	ours(b, job, cache) // fills the cache
	for b.Loop() {
		var theirs, own []time.Duration
		var uses []use
		for range 3 {
			theirs = append(theirs, recipe.boot(b))
			u := ours(b, job, cache)
			own, uses = append(own, u.prompt), append(uses, u)
		}
		slices.Sort(theirs)
		slices.Sort(own)
		slices.SortFunc(uses, func(x, y use) int { return int(x.overhead - y.overhead) })
		ratio := own[1].Seconds() / theirs[1].Seconds()
		peer := pexpectUse(b, dir)
		b.Logf("power-on → prompt, median of 3: recipe %.1f s %v, b2c-runner %.1f s %v, ratio %.2f",
			theirs[1].Seconds(), theirs, own[1].Seconds(), own, ratio)
		b.Logf("own overhead: b2c-runner %s, CPU %s, peak %d MiB; pexpect %s, CPU %s, peak %d MiB",
			uses[1].overhead, uses[1].cpu, uses[1].peak>>10, peer.overhead, peer.cpu, peer.peak>>10)
		b.ReportMetric(ratio, "ours/recipe")
		b.ReportMetric(uses[1].overhead.Seconds()/peer.overhead.Seconds(), "overhead/pexpect")
	}
}

// use is what a run took.
type use struct {
	prompt   time.Duration // power on → prompt
	overhead time.Duration // wall time less the board's
	cpu      time.Duration
	peak     int // KiB
}

var ownUse = regexp.MustCompile(`own use cpu=(\S+) peak_kib=(\d+)`)

// ours runs the program on the job.
func ours(b *testing.B, job, cache string) use {
	b.Helper()
	out := b.TempDir()
	cmd := exec.Command("b2c-runner", "run", "-q", "-v", "--out", out, "--cache", cache, job)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	started := time.Now()
	err := cmd.Run()
	wall := time.Since(started)
	if err != nil {
		b.Fatalf("%v\n%s", err, stderr.String())
	}
	var r jobs.Result
	found, _ := filepath.Glob(filepath.Join(out, "*", "*", "result.json"))
	data, err := os.ReadFile(found[0])
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		b.Fatal(err)
	}
	var u use
	var ended time.Duration
	for _, e := range r.Attempts[0].Timeline {
		switch {
		case e.Kind == "step" && u.prompt == 0:
			u.prompt = e.At
		case e.Kind == "pipeline":
			ended = e.At
		}
	}
	u.overhead = wall - ended
	m := ownUse.FindStringSubmatch(stderr.String())
	if m == nil {
		b.Fatalf("no word of the program's own use:\n%s", stderr.String())
	}
	u.cpu, _ = time.ParseDuration(m[1])
	fmt.Sscan(m[2], &u.peak)
	return u
}

// pexpectUse boots the same kernel and initramfs from a pexpect script.
func pexpectUse(b *testing.B, dir string) use {
	b.Helper()
	args := []string{"testdata/bench/boot.py", "qemu-system-x86_64", "-nographic", "-no-reboot", "-m", "1024",
		"-kernel", dir + "/linux-x86_64", "-initrd", dir + "/initramfs.linux_amd64.cpio.zst",
		"-append", "console=ttyS0 rdinit=/bin/sh", "-nic", "none"}
	started := time.Now()
	out, err := exec.Command("/usr/bin/python3", args...).Output()
	wall := time.Since(started)
	if err != nil {
		b.Fatalf("pexpect: %v", err)
	}
	var board, cpu float64
	var u use
	if _, err := fmt.Sscan(string(out), &board, &cpu, &u.peak); err != nil {
		b.Fatalf("pexpect said %q: %v", out, err)
	}
	u.overhead = wall - time.Duration(board*float64(time.Second))
	u.cpu = time.Duration(cpu * float64(time.Second))
	return u
}

// recipe is a host set up by hand, in a network namespace of its own.
type recipe struct{}

func newRecipe(b *testing.B, dir string) *recipe {
	b.Helper()
	run := func(args ...string) {
		b.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			b.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	run("ip", "netns", "add", recipeNamespace)
	b.Cleanup(func() { run("ip", "netns", "delete", recipeNamespace) })
	in := func(args ...string) { run(append([]string{"ip", "netns", "exec", recipeNamespace}, args...)...) }
	in("ip", "link", "set", "lo", "up")
	in("ip", "tuntap", "add", "tap0", "mode", "tap")
	in("ip", "address", "add", recipeGateway+"/24", "dev", "tap0")
	in("ip", "link", "set", "tap0", "up")

	image := serveImage(b, dir)
	root := b.TempDir()
	for _, name := range []string{"linux-x86_64", "initramfs.linux_amd64.cpio.zst"} {
		run("cp", filepath.Join(dir, name), root)
	}
	script := fmt.Sprintf("#!ipxe\nkernel /linux-x86_64 initrd=b2c console=ttyS0,115200 b2c.run=\"--tls-verify=false -ti %s:5000/%s\"\n"+
		"initrd --name b2c /initramfs.linux_amd64.cpio.zst\nboot\n", recipeGateway, image)
	if err := os.WriteFile(filepath.Join(root, "boot.ipxe"), []byte(script), 0o644); err != nil {
		b.Fatal(err)
	}
	dnsmasq := exec.Command("ip", "netns", "exec", recipeNamespace, "dnsmasq", "--port=0", "--conf-file=/dev/null",
		"--dhcp-boot=/boot.ipxe", "--dhcp-range=10.0.0.2,10.0.0.254", "--dhcp-option=option:dns-server,1.1.1.1",
		"--interface=tap0", "--enable-tftp=tap0", "--tftp-root="+root, "--no-daemon", "--user=root", "--dhcp-leasefile="+root+"/leases")
	if err := dnsmasq.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = dnsmasq.Process.Kill()
		_ = dnsmasq.Wait()
	})
	return &recipe{}
}

// serveImage serves the demo's image in the recipe's namespace and returns its path.
func serveImage(b *testing.B, dir string) string {
	b.Helper()
	images, err := registry.New(registry.Config{CacheDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { images.Close() })
	image, err := images.Add(b.Context(), "oci:"+dir+"/busybox.oci", "linux/amd64")
	if err != nil {
		b.Fatal(err)
	}
	listening := make(chan net.Listener)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		l, err := listenInNamespace(b.Context())
		if err != nil {
			b.Error(err)
		}
		listening <- l
	}()
	l := <-listening
	if l == nil {
		b.FailNow()
	}
	server := &http.Server{Handler: images}
	go func() { _ = server.Serve(l) }()
	b.Cleanup(func() { server.Close() })
	return image.Path
}

func listenInNamespace(ctx context.Context) (net.Listener, error) {
	ns, err := os.Open("/run/netns/" + recipeNamespace)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	return (&net.ListenConfig{}).Listen(ctx, "tcp", recipeGateway+":5000")
}

// boot powers the same machine as the virtual board's, on the tap, and returns
// the time until the prompt.
func (*recipe) boot(b *testing.B) time.Duration {
	b.Helper()
	cmd := exec.Command("ip", "netns", "exec", recipeNamespace, "qemu-system-x86_64", "-nodefaults", "-display", "none",
		"-machine", "pc,graphics=off", "-accel", "tcg,thread=multi", "-m", "1024", "-boot", "n", "-vga", "none",
		"-serial", "stdio", "-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no",
		"-device", "virtio-net-pci,netdev=n0,mac="+recipeMAC)
	stdin, err := cmd.StdinPipe() // kept open: QEMU's console
	if err != nil {
		b.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	started := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	var seen bytes.Buffer
	chunk := make([]byte, 4096)
	for {
		n, err := stdout.Read(chunk)
		seen.Write(chunk[:n])
		if bytes.Contains(seen.Bytes(), []byte("/ # ")) {
			return time.Since(started)
		}
		if err != nil {
			b.Fatalf("the recipe did not come to a prompt: %v\n%s", err, seen.String())
		}
	}
}
