// Package boards is what stands on the bench: the catalogue of models, and the
// boards of this lab.
package boards

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"b2c-runner/jobs/strict"
)

// Model is a kind of board: what its firmware, console and kernel need. The
// catalogue is boards/*.yaml.
type Model struct {
	// Name as jobs and the lab file say it.
	Name string `yaml:"name" strict:"required"`
	// Title for people.
	Title string `yaml:"title" strict:"required"`
	// Arch is the CPU's architecture as Go names it: amd64, arm64.
	Arch string `yaml:"arch" strict:"required"`
	// Cmdline is put in front of the job's kernel command line: the console.
	Cmdline []string `yaml:"cmdline" strict:"single"`
	// Baud is the rate of the serial console in bit/s.
	Baud int `yaml:"baud"`
	// CharDelay is the pause between characters typed at the console, for boards
	// that lose them otherwise.
	CharDelay time.Duration `yaml:"char_delay"`
	// OffTime is how long the board must stay off to be sure to start afresh.
	OffTime time.Duration `yaml:"off_time"`
	// QEMU makes this a virtual board.
	QEMU *QEMU `yaml:"qemu"`
	// Notes are the model's known traps, with their source.
	Notes []string `yaml:"notes" strict:"single"`
}

// QEMU is the machine of a virtual board.
type QEMU struct {
	// System is the emulator, qemu-system-SYSTEM.
	System string `yaml:"system" strict:"required"`
	// Machine, CPU and Memory (MiB) are QEMU's -machine, -cpu and -m.
	Machine string `yaml:"machine" strict:"required"`
	CPU     string `yaml:"cpu"`
	Memory  int    `yaml:"memory" strict:"required"`
	// NIC is the device that is plugged into the board's network.
	NIC string `yaml:"nic" strict:"required"`
	// Args are further arguments.
	Args []string `yaml:"args" strict:"single"`
	// Packages are Debian's packages that hold the emulator and its firmware.
	Packages []string `yaml:"packages" strict:"single"`
}

// Platform is how container registries name the model's architecture.
func (m *Model) Platform() string { return "linux/" + m.Arch }

//go:embed *.yaml
var catalogue embed.FS

// Models returns the catalogue, sorted by name.
func Models() ([]*Model, error) {
	files, err := fs.Glob(catalogue, "*.yaml")
	if err != nil {
		return nil, err
	}
	models := make([]*Model, len(files))
	for i, file := range files {
		data, err := catalogue.ReadFile(file)
		if err != nil {
			return nil, err
		}
		models[i] = &Model{}
		if _, err := strict.Decode("boards/"+file, data, models[i]); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(models, func(a, b *Model) int { return strings.Compare(a.Name, b.Name) })
	return models, nil
}

// FindModel returns a model of the catalogue; the error lists the models there are.
func FindModel(name string) (*Model, error) {
	models, err := Models()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(models))
	for i, m := range models {
		if m.Name == name {
			return m, nil
		}
		names[i] = m.Name
	}
	return nil, fmt.Errorf("failed to find board model %q (there are: %s)", name, strings.Join(names, ", "))
}
