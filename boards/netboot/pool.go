package netboot

import (
	"errors"
	"fmt"
	"net/netip"
)

// pool knows which board has which address. A board keeps its address after its
// offer is withdrawn, until somebody else needs it.
type pool struct {
	gateway netip.Prefix
	first   netip.Addr
	leases  map[string]netip.Addr // by the bytes of the MAC
}

func newPool(gateway netip.Prefix, first netip.Addr) pool {
	if !first.IsValid() {
		first = gateway.Masked().Addr()
		offset := 100
		if gateway.Bits() > 24 {
			offset = 2
		}
		for range offset {
			first = first.Next()
		}
	}
	return pool{gateway: gateway, first: first, leases: make(map[string]netip.Addr)}
}

// assign gives mac the address it asks for, else the one it had, else a free one.
// held tells which MACs must keep theirs.
func (p *pool) assign(mac string, fixed netip.Addr, held func(mac string) bool) (netip.Addr, error) {
	owner := make(map[netip.Addr]string, len(p.leases))
	for m, a := range p.leases {
		owner[a] = m
	}
	if fixed.IsValid() {
		if !p.usable(fixed) {
			return netip.Addr{}, fmt.Errorf("%s is not an address for boards on %s", fixed, p.gateway)
		}
		if m, taken := owner[fixed]; taken && m != mac {
			if held(m) {
				return netip.Addr{}, fmt.Errorf("%s is another board's", fixed)
			}
			delete(p.leases, m)
		}
		p.leases[mac] = fixed
		return fixed, nil
	}
	if a, ok := p.leases[mac]; ok {
		return a, nil
	}
	var idle netip.Addr
	for a := p.first; p.usable(a) || a == p.gateway.Addr(); a = a.Next() {
		m, taken := owner[a]
		switch {
		case a == p.gateway.Addr():
		case !taken:
			p.leases[mac] = a
			return a, nil
		case !idle.IsValid() && !held(m):
			idle = a
		}
	}
	if !idle.IsValid() {
		return netip.Addr{}, errors.New("the pool is empty (try: a wider prefix)")
	}
	delete(p.leases, owner[idle])
	p.leases[mac] = idle
	return idle, nil
}

// usable reports whether a board may have a: on the segment, and neither the
// network's, the broadcast nor the gateway's address.
func (p *pool) usable(a netip.Addr) bool {
	return p.gateway.Contains(a) && a != p.gateway.Masked().Addr() &&
		a != p.gateway.Addr() && p.gateway.Contains(a.Next())
}
