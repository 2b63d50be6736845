// Package hostnet is a netboot.Network on a real interface of this host: address,
// link, NAT and forwarding, set up for as long as the runner lives and then undone,
// after a crash by the next start.
//
// It needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE, and works in the
// network namespace of the thread that calls it.
package hostnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"sync"
)

// Config says which interface the boards hang on, and what they may reach.
type Config struct {
	// Interface is where the boards are: "eth1".
	Interface string
	// Address is the runner's own on it, with the segment's prefix: 10.0.0.1/24.
	Address netip.Prefix
	// Uplink is the interface towards the outside, which boards reach through
	// NAT: "wlan0". Empty: nothing is forwarded from or to the boards.
	Uplink string
	// StateDir keeps the undo journal, one file for each interface.
	StateDir string
	// AllowForeignDHCP opens the network although another DHCP server may answer
	// on the segment, and does not look for one.
	AllowForeignDHCP bool
	Logger           *slog.Logger // nil: discard
}

// Hostnet is a real interface, ready to serve boards.
type Hostnet struct {
	cfg     Config
	log     *slog.Logger
	lock    *lock
	journal *journal

	closeOnce sync.Once
	closeErr  error
}

// Open sets the interface up. It first undoes what a runner that crashed has left.
// It fails if another runner has the interface, or if another DHCP server answers
// on the segment, and then leaves everything as it was.
func Open(ctx context.Context, cfg Config) (*Hostnet, error) {
	h, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("failed to set up network interface %q: %w", cfg.Interface, err)
	}
	return h, nil
}

func open(ctx context.Context, cfg Config) (*Hostnet, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if err := checkPrivileges(); err != nil {
		return nil, err
	}
	h := &Hostnet{cfg: cfg, log: cfg.Logger}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if h.lock, err = lockInterface(cfg.Interface); err != nil {
		return nil, err
	}
	if h.journal, err = openJournal(cfg.StateDir, cfg.Interface); err != nil {
		h.lock.release()
		return nil, err
	}
	if err := h.setUp(ctx); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (h *Hostnet) setUp(ctx context.Context) error {
	if n := len(h.journal.Changes); n > 0 {
		h.log.Warn("undoing what a runner that did not end well has left", "interface", h.cfg.Interface, "changes", n)
	}
	if err := h.journal.undoAll(); err != nil {
		return fmt.Errorf("failed to undo what an earlier runner has left: %w", err)
	}
	if err := h.checkLinks(); err != nil {
		return err
	}
	if err := h.raiseLink(ctx); err != nil {
		return err
	}
	if !h.cfg.AllowForeignDHCP {
		if err := h.refuseForeign(ctx); err != nil {
			return err
		}
	}
	for _, step := range []func() error{h.addAddress, h.addTable, h.forward} {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Close undoes what Open changed, last change first, and no more than that. The
// sockets opened on the network are closed before it. What cannot be undone stays
// in the journal for the next Open.
func (h *Hostnet) Close() error {
	h.closeOnce.Do(func() {
		h.closeErr = errors.Join(h.journal.undoAll(), h.journal.close())
		h.lock.release()
		if h.closeErr != nil {
			h.closeErr = fmt.Errorf("failed to put network interface %q back: %w", h.cfg.Interface, h.closeErr)
		}
	})
	return h.closeErr
}

// Gateway implements netboot.Network.
func (h *Hostnet) Gateway() netip.Prefix { return h.cfg.Address }

// interfaceName is narrower than the kernel's rule (dev_valid_name): a name is
// part of file names and of an nftables table's name.
var interfaceName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$`)

func (cfg Config) check() error {
	p := cfg.Address
	switch {
	case !interfaceName.MatchString(cfg.Interface):
		return errors.New("not a name of an interface (try: ip -br link)")
	case cfg.Uplink != "" && !interfaceName.MatchString(cfg.Uplink):
		return fmt.Errorf("uplink %q is not a name of an interface (try: ip -br link)", cfg.Uplink)
	case cfg.Uplink == cfg.Interface:
		return errors.New("it cannot be its own uplink")
	case !p.IsValid() || !p.Addr().Is4() || p.Bits() < 8 || p.Bits() > 30:
		return fmt.Errorf("address %s is not an IPv4 address with a prefix of 8 to 30 bits (try: 10.0.0.1/24)", p)
	case p.Addr() == p.Masked().Addr() || !p.Contains(p.Addr().Next()):
		return fmt.Errorf("address %s is the segment's own or its broadcast address (try: %s)",
			p, netip.PrefixFrom(p.Masked().Addr().Next(), p.Bits()))
	case cfg.StateDir == "":
		return errors.New("no directory to keep the undo journal in")
	}
	return nil
}
