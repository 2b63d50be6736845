package boards

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"

	"b2c-runner/console"
	"b2c-runner/jobs/strict"
	"b2c-runner/power"
)

// Lab is a lab file, version 1: the boards on this host.
type Lab struct {
	// Version of the lab file: 1.
	Version int `yaml:"version" strict:"required"`
	// Network is the interface that the boards hang on.
	Network Network `yaml:"network"`
	// Models adds models to the catalogue, or replaces one of the same name.
	Models []*Model `yaml:"models"`
	// Boards that stand on the bench.
	Boards []Entry `yaml:"boards" strict:"required"`
}

// Network is a real interface whose boards this host serves.
type Network struct {
	// Interface that leads to the boards.
	Interface string `yaml:"interface"`
	// Address of this host on it, with the prefix length: 10.0.0.1/24.
	Address string `yaml:"address"`
	// Uplink is the interface that leads outside; without it boards are isolated.
	Uplink string `yaml:"uplink"`
}

// Prefix is Address, parsed; LoadLab has checked it.
func (n Network) Prefix() netip.Prefix {
	p, err := netip.ParsePrefix(n.Address)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// Entry is a board of the lab file.
type Entry struct {
	// Name of the board, which jobs and --board say.
	Name string `yaml:"name" strict:"required"`
	// Model of the catalogue, or of the lab file's own models.
	Model string `yaml:"model" strict:"required"`
	// MAC is the Ethernet address that the board boots with.
	MAC string `yaml:"mac" strict:"required"`
	// Console is the board's serial port.
	Console console.Spec `yaml:"console" strict:"required"`
	// Power is what feeds the board.
	Power power.Spec `yaml:"power" strict:"required"`
	// Tags that jobs can ask for.
	Tags []string `yaml:"tags" strict:"single"`
}

// LoadLab reads the lab file at path. The error is strict.Problems if the file
// could be read: one for each mistake in it.
func LoadLab(path string) (*Lab, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("failed to open the lab file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, strict.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("failed to read the lab file: %w", err)
	}
	return ParseLab(path, data)
}

// ParseLab reads a lab file from data; messages name file.
func ParseLab(file string, data []byte) (*Lab, error) {
	lab := &Lab{}
	doc, _ := strict.Decode(file, data, lab) // doc.Err repeats the error
	lab.validate(doc)
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return lab, nil
}

// IsLab reports whether data looks like a lab file rather than a job.
func IsLab(data []byte) bool { return labKey.Match(data) }

var (
	labKey    = regexp.MustCompile(`(?m)^boards:`)
	boardName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
)

func (l *Lab) validate(doc *strict.Doc) {
	if l.Version != 1 && !doc.Wrong("version") {
		doc.Errorf("version", "lab file version %d is not known, want 1", l.Version)
	}
	l.Network.validate(doc)
	unique := map[string]string{} // what only one board can have → where it stands
	once := func(path, what, value string) {
		if value == "" {
			return
		}
		if first, ok := unique[what+value]; ok {
			doc.Errorf(path, "%s %q is that of %s already", what, value, first)
			return
		}
		unique[what+value] = path
	}
	for i := range l.Boards {
		b, at := &l.Boards[i], strict.Index("boards", i)
		if !boardName.MatchString(b.Name) && b.Name != "" {
			doc.Errorf(strict.Key(at, "name"), "%q is no board name: letters, digits and ._- only", b.Name)
		}
		once(strict.Key(at, "name"), "board", b.Name)
		if b.Model != "" {
			if _, err := l.Model(b.Model); err != nil {
				doc.Errorf(strict.Key(at, "model"), "%v", err)
			}
		}
		if mac, err := net.ParseMAC(b.MAC); err == nil && len(mac) == 6 {
			once(strict.Key(at, "mac"), "MAC", mac.String())
		} else if b.MAC != "" {
			doc.Errorf(strict.Key(at, "mac"), "%q is no Ethernet address such as b8:27:eb:2f:aa:eb", b.MAC)
		}
		each(b.Console.Check(), func(err error) { doc.Errorf(strict.Key(at, "console"), "%v", err) })
		each(b.Power.Check(), func(err error) { doc.Errorf(strict.Key(at, "power"), "%v", err) })
		once(strict.Key(at, "console"), "console", b.Console.Device())
		once(strict.Key(at, "power"), "power port", b.Power.Device())
	}
}

func (n Network) validate(doc *strict.Doc) {
	if n == (Network{}) {
		return
	}
	if n.Interface == "" {
		doc.Errorf("network", "names no interface")
	}
	if p := n.Prefix(); !p.IsValid() || !p.Addr().Is4() || p.Addr() == p.Masked().Addr() {
		doc.Errorf("network.address", "want this host's own IPv4 address on the interface, with its prefix length, such as 10.0.0.1/24")
	}
	if n.Uplink != "" && n.Uplink == n.Interface {
		doc.Errorf("network.uplink", "is the boards' own interface: leave it out to isolate them")
	}
}

// each calls f for every error that err joins.
func each(err error, f func(error)) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			f(e)
		}
	} else if err != nil {
		f(err)
	}
}

// Model returns one of the lab's own models, or of the catalogue.
func (l *Lab) Model(name string) (*Model, error) {
	for _, m := range l.Models {
		if m.Name == name {
			return m, nil
		}
	}
	return FindModel(name)
}
