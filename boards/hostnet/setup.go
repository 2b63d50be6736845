package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// checkLinks refuses what could not work before anything is changed.
func (h *Hostnet) checkLinks() error {
	link, err := findLink(h.cfg.Interface)
	if err != nil {
		return err
	}
	if link.Attrs().Flags&net.FlagLoopback != 0 {
		return errors.New("no board can be on the loopback interface")
	}
	if master := link.Attrs().MasterIndex; master != 0 {
		if bridge, err := netlink.LinkByIndex(master); err == nil {
			return fmt.Errorf("it is a port of %q, where the address has to be (try: interface: %s)", bridge.Attrs().Name, bridge.Attrs().Name)
		}
	}
	if h.cfg.Uplink != "" {
		if _, err := findLink(h.cfg.Uplink); err != nil {
			return fmt.Errorf("uplink %q: %w", h.cfg.Uplink, err)
		}
	}
	return h.checkOverlap(link)
}

func findLink(name string) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	if err == nil {
		return link, nil
	}
	if !errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, advised(err)
	}
	all, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("failed to list the interfaces: %w", advised(err))
	}
	var names []string
	for _, l := range all {
		names = append(names, l.Attrs().Name)
	}
	return nil, fmt.Errorf("there is no such interface (try: one of %s)", strings.Join(names, ", "))
}

// checkOverlap refuses a segment that lies in one of another interface, where
// boards could not be told from that one's hosts.
func (h *Hostnet) checkOverlap(link netlink.Link) error {
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("failed to list this host's addresses: %w", advised(err))
	}
	for _, a := range addrs {
		ip, _ := netip.AddrFromSlice(a.IP.To4())
		bits, _ := a.Mask.Size()
		other := netip.PrefixFrom(ip, bits)
		if a.LinkIndex == link.Attrs().Index || bits < h.cfg.Address.Bits() || !h.cfg.Address.Masked().Overlaps(other.Masked()) {
			continue
		}
		name := fmt.Sprintf("interface %d", a.LinkIndex)
		if l, err := netlink.LinkByIndex(a.LinkIndex); err == nil {
			name = l.Attrs().Name
		}
		return fmt.Errorf("its address %s overlaps with %s of %s (try: another address, such as 10.113.0.1/24)", h.cfg.Address, other, name)
	}
	return nil
}

// How long a link that was just raised may take for its carrier: a USB network
// card negotiates for 1 to 3 s.
const (
	carrierWait = 3 * time.Second
	carrierPoll = 20 * time.Millisecond
)

// raiseLink sets the link up if it is down, and then waits for its carrier, which
// is not there for sure: a board that is off has none.
func (h *Hostnet) raiseLink(ctx context.Context) error {
	link, err := findLink(h.cfg.Interface)
	if err != nil {
		return err
	}
	if link.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	c := change{What: linkRaised, Link: h.cfg.Interface, Index: link.Attrs().Index}
	if err := h.journal.do(c, func() error { return netlink.LinkSetUp(link) }); err != nil {
		return fmt.Errorf("failed to set the link up: %w", advised(err))
	}
	ctx, cancel := context.WithTimeout(ctx, carrierWait)
	defer cancel()
	poll := time.NewTicker(carrierPoll)
	defer poll.Stop()
	for !h.hasCarrier() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

func (h *Hostnet) hasCarrier() bool {
	link, err := netlink.LinkByName(h.cfg.Interface)
	return err == nil && link.Attrs().RawFlags&unix.IFF_LOWER_UP != 0
}

func (h *Hostnet) addAddress() error {
	link, err := findLink(h.cfg.Interface)
	if err != nil {
		return err
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("failed to list its addresses: %w", advised(err))
	}
	wanted := asNetlink(h.cfg.Address)
	for _, a := range addrs {
		if a.IPNet.String() == wanted.IPNet.String() {
			return nil
		}
	}
	c := change{What: addressAdded, Link: h.cfg.Interface, Index: link.Attrs().Index, Address: h.cfg.Address}
	if err := h.journal.do(c, func() error { return netlink.AddrAdd(link, wanted) }); err != nil {
		return fmt.Errorf("failed to add address %s: %w", h.cfg.Address, advised(err))
	}
	return nil
}

// forward lets this host forward between the boards and the uplink: IPv4 packets
// are forwarded if the interface they come in by says so, whatever the host's
// net.ipv4.ip_forward is.
func (h *Hostnet) forward() error {
	if h.cfg.Uplink == "" {
		return nil
	}
	host, err := forwards("all")
	if err != nil {
		return fmt.Errorf("failed to read whether this host forwards: %w", err)
	}
	for _, name := range []string{h.cfg.Interface, h.cfg.Uplink} {
		on, err := forwards(name)
		if err != nil {
			return fmt.Errorf("failed to read whether %q forwards: %w", name, err)
		}
		if on {
			continue
		}
		link, err := findLink(name)
		if err != nil {
			return err
		}
		c := change{What: forwardingOn, Link: name, Index: link.Attrs().Index, Host: host}
		err = h.journal.do(c, func() error { return os.WriteFile(forwardingFile(name), []byte("1\n"), 0) })
		if err != nil {
			return fmt.Errorf("failed to let %q forward: %w (try: sysctl -w net.ipv4.ip_forward=1, if /proc/sys is read-only here)", name, advised(err))
		}
	}
	return nil
}
