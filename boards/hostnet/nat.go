package hostnet

import (
	"fmt"
	"net"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// tableName is this interface's table of family inet: with nft, "inet b2c-runner-eth1".
func tableName(link string) string { return "b2c-runner-" + link }

// addTable makes the table with every rule in one transaction. It replaces one of
// the same name: the interface is locked, so that one is a left-over.
func (h *Hostnet) addTable() error {
	c := change{What: tableAdded, Link: h.cfg.Interface}
	if err := h.journal.do(c, h.writeTable); err != nil {
		return fmt.Errorf("failed to add nftables table %q: %w (try: modprobe nf_tables, on a kernel with CONFIG_NF_TABLES_INET)",
			tableName(h.cfg.Interface), advised(err))
	}
	if h.cfg.Uplink != "" {
		h.warnOfFirewall()
	}
	return nil
}

// writeTable says: boards may call out by the uplink, as this host; nothing else is
// forwarded from or to them, whatever the host forwards for others.
//
//	table inet b2c-runner-eth1 {
//		chain forward {
//			type filter hook forward priority filter; policy accept;
//			iifname "eth1" oifname "wlan0" ip saddr 10.0.0.0/24 accept
//			iifname "wlan0" oifname "eth1" ct state established,related accept
//			iifname "eth1" drop
//			oifname "eth1" drop
//		}
//		chain postrouting {
//			type nat hook postrouting priority srcnat; policy accept;
//			oifname "wlan0" ip saddr 10.0.0.0/24 masquerade
//		}
//	}
func (h *Hostnet) writeTable() error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := replaceTable(conn, h.cfg.Interface)
	forward := conn.AddChain(&nftables.Chain{
		Name: "forward", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	})
	rule := func(chain *nftables.Chain, verdict expr.Any, matches ...[]expr.Any) {
		r := &nftables.Rule{Table: table, Chain: chain}
		for _, m := range matches {
			r.Exprs = append(r.Exprs, m...)
		}
		r.Exprs = append(r.Exprs, verdict)
		conn.AddRule(r)
	}
	accept, drop := &expr.Verdict{Kind: expr.VerdictAccept}, &expr.Verdict{Kind: expr.VerdictDrop}
	in := func(link string) []expr.Any { return onLink(expr.MetaKeyIIFNAME, link) }
	out := func(link string) []expr.Any { return onLink(expr.MetaKeyOIFNAME, link) }
	if uplink := h.cfg.Uplink; uplink != "" {
		rule(forward, accept, in(h.cfg.Interface), out(uplink), h.fromBoards())
		rule(forward, accept, in(uplink), out(h.cfg.Interface), ofKnownFlow())
		postrouting := conn.AddChain(&nftables.Chain{
			Name: "postrouting", Table: table, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
		})
		rule(postrouting, &expr.Masq{}, out(uplink), h.fromBoards())
	}
	rule(forward, drop, in(h.cfg.Interface))
	rule(forward, drop, out(h.cfg.Interface))
	return conn.Flush()
}

func deleteTable(link string) error {
	conn, err := nftables.New()
	if err == nil {
		conn.DelTable(replaceTable(conn, link))
		err = conn.Flush()
	}
	if err != nil {
		return fmt.Errorf("failed to remove nftables table %q: %w", tableName(link), advised(err))
	}
	return nil
}

// replaceTable makes an empty table, whether there is one or not.
func replaceTable(conn *nftables.Conn, link string) *nftables.Table {
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName(link)}
	conn.AddTable(table)
	conn.DelTable(table)
	return conn.AddTable(table)
}

func onLink(key expr.MetaKey, link string) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, link)
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
	}
}

// fromBoards matches IPv4 packets with a source in the segment.
func (h *Hostnet) fromBoards() []expr.Any {
	const sourceOffset = 12 // of the IPv4 header (RFC 791, section 3.1)
	prefix := h.cfg.Address.Masked()
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.NFPROTO_IPV4}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: sourceOffset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: net.CIDRMask(prefix.Bits(), 32), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: prefix.Addr().AsSlice()},
	}
}

// ofKnownFlow matches packets that answer to what a board has begun.
func ofKnownFlow() []expr.Any {
	states := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: states, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// warnOfFirewall tells of chains of others that drop what they do not know: an
// accept in our table does not stand against their drop.
func (h *Hostnet) warnOfFirewall() {
	conn, err := nftables.New()
	if err != nil {
		return
	}
	chains, err := conn.ListChains()
	if err != nil {
		h.log.Debug("failed to list the firewall's chains", "error", err)
		return
	}
	var dropping []string
	for _, c := range chains {
		if c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookForward && c.Type == nftables.ChainTypeFilter &&
			c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
			dropping = append(dropping, c.Table.Name+" "+c.Name)
		}
	}
	if len(dropping) > 0 {
		h.log.Warn("this host's firewall drops forwarded packets by default: boards may not get out",
			"chains", strings.Join(dropping, ", "),
			"try", fmt.Sprintf("iptables -I FORWARD -i %s -o %s -j ACCEPT, and the way back", h.cfg.Interface, h.cfg.Uplink))
	}
}
