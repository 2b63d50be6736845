package hostnet

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// logBuffer collects a log.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// whenLogged signals when a message has been logged.
func whenLogged(message string, told chan<- struct{}) *slog.Logger {
	return slog.New(signalHandler{slog.DiscardHandler, message, told})
}

type signalHandler struct {
	slog.Handler
	message string
	told    chan<- struct{}
}

func (s signalHandler) Enabled(context.Context, slog.Level) bool { return true }

func (s signalHandler) Handle(_ context.Context, r slog.Record) error {
	if r.Message == s.message {
		select {
		case s.told <- struct{}{}:
		default:
		}
	}
	return nil
}

// foreignServer runs dnsmasq as a DHCP server on the boards' segment.
func foreignServer(t *testing.T, addr string, options ...string) {
	t.Helper()
	needTools(t, "dnsmasq")
	in(t, "board", "ip", "addr", "add", addr+"/24", "dev", "eth0")
	start(t, "board", append([]string{"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--log-facility=-",
		"--user=root", "--pid-file=", "--leasefile-ro", "--interface=eth0", "--dhcp-range=" + addr + "00," + addr + "50,1h"}, options...)...)
	awaitPort(t, "board", "udp", 67)
}

// TestForeignServerIsNamed: by default dnsmasq offers an address only after it has
// pinged it for 3 s, and is found all the same.
func TestForeignServerIsNamed(t *testing.T) {
	tests := map[string][]string{
		"default":       nil,
		"no ping":       {"--no-ping"},
		"authoritative": {"--dhcp-authoritative"},
	}
	for name, options := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := host(t)
			before := snapshot(t)
			foreignServer(t, "192.168.66.1", options...)
			cfg.AllowForeignDHCP = false
			h, err := Open(t.Context(), cfg)
			if err == nil {
				closeNet(t, h)
			}
			want := `failed to set up network interface "lab0": another DHCP server answers on its segment: 192.168.66.1 (` + lookUpMAC(t, "board", "eth0") + `)`
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got error %v, want %s", err, want)
			}
			if diff := cmp.Diff(before, snapshot(t)); diff != "" {
				t.Errorf("not as before (-before +after):\n%s", diff)
			}
			cfg.AllowForeignDHCP = true
			found, err := openNet(t, cfg).Detect(t.Context())
			if err != nil || len(found) != 1 || found[0].Addr != netip.MustParseAddr("192.168.66.1") {
				t.Errorf("found %v, error %v", found, err)
			}
		})
	}
}

func TestNoForeignServer(t *testing.T) {
	cfg := host(t)
	cfg.AllowForeignDHCP = false
	begin := time.Now()
	openNet(t, cfg)
	if took := time.Since(begin); took < detectTime || took >= detectPingTime {
		t.Errorf("it listened for %s", took)
	}
}

func TestDetectEndsWithContext(t *testing.T) {
	h := openNet(t, host(t))
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := h.Detect(ctx); !errors.Is(err, enough) {
		t.Errorf("got error %v, want %v", err, enough)
	}
}

// TestNoCarrier: a board that is off is no reason not to open, nor to ask nobody.
func TestNoCarrier(t *testing.T) {
	cfg := host(t)
	cfg.AllowForeignDHCP = false
	in(t, "board", "ip", "link", "set", "eth0", "down")
	var log logBuffer
	cfg.Logger = log.logger()
	openNet(t, cfg)
	if !strings.Contains(log.String(), "no carrier") {
		t.Errorf("the log says nothing of it:\n%s", log.String())
	}
}

// FuzzAnswer reads frames of a hostile segment. What counts as an answer has to
// carry our transaction.
func FuzzAnswer(f *testing.F) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	question, err := dhcpv4.NewDiscovery(mac)
	if err != nil {
		f.Fatal(err)
	}
	question.TransactionID = dhcpv4.TransactionID{1, 2, 3, 4}
	reply, err := dhcpv4.NewReplyFromRequest(question, dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 0, 1))))
	if err != nil {
		f.Fatal(err)
	}
	frame := dhcpFrame(mac, reply.ToBytes())
	const destinationPort = 14 + 20 + 2
	frame[destinationPort+1] = dhcpClientPort
	if got, ok := answer(frame, question); !ok || got.String() != "10.0.0.1 (02:00:00:00:00:01)" {
		f.Fatalf("got %v, %v", got, ok)
	}
	f.Add(frame)
	another := bytes.Replace(frame, question.TransactionID[:], []byte{4, 3, 2, 1}, 1)
	f.Add(another)
	f.Fuzz(func(t *testing.T, frame []byte) {
		isARPRequest(frame)
		got, ok := answer(frame, question)
		if ok && (!bytes.Contains(frame, question.TransactionID[:]) || !got.Addr.Is4() || len(got.MAC) != 6) {
			t.Errorf("%x is taken for an answer of %v", frame, got)
		}
	})
}
