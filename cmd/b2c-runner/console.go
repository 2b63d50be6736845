package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"b2c-runner/boards"
	"b2c-runner/console"
	"b2c-runner/jobs"
	"b2c-runner/runner"
)

func (c *cli) consoleCommand() *cobra.Command {
	var readOnly bool
	cmd := &cobra.Command{
		Use:   "console BOARD",
		Short: "Attach to a board's console by hand",
		Long: `Console joins this terminal to a board's serial console: what you type goes to
the board, Ctrl-] leaves. The board's power is not touched.

While a run uses the board, you join its console and the run goes on recording;
the past lines come first. Otherwise the board is locked until you leave.`,
		Example: `  b2c-runner console desk-3
  b2c-runner console --read-only qemu-x86_64`,
		Args:              cobra.ExactArgs(1),
		RunE:              func(cmd *cobra.Command, args []string) error { return c.console(cmd.Context(), args[0], readOnly) },
		ValidArgsFunction: c.completeBoards,
	}
	cmd.Flags().BoolVarP(&readOnly, "read-only", "r", false, "only watch: keys other than Ctrl-] do nothing")
	return cmd
}

func (c *cli) console(ctx context.Context, name string, readOnly bool) error {
	port, err := c.joinConsole(name, readOnly)
	if errors.Is(err, errNoRun) {
		port, err = c.openConsole(ctx, name)
	}
	if err != nil {
		return err
	}
	defer port.Close()
	fmt.Fprintf(c.err, "connected to %s, Ctrl-] leaves\r\n", name)
	err = c.terminal(ctx, port, readOnly)
	fmt.Fprintf(c.err, "\r\nleft %s\r\n", name)
	return err
}

var errNoRun = errors.New("no run uses the board")

// consoleSocket is where a run of this process offers its console.
func consoleSocket(board string) string {
	return filepath.Join(consolesDir(), fmt.Sprintf("%s.%d.sock", board, os.Getpid()))
}

func consolesDir() string { return filepath.Join(stateDir(), "consoles") }

// joinConsole attaches to the run that uses the board.
func (c *cli) joinConsole(name string, readOnly bool) (io.ReadWriteCloser, error) {
	found, err := filepath.Glob(filepath.Join(consolesDir(), name+".*.sock"))
	if err != nil {
		return nil, fmt.Errorf("%q is no board name: %w", name, err)
	}
	var open []net.Conn
	for _, path := range found {
		conn, err := net.Dial("unix", path)
		if err != nil {
			_ = os.Remove(path) // its run was killed
			continue
		}
		open = append(open, conn)
	}
	if len(open) == 0 {
		return nil, errNoRun
	}
	for _, conn := range open[1:] {
		conn.Close()
	}
	if len(open) > 1 {
		fmt.Fprintf(c.err, "%d runs use %s: this is the first\r\n", len(open), name)
	}
	mode := byte(runner.AttachTyping)
	if readOnly {
		mode = runner.AttachReadOnly
	}
	_, err = open[0].Write([]byte{mode})
	return open[0], err
}

// openConsole opens the console of a board that nobody uses.
func (c *cli) openConsole(ctx context.Context, name string) (io.ReadWriteCloser, error) {
	lab, all, err := c.boardsHere()
	if err != nil {
		return nil, err
	}
	for _, k := range all {
		switch {
		case k.name() != name:
		case k.entry == nil:
			return nil, fmt.Errorf("no run uses the virtual board %q, so it does not exist now (try: b2c-runner run JOB --board %s)", name, name)
		default:
			return c.lockedConsole(ctx, lab, k)
		}
	}
	return nil, noBoard(jobs.Selector{Name: name}, all)
}

// lockedConsole is a board's port that holds the board's lock.
func (c *cli) lockedConsole(ctx context.Context, lab *boards.Lab, k candidate) (io.ReadWriteCloser, error) {
	_, release, err := lockFirst(ctx, []candidate{k}, benchFlags{what: "console " + k.name()})
	if err != nil {
		return nil, err
	}
	board, err := lab.Open(k.entry, boards.Options{Ask: c.ask, Logger: c.logger()})
	if err != nil {
		release()
		return nil, err
	}
	port, err := board.Console(ctx)
	if err != nil {
		release()
		return nil, err
	}
	return &heldPort{port, release}, nil
}

type heldPort struct {
	console.Port
	release func()
}

// Read hides the gaps of an adapter that was unplugged.
func (p *heldPort) Read(b []byte) (int, error) {
	n, err := p.Port.Read(b)
	var gap *console.GapError
	if errors.As(err, &gap) {
		return copy(b, "\r\n["+strings.TrimSpace(gap.Error())+"]\r\n"), nil
	}
	return n, err
}

func (p *heldPort) Close() error {
	defer p.release()
	return p.Port.Close()
}
