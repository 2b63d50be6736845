package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// change is one thing that was set on this host, with what it takes to undo it.
// Undoing it twice, or before it was made, does no harm.
type change struct {
	What  what   `json:"what"`
	Link  string `json:"link"`            // the interface, by name
	Index int    `json:"index,omitempty"` // and by number: a new card may get an old name
	// Address is the one that was added.
	Address netip.Prefix `json:"address,omitzero"`
	// Host is whether the host as a whole forwarded before this interface did.
	Host bool `json:"host,omitempty"`
}

type what string

const (
	linkRaised   what = "link raised"
	addressAdded what = "address added"
	tableAdded   what = "table added"
	forwardingOn what = "forwarding on"
)

// check refuses what cannot come from this program, such as a name that leads
// elsewhere.
func (c change) check() error {
	switch {
	case !interfaceName.MatchString(c.Link):
		return fmt.Errorf("%q is not a name of an interface", c.Link)
	case !slices.Contains([]what{linkRaised, addressAdded, tableAdded, forwardingOn}, c.What):
		return fmt.Errorf("%q is not a known change", c.What)
	case c.What == addressAdded && !c.Address.Addr().Is4():
		return fmt.Errorf("%q is not an IPv4 address", c.Address)
	}
	return nil
}

func (c change) undo() error {
	if c.What == tableAdded {
		return deleteTable(c.Link)
	}
	link, err := netlink.LinkByName(c.Link)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("failed to find interface %q: %w", c.Link, advised(err))
	}
	if link.Attrs().Index != c.Index {
		return nil
	}
	switch c.What {
	case linkRaised:
		err = netlink.LinkSetDown(link)
	case addressAdded:
		err = netlink.AddrDel(link, asNetlink(c.Address))
		if errors.Is(err, unix.EADDRNOTAVAIL) {
			err = nil
		}
	case forwardingOn:
		err = c.stopForwarding()
	}
	if err != nil {
		return fmt.Errorf("failed to undo %q on %q: %w", c.What, c.Link, advised(err))
	}
	return nil
}

// stopForwarding leaves the interface forwarding if the whole host has been set to
// forward since (as a container engine does): what it set is not ours to undo.
func (c change) stopForwarding() error {
	host, err := forwards("all")
	if err != nil {
		return err
	}
	if host && !c.Host {
		return nil
	}
	err = os.WriteFile(forwardingFile(c.Link), []byte("0\n"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// forwardingFile is net.ipv4.conf.NAME.forwarding (the kernel's ip-sysctl.rst), in
// the network namespace of the thread that opens it.
func forwardingFile(link string) string {
	return "/proc/sys/net/ipv4/conf/" + link + "/forwarding"
}

func forwards(link string) (bool, error) {
	b, err := os.ReadFile(forwardingFile(link))
	if err != nil {
		return false, err
	}
	return strings.TrimSpace(string(b)) != "0", nil
}

func asNetlink(p netip.Prefix) *netlink.Addr {
	return &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}}
}
