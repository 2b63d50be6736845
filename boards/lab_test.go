package boards

import (
	"errors"
	"strings"
	"testing"
	"time"

	"b2c-runner/jobs/strict"
)

const goodLab = `
version: 1
network: {interface: eth1, address: 10.0.0.1/24, uplink: wlan0}
boards:
  - name: desk-3
    model: rpi3bplus
    mac: b8:27:eb:2f:aa:eb
    console: {tcp: "127.0.0.1:4001", baud: 115200}
    power: {exec: {on: ["true"], off: ["true"]}, off_time: 1s}
    tags: [lan78xx]
`

func TestParseLab(t *testing.T) {
	lab, err := ParseLab("lab.yaml", []byte(goodLab))
	if err != nil {
		t.Fatal(err)
	}
	b, err := lab.Open(&lab.Boards[0], Options{})
	if err != nil {
		t.Fatal(err)
	}
	if b.Name != "desk-3" || b.Model.Arch != "arm64" || b.MAC.String() != "b8:27:eb:2f:aa:eb" || b.Tags[0] != "lan78xx" {
		t.Errorf("%+v", b)
	}
}

func TestLabMistakes(t *testing.T) {
	for _, test := range []struct{ name, old, with, want string }{
		{"version", "version: 1", "version: 2", "lab.yaml:2:10: version: "},
		{"unknown key", "tags:", "tag:", `did you mean "tags"`},
		{"model", "rpi3bplus", "rpi3b+", "rpi3b+"},
		{"mac", "b8:27:eb:2f:aa:eb", "b8:27", "no Ethernet address"},
		{"two drivers", "tcp:", "unix: /run/x, tcp:", "more than one driver"},
		{"no driver", `tcp: "127.0.0.1:4001", `, "", "no driver"},
		{"network address", "10.0.0.1/24", "10.0.0.0/24", "network.address"},
		{"uplink is the interface", "wlan0", "eth1", "network.uplink"},
		{"board name", "desk-3", `"../x"`, "no board name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseLab("lab.yaml", []byte(strings.Replace(goodLab, test.old, test.with, 1)))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

func TestLabRefusesWhatTwoBoardsShare(t *testing.T) {
	_, second, _ := strings.Cut(goodLab, "boards:\n")
	_, err := ParseLab("lab.yaml", []byte(goodLab+second))
	var problems strict.Problems
	if !errors.As(err, &problems) || len(problems) != 4 {
		t.Errorf("want one problem each for name, MAC, console and power port:\n%v", err)
	}
}

func TestCatalogue(t *testing.T) {
	models, err := Models()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range models {
		if m.Baud == 0 || len(m.Cmdline) == 0 {
			t.Errorf("%s: no baud or no cmdline", m.Name)
		}
		if m.QEMU == nil && m.OffTime < time.Second {
			t.Errorf("%s: a real board needs an off_time", m.Name)
		}
	}
	if _, err := FindModel("rpi3"); err == nil || !strings.Contains(err.Error(), "rpi3bplus") {
		t.Errorf("an unknown model does not name the models there are: %v", err)
	}
}
