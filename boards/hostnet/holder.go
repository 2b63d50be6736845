package hostnet

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxCommand bounds what is shown of another process's command.
const maxCommand = 120

// procFile reads the beginning of a file of a process, or "" without one.
func procFile(pid int, name string) string {
	f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), name))
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCommand))
	if err != nil {
		return ""
	}
	return string(b)
}

// portHolders describes the processes with a socket of proto ("udp" or "tcp") on
// port, on any address: "dnsmasq (pid 12)". Another user's are seen by root only.
func portHolders(proto string, port uint16) string {
	var inodes []string
	for _, table := range []string{proto, proto + "6"} {
		inodes = append(inodes, socketInodes(table, port)...)
	}
	var found []string
	for _, pid := range processes() {
		if hasSocket(pid, inodes) {
			found = append(found, fmt.Sprintf("%s (pid %d)", strings.TrimSpace(procFile(pid, "comm")), pid))
		}
	}
	if len(found) == 0 {
		return fmt.Sprintf("another process (try: sudo ss -anp 'sport = :%d')", port)
	}
	return strings.Join(found, ", ")
}

// socketInodes lists the sockets that wait for a peer on a local port, from the
// tables of proc_net_udp and proc_net_tcp (proc(5)).
func socketInodes(table string, port uint16) []string {
	f, err := os.Open("/proc/thread-self/net/" + table)
	if err != nil {
		return nil
	}
	defer f.Close()
	const local, remote, inode = 1, 2, 9
	var inodes []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > inode &&
			strings.HasSuffix(fields[local], fmt.Sprintf(":%04X", port)) &&
			strings.HasSuffix(fields[remote], ":0000") {
			inodes = append(inodes, fields[inode])
		}
	}
	return inodes
}

func processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

func hasSocket(pid int, inodes []string) bool {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		inode, ok := strings.CutPrefix(target, "socket:[")
		if ok && slices.Contains(inodes, strings.TrimSuffix(inode, "]")) {
			return true
		}
	}
	return false
}
