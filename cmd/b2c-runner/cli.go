package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"b2c-runner/jobs"
	"b2c-runner/jobs/strict"
)

// cli is what every verb has: its streams and the flags of the root.
//
// Output rules: stdout is data, stderr is prose; prose has no capitals and no
// full stop, and hints stand on a line of their own or in parentheses.
type cli struct {
	in       io.Reader
	out, err io.Writer
	verbose  bool
	labPath  string
}

// exitStatus is an error that has been told to the user already.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Main is the program: it returns the exit status.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &cli{in: stdin, out: stdout, err: stderr}
	root := c.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var status exitStatus
	var problems strict.Problems
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &problems):
		fmt.Fprintln(stderr, problems)
	default:
		fmt.Fprintf(stderr, "b2c-runner: %v\n", err)
	}
	return jobs.ExitUsage
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "b2c-runner",
		Short: "Run CI jobs on bare-metal boards through boot2container",
		Long: `b2c-runner powers a board, is its whole network, boots it into boot2container,
watches its serial console, runs the steps of a job and reports JUnit.

Exit status: 0 pass · 1 what is under test failed · 2 wrong command line, job or
lab file, nothing was powered · 3 the lab failed · 130 canceled.`,
		Example: `  b2c-runner check jobs/busybox-qemu.yaml
  b2c-runner run jobs/busybox-qemu.yaml
  b2c-runner boards`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.PersistentFlags().BoolVarP(&c.verbose, "verbose", "v", false, "log what happens inside, to standard error")
	root.PersistentFlags().StringVar(&c.labPath, "lab", "", "lab `file` (default: $B2C_RUNNER_LAB, ./lab.yaml, ~/.config/b2c-runner/lab.yaml, /etc/b2c-runner/lab.yaml)")
	root.AddCommand(c.runCommand(), c.consoleCommand(), c.powerCommand(), c.checkCommand(), c.boardsCommand(), c.versionCommand())
	return root
}

// logger is silent without --verbose.
func (c *cli) logger() *slog.Logger {
	if !c.verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(tint.NewTextHandler(c.err, &tint.Options{Level: slog.LevelDebug, NoColor: !isTerminal(c.err)}))
}

// cacheDir is where fetched files and images are kept: XDG's cache, or a
// directory of the temporary one for users without a home.
func cacheDir() string {
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "b2c-runner")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("b2c-runner-cache-%d", os.Getuid()))
}

// dockerConfigDir is where docker and podman keep credentials.
func dockerConfigDir() string {
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".docker")
	}
	return ""
}
