package netboot

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Offer is what one board gets for as long as it stands: an address, and the
// files to boot.
type Offer struct {
	Name string           // host name given by DHCP; empty: none
	MAC  net.HardwareAddr // who gets it
	Addr netip.Addr       // zero: one from the pool, the same one each time
	Boot Boot
}

// Boot is what a board boots.
type Boot struct {
	Kernel File
	// Initramfs is served as one file: its parts in order, each padded with
	// zeros to 4 bytes, as the kernel wants it (initramfs buffer format).
	Initramfs []File
	DTB       *File // nil: the board's own
	// Cmdline is the kernel command line; "initrd=b2c" is put before it.
	Cmdline string
}

// File is something to serve: a file on disk, or Data if Path is empty.
type File struct {
	Path string
	Data []byte
}

// check says what is wrong with an offer before it stands.
func (o Offer) check() error {
	if len(o.MAC) != 6 {
		return fmt.Errorf("failed to offer a boot to %q: not an Ethernet address of 6 bytes", o.MAC)
	}
	if !isHostName(o.Name) {
		return fmt.Errorf("failed to offer a boot to %s: %q is no host name (try: letters, digits and hyphens, at most 63)", o.MAC, o.Name)
	}
	for _, r := range routes {
		b, err := r.open(o.Boot, "")
		if err != nil {
			return fmt.Errorf("failed to offer %q to %s: %w", r.name, o.MAC, err)
		}
		if b != nil {
			b.Close()
		}
	}
	return nil
}

// isHostName reports whether s is empty or one label of RFC 1123, section 2.1.
func isHostName(s string) bool {
	if len(s) > 63 || strings.HasPrefix(s, "-") || strings.HasSuffix(s, "-") {
		return false
	}
	for _, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		if !letter && !digit && c != '-' {
			return false
		}
	}
	return true
}

// Names are the files of a boot as boards ask for them, without the script.
func (b Boot) Names() []string {
	names := []string{"kernel"}
	if len(b.Initramfs) > 0 {
		names = append(names, "initramfs")
	}
	if b.DTB != nil {
		names = append(names, "dtb")
	}
	return names
}
