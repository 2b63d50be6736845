package hostnet

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// ForeignServer is a DHCP server on the segment that is not this runner.
type ForeignServer struct {
	Addr netip.Addr
	MAC  net.HardwareAddr // of the server, or of the relay before it
}

// String is for messages: "10.0.0.2 (52:54:00:12:34:56)".
func (f ForeignServer) String() string { return fmt.Sprintf("%s (%s)", f.Addr, f.MAC) }

// How long Detect listens. A server makes its offer at once, or after it has pinged
// the address (RFC 2131, section 2.2): dnsmasq for 3 s, ISC dhcpd for 1 s. A ping
// begins with ARP requests, one a second, so that a quiet segment need not be waited
// for that long. Once one server has answered, the others have detectMore.
const (
	detectAgain    = 500 * time.Millisecond // a link that just came up may lose the first question
	detectTime     = 1500 * time.Millisecond
	detectPingTime = 4500 * time.Millisecond
	detectMore     = 200 * time.Millisecond
	maxForeign     = 16
)

func (h *Hostnet) refuseForeign(ctx context.Context) error {
	if !h.hasCarrier() {
		h.log.Info("not looking for another DHCP server: the link has no carrier", "interface", h.cfg.Interface)
		return nil
	}
	found, err := h.Detect(ctx)
	if err != nil || len(found) == 0 {
		return err
	}
	var names []string
	for _, f := range found {
		names = append(names, f.String())
	}
	return fmt.Errorf("another DHCP server answers on its segment: %s (try: stop it, or plug the boards into a network of their own)", strings.Join(names, ", "))
}

// Detect asks the segment for an address as a board would that nobody knows, and
// lists who answers. It takes 1.5 s if nobody does, and 4.5 s if somebody sends ARP
// requests. No lease is taken.
func (h *Hostnet) Detect(ctx context.Context) ([]ForeignServer, error) {
	found, err := h.detect(ctx)
	if err != nil {
		return nil, fmt.Errorf("failed to look for other DHCP servers: %w", advised(err))
	}
	return found, nil
}

func (h *Hostnet) detect(ctx context.Context) ([]ForeignServer, error) {
	ifi, err := net.InterfaceByName(h.cfg.Interface)
	if err != nil {
		return nil, err
	}
	wire, err := listenFrames(ifi)
	if err != nil {
		return nil, err
	}
	defer wire.Close()
	question, err := dhcpv4.NewDiscovery(probeMAC(ifi.HardwareAddr), dhcpv4.WithBroadcast(true))
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = wire.SetReadDeadline(time.Now()) })()
	found, err := h.collect(ctx, wire, ifi, question)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return found, err
}

// collect asks, and reads answers until time is up.
func (h *Hostnet) collect(ctx context.Context, wire *os.File, ifi *net.Interface, question *dhcpv4.DHCPv4) ([]ForeignServer, error) {
	begin := time.Now()
	until := func(t time.Time) error {
		err := wire.SetReadDeadline(t)
		if ctx.Err() != nil {
			err = wire.SetReadDeadline(begin)
		}
		return err
	}
	ask := func(wait time.Duration) error {
		_, err := wire.Write(dhcpFrame(ifi.HardwareAddr, question.ToBytes()))
		return errors.Join(err, until(begin.Add(wait)))
	}
	if err := ask(detectAgain); err != nil {
		return nil, err
	}
	var found []ForeignServer
	var asked, pinged bool
	frame := make([]byte, 2048)
	for len(found) < maxForeign {
		n, err := wire.Read(frame)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && !asked && !pinged && len(found) == 0 && ctx.Err() == nil:
			asked = true
			err = ask(detectTime)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return found, nil
		case err == nil && !pinged && len(found) == 0 && isARPRequest(frame[:n]):
			pinged = true
			err = until(begin.Add(detectPingTime))
		}
		if err != nil {
			return nil, err
		}
		f, ok := answer(frame[:n], question)
		if !ok || f.Addr == h.cfg.Address.Addr() || slices.ContainsFunc(found, func(o ForeignServer) bool { return o.Addr == f.Addr }) {
			continue
		}
		if len(found) == 0 {
			if err := until(time.Now().Add(detectMore)); err != nil {
				return nil, err
			}
		}
		found = append(found, f)
	}
	return found, nil
}

// probeMAC is a locally administered address that looks random and is the same
// each time, so that a server which notes who asks notes one.
func probeMAC(own net.HardwareAddr) net.HardwareAddr {
	sum := sha256.Sum256(append([]byte("b2c-runner looks for DHCP servers from "), own...))
	mac := net.HardwareAddr(sum[:6])
	mac[0] = mac[0]&^1 | 2
	return mac
}
