// Package netboot is a board's whole network: DHCP, TFTP, HTTP, iPXE scripts,
// time and router advertisements, served on any Network.
package netboot

import (
	"context"
	"net"
	"net/netip"
)

// Network is where the servers listen: a real interface or a user-space segment.
type Network interface {
	// Gateway is the runner's own address on the segment, with the prefix length.
	Gateway() netip.Prefix
	// ListenPacket opens UDP port on the gateway's address.
	ListenPacket(port uint16) (net.PacketConn, error)
	// ListenBroadcast opens UDP port on all addresses of the segment,
	// broadcasts included both ways.
	ListenBroadcast(port uint16) (net.PacketConn, error)
	// Listen opens TCP port on the gateway's address.
	Listen(port uint16) (net.Listener, error)
	// ServeRouterAdvertisements answers each router solicitation (RFC 4861,
	// section 6.2) with an advertisement of lifetime 0, no prefix and no flags,
	// until ctx ends.
	ServeRouterAdvertisements(ctx context.Context) error
}
