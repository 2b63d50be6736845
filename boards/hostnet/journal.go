package hostnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// journal is what has been changed on an interface and is to be undone. It is on
// disk before each change is made, so that a kill at any moment loses none.
type journal struct {
	dir  *os.Root
	name string
	record
}

// record is the journal as it is on disk. What was changed is gone with the
// kernel's run or the network namespace it was made in.
type record struct {
	Boot    string   `json:"boot"`
	Netns   uint64   `json:"netns"`
	Changes []change `json:"changes"`
}

const maxJournal = 64 << 10 // bytes

// openJournal reads what an earlier process has left to be undone, if anything.
func openJournal(dir, iface string) (*journal, error) {
	now, err := presentRecord()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("failed to make the undo journal's directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("failed to open the undo journal's directory: %w", err)
	}
	j := &journal{dir: root, name: "hostnet-" + iface + ".json", record: now}
	old, err := j.read()
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("failed to read undo journal %q in %q: %w (try: ip addr, nft list ruleset, then remove it)", j.name, dir, err)
	}
	if old.Boot == now.Boot && old.Netns == now.Netns {
		j.Changes = old.Changes
	}
	return j, nil
}

// presentRecord is an empty record of this boot and this network namespace.
func presentRecord() (record, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return record{}, fmt.Errorf("failed to read the boot's identity: %w", err)
	}
	info, err := os.Stat("/proc/thread-self/ns/net")
	if err != nil {
		return record{}, fmt.Errorf("failed to identify the network namespace: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return record{}, errors.New("failed to identify the network namespace: it has no inode")
	}
	return record{Boot: strings.TrimSpace(string(boot)), Netns: stat.Ino}, nil
}

func (j *journal) read() (record, error) {
	var r record
	f, err := j.dir.Open(j.name)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	defer f.Close()
	d := json.NewDecoder(io.LimitReader(f, maxJournal))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, err
	}
	for _, c := range r.Changes {
		if err := c.check(); err != nil {
			return r, err
		}
	}
	return r, nil
}

// do notes a change, then makes it. One that fails stays noted: it may have been
// made in part.
func (j *journal) do(c change, make func() error) error {
	j.Changes = append(j.Changes, c)
	if err := j.write(); err != nil {
		j.Changes = j.Changes[:len(j.Changes)-1]
		return err
	}
	return make()
}

// undoAll undoes every change, last one first, and keeps those that cannot be.
func (j *journal) undoAll() error {
	if len(j.Changes) == 0 {
		return j.remove()
	}
	var left []change
	var errs []error
	for _, c := range slices.Backward(j.Changes) {
		if err := c.undo(); err != nil {
			left = append(left, c)
			errs = append(errs, err)
		}
	}
	slices.Reverse(left)
	j.Changes = left
	if len(left) > 0 {
		return errors.Join(append(errs, j.write())...)
	}
	return j.remove()
}

// write replaces the file in one step.
func (j *journal) write() error {
	data, err := json.MarshalIndent(j.record, "", "  ")
	if err != nil {
		return fmt.Errorf("failed to write the undo journal: %w", err)
	}
	draft := j.name + ".new"
	err = j.dir.WriteFile(draft, append(data, '\n'), 0o600)
	if err == nil {
		err = j.dir.Rename(draft, j.name)
	}
	if err != nil {
		return fmt.Errorf("failed to write the undo journal: %w", err)
	}
	return nil
}

func (j *journal) remove() error {
	if err := j.dir.Remove(j.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("failed to remove the undo journal: %w", err)
	}
	return nil
}

func (j *journal) close() error { return j.dir.Close() }
