package hostnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/mdlayher/ndp"
	"golang.org/x/net/ipv6"
)

// advertiseRetry is the pause before another try to open a socket: a link-local
// address is there 1 to 2 s after the carrier (RFC 4862, section 5.4).
const advertiseRetry = 250 * time.Millisecond

// ServeRouterAdvertisements implements netboot.Network. It waits for an IPv6
// link-local address, for ever on a host without IPv6: boards then boot slower, but
// they do.
func (h *Hostnet) ServeRouterAdvertisements(ctx context.Context) error {
	for told := false; ; told = true {
		err := h.answerSolicitations(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if !told {
			h.log.Info("no router advertisements yet", "interface", h.cfg.Interface, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(advertiseRetry):
		}
	}
}

// answerSolicitations answers router solicitations until the socket fails. The
// answer says: there is a router, not for you (lifetime 0), no prefix, no DHCPv6.
// iPXE waits up to 13 s for one to say even that.
func (h *Hostnet) answerSolicitations(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic while answering a router solicitation: %v", p)
		}
	}()
	conn, err := h.listenNDP()
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for {
		message, control, from, err := conn.ReadFrom()
		if err != nil {
			return err
		}
		if _, ok := message.(*ndp.RouterSolicitation); !ok || control == nil || control.HopLimit != ndp.HopLimit {
			continue
		}
		to := from
		if from.IsUnspecified() {
			to = netip.IPv6LinkLocalAllNodes()
		}
		if err := conn.WriteTo(&ndp.RouterAdvertisement{}, nil, to); err != nil {
			h.log.Debug("failed to send a router advertisement", "to", to, "error", err)
		}
	}
}

// listenNDP opens a socket that gets router solicitations of the interface only.
func (h *Hostnet) listenNDP() (*ndp.Conn, error) {
	ifi, err := net.InterfaceByName(h.cfg.Interface)
	if err != nil {
		return nil, err
	}
	// The zone of addresses, as a number: package net remembers for a minute which
	// number a name has, and a USB card that was plugged in again has a new one.
	ifi.Name = strconv.Itoa(ifi.Index)
	conn, _, err := ndp.Listen(ifi, ndp.LinkLocal)
	if err != nil {
		return nil, err
	}
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(ipv6.ICMPTypeRouterSolicitation)
	for _, err := range []error{
		conn.SetICMPFilter(&filter),
		conn.SetControlMessage(ipv6.FlagHopLimit, true),
		conn.JoinGroup(netip.IPv6LinkLocalAllRouters()),
	} {
		if err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}
