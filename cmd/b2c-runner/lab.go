package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"b2c-runner/boards"
)

// lab reads the lab file: --lab, $B2C_RUNNER_LAB, or the first of the usual
// places that has one. A host without any has virtual boards only.
func (c *cli) lab() (*boards.Lab, error) {
	path := c.labPath
	if path == "" {
		path = os.Getenv("B2C_RUNNER_LAB")
	}
	if path != "" {
		return boards.LoadLab(path)
	}
	for _, path := range labPlaces() {
		lab, err := boards.LoadLab(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return lab, err
		}
	}
	return &boards.Lab{}, nil
}

func labPlaces() []string {
	places := []string{"lab.yaml"}
	if dir, err := os.UserConfigDir(); err == nil {
		places = append(places, filepath.Join(dir, "b2c-runner", "lab.yaml"))
	}
	return append(places, "/etc/b2c-runner/lab.yaml")
}

// stateDir keeps locks, leases and switch-off times between processes.
func stateDir() string {
	if dir := os.Getenv("B2C_RUNNER_STATE"); dir != "" {
		return dir
	}
	if os.Getuid() == 0 {
		return "/var/lib/b2c-runner"
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "b2c-runner")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "b2c-runner")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("b2c-runner-state-%d", os.Getuid()))
}

// candidate is a board that this host has: of the lab file, or virtual.
type candidate struct {
	entry *boards.Entry // nil: virtual
	model *boards.Model
}

func (k candidate) name() string {
	if k.entry != nil {
		return k.entry.Name
	}
	return k.model.Name
}

func (k candidate) tags() []string {
	if k.entry != nil {
		return k.entry.Tags
	}
	return nil
}

// boardsHere reads the lab file, and lists its boards, then the virtual ones that
// exist on every host.
func (c *cli) boardsHere() (*boards.Lab, []candidate, error) {
	lab, err := c.lab()
	if err != nil {
		return nil, nil, err
	}
	var all []candidate
	for i := range lab.Boards {
		model, err := lab.Model(lab.Boards[i].Model)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, candidate{&lab.Boards[i], model})
	}
	models, err := boards.Models()
	for _, m := range models {
		if m.QEMU != nil {
			all = append(all, candidate{nil, m})
		}
	}
	return lab, all, err
}
