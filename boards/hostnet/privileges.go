package hostnet

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

var capabilities = []struct {
	name string
	bit  uint
}{
	{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN},               // address, link, NAT, forwarding
	{"CAP_NET_RAW", unix.CAP_NET_RAW},                   // looking for DHCP servers, router advertisements
	{"CAP_NET_BIND_SERVICE", unix.CAP_NET_BIND_SERVICE}, // ports 67, 69, 80, 123
}

const capabilityAdvice = "(try: sudo setcap cap_net_admin,cap_net_raw,cap_net_bind_service+ep $(command -v b2c-runner), " +
	"or AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE in its systemd unit)"

// checkPrivileges names the capabilities that this thread lacks.
func checkPrivileges() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("failed to read the process's capabilities: %w", err)
	}
	var missing []string
	for _, c := range capabilities {
		if sets[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("needs %s %s", strings.Join(missing, " and "), capabilityAdvice)
	}
	return nil
}

// advised adds how to get the capabilities to an error that comes of not having
// them here: those of a user namespace do not count in another's network.
func advised(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w %s", err, capabilityAdvice)
	}
	return err
}
