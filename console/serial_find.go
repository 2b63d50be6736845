package console

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxLinks bounds the links followed from a by-id name to its device node.
const maxLinks = 8

// serialBus is where serial devices are looked up: /sys and /dev.
type serialBus struct {
	sys  fs.FS
	root string // holds the device nodes
}

func hostBus() serialBus { return serialBus{os.DirFS("/sys"), "/dev"} }

func (b serialBus) adapters() ([]Adapter, error) {
	adapters, err := Adapters(b.sys, os.DirFS(b.root))
	for i := range adapters {
		adapters[i].Path = filepath.Join(b.root, adapters[i].Name)
	}
	return adapters, err
}

// find gives the device node that spec names, and what is there when it is on
// USB. Once an adapter is known, only the same one will do, under any name.
func (b serialBus) find(spec Spec, known *Adapter) (string, *Adapter, error) {
	if spec.USB == "" && known == nil {
		return b.findPath(spec.Serial)
	}
	adapters, err := b.adapters()
	if err != nil {
		return "", nil, err
	}
	var found []Adapter
	for _, a := range adapters {
		if known != nil && known.same(a) || known == nil && a.matches(spec.USB) {
			found = append(found, a)
		}
	}
	switch len(found) {
	case 0:
		return "", nil, fmt.Errorf("no such adapter (%s)", advise(adapters))
	case 1:
		return found[0].Path, &found[0], nil
	}
	return "", nil, fmt.Errorf("%d adapters match (try: add its serial number and interface; %s)", len(found), advise(found))
}

// findPath follows the links of name until it is the node of an adapter.
func (b serialBus) findPath(name string) (string, *Adapter, error) {
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		adapters, _ := b.adapters()
		return "", nil, fmt.Errorf("no such device (%s)", advise(adapters))
	}
	adapters, err := b.adapters()
	if err != nil {
		return name, nil, nil
	}
	node := name
	for range maxLinks {
		i := slices.IndexFunc(adapters, func(a Adapter) bool { return a.Path == node && a.VID != "" })
		if i >= 0 {
			return node, &adapters[i], nil
		}
		target, err := os.Readlink(node)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(node), target)
		}
		node = target
	}
	return name, nil, nil
}

func advise(adapters []Adapter) string {
	if len(adapters) == 0 {
		return "there is no serial adapter; try: plug it in, or in a container pass /dev and /sys"
	}
	names := make([]string, len(adapters))
	for i, a := range adapters {
		names[i] = a.String()
	}
	return "there are: " + strings.Join(names, ", ")
}

func serialDevice(spec Spec) string {
	node, _, err := hostBus().find(spec, nil)
	if err != nil {
		if spec.USB != "" {
			return "usb:" + strings.ToLower(spec.USB)
		}
		node = spec.Serial
	}
	if real, err := filepath.EvalSymlinks(node); err == nil {
		return real
	}
	return filepath.Clean(node)
}
