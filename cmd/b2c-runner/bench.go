package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"b2c-runner/boards"
	"b2c-runner/boards/hostnet"
	"b2c-runner/boards/netboot"
	"b2c-runner/boards/virtual"
	"b2c-runner/jobs"
	"b2c-runner/power"
)

// bench is an opened board on its network.
type bench struct {
	board   *boards.Board
	network netboot.Network
	uplink  bool
	close   func() error
}

// benchFlags choose a board and how to wait for it.
type benchFlags struct {
	wait   bool
	uplink bool
	what   string // told to those who find the board in use
}

// openBoard opens a board that fits. The caller holds it until close.
func (c *cli) openBoard(ctx context.Context, want jobs.Selector, f benchFlags) (*bench, error) {
	lab, all, err := c.boardsHere()
	if err != nil {
		return nil, err
	}
	fitting := slices.DeleteFunc(slices.Clone(all), func(k candidate) bool { return !fits(k, want) })
	if len(fitting) == 0 {
		return nil, noBoard(want, all)
	}
	if fitting[0].entry == nil {
		return c.openVirtual(fitting[0].model, f)
	}
	return c.openReal(ctx, lab, fitting, f)
}

func fits(k candidate, want jobs.Selector) bool {
	missing := func(tag string) bool { return !slices.Contains(k.tags(), tag) }
	return (want.Name == "" || want.Name == k.name()) && (want.Model == "" || want.Model == k.model.Name) &&
		!slices.ContainsFunc(want.Tags, missing)
}

// openReal takes the first board that is free, and its network.
func (c *cli) openReal(ctx context.Context, lab *boards.Lab, fitting []candidate, f benchFlags) (*bench, error) {
	if lab.Network.Interface == "" {
		return nil, errors.New("the lab file has no network (try: network: {interface: eth1, address: 10.0.0.1/24})")
	}
	entry, release, err := lockFirst(ctx, fitting, f)
	if err != nil {
		return nil, err
	}
	board, err := lab.Open(entry, boards.Options{StateDir: filepath.Join(stateDir(), "power"), Ask: c.ask, Logger: c.logger()})
	if err != nil {
		release()
		return nil, err
	}
	network, err := hostnet.Open(ctx, hostnet.Config{
		Interface: lab.Network.Interface, Address: lab.Network.Prefix(), Uplink: lab.Network.Uplink,
		StateDir: filepath.Join(stateDir(), "network"), Logger: c.logger(),
	})
	if err != nil {
		release()
		return nil, errors.Join(err, closeSupply(board.Supply))
	}
	return &bench{board: board, network: network, uplink: lab.Network.Uplink != "", close: func() error {
		defer release()
		return errors.Join(network.Close(), closeSupply(board.Supply))
	}}, nil
}

// closeSupply lets go of what a supply holds, such as a GPIO line.
func closeSupply(supply power.Supply) error {
	if c, ok := supply.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// lockFirst locks the first free board; with --wait, it waits for the first one.
func lockFirst(ctx context.Context, fitting []candidate, f benchFlags) (*boards.Entry, func(), error) {
	me := boards.Holder{PID: os.Getpid(), What: f.what, Since: time.Now()}
	if u, err := user.Current(); err == nil {
		me.User = u.Username
	}
	var errs []error
	for _, k := range fitting {
		if k.entry == nil {
			continue
		}
		release, err := boards.Lock(ctx, locksDir(), k.entry.Name, me, false)
		if err == nil {
			return k.entry, release, nil
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); !f.wait || !errors.Is(err, boards.ErrHeld) {
		return nil, nil, err
	}
	release, err := boards.Lock(ctx, locksDir(), fitting[0].entry.Name, me, true)
	return fitting[0].entry, release, err
}

func locksDir() string { return filepath.Join(stateDir(), "locks") }

// ask is how a person at the bench is asked to switch a board.
func (c *cli) ask(ctx context.Context, question string) error {
	fmt.Fprintf(c.err, "%s, then press Enter: ", question)
	answered := make(chan error, 1)
	go func() {
		_, err := bufio.NewReader(c.in).ReadString('\n')
		answered <- err
	}()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// openVirtual makes a board of its own for this run.
func (c *cli) openVirtual(model *boards.Model, f benchFlags) (*bench, error) {
	segment, err := virtual.NewUsernet(virtual.UsernetConfig{Uplink: f.uplink, Logger: c.logger()})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- segment.Run(ctx) }()
	return &bench{board: virtual.New(model, segment), network: segment, uplink: f.uplink, close: func() error {
		defer segment.Close()
		cancel()
		return <-ended
	}}, nil
}

// noBoard says what is missing, what there is, and how to get what is missing.
func noBoard(want jobs.Selector, have []candidate) error {
	var asked []string
	if want.Name != "" {
		asked = append(asked, fmt.Sprintf("named %q", want.Name))
	}
	if want.Model != "" {
		asked = append(asked, fmt.Sprintf("of model %q", want.Model))
	}
	if len(want.Tags) > 0 {
		asked = append(asked, "with tags "+strings.Join(want.Tags, ", "))
	}
	var names []string
	for _, k := range have {
		names = append(names, k.name())
	}
	model := want.Model
	if model == "" {
		model = "rpi3bplus"
	}
	return fmt.Errorf(`this host has no board %s
boards here: %s
add yours to lab.yaml (or --lab FILE), such as:

version: 1
network: {interface: eth1, address: 10.0.0.1/24, uplink: wlan0}
boards:
  - name: desk-1
    model: %s
    mac: b8:27:eb:12:34:56
    console: {serial: /dev/serial/by-id/usb-FTDI_...}
    power: {usbhub: {hub: 1-1, port: 2}}`, strings.Join(asked, " "), strings.Join(names, ", "), model)
}

func (c *cli) completeBoards(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	_, all, err := c.boardsHere()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, k := range all {
		names = append(names, k.name()+"\t"+k.model.Title)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func completeYAML(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}
