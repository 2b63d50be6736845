package console

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// busy says that process pid has node; 0 is one that could not be found.
func busy(node string, pid int) error {
	switch pid {
	case 0:
		return fmt.Errorf("%q is in use by another program (try: sudo fuser -v %s)", node, node)
	case os.Getpid():
		return fmt.Errorf("%q is already open in this process (try: see whether two boards share one console)", node)
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return fmt.Errorf("%q is in use by process %d (try: end it)", node, pid)
	}
	return fmt.Errorf("%q is in use by %s, process %d (try: end it)", node, strings.TrimSpace(string(name)), pid)
}

// lockHolder finds the flock of node in /proc/locks (proc_locks(5)), 0 if none.
func lockHolder(node string) int {
	var stat unix.Stat_t
	if err := unix.Stat(node, &stat); err != nil {
		return 0
	}
	inode := fmt.Sprintf("%02x:%02x:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev), stat.Ino)
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer locks.Close()
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 6 && fields[1] == "FLOCK" && fields[5] == inode {
			pid, err := strconv.Atoi(fields[4])
			if err != nil || pid < 0 { // a holder in another PID namespace reads as -1 or 0
				return 0
			}
			return pid
		}
	}
	return 0
}

// openHolder finds another process that has node open, among those that the
// user may look into; 0 if none.
func openHolder(node string) int {
	real, err := filepath.EvalSymlinks(node)
	if err != nil {
		return 0
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/[0-9]*")
	if err != nil {
		return 0
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != real {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(link, "/")[2])
		if err == nil && pid != os.Getpid() {
			return pid
		}
	}
	return 0
}
