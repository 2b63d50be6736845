package main

import (
	"context"
	"encoding/json"
	"fmt"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"b2c-runner/jobs"
	"b2c-runner/runner"
)

type runFlags struct {
	board, out, cache string
	json, quiet       bool
	wait, uplink      bool
}

func (c *cli) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run JOB",
		Short: "Run a job on a board and report",
		Long: `Run powers the board, boots it as the job says, does the job's steps at its
console, switches it off, and writes OUT/JOB/TIME-BOARD/ with junit.xml,
result.json, console.log and console.cast.

The board is one that fits the job, or the one named with --board. Ctrl-C
switches the board off and still writes the report; a second one kills at once.`,
		Example: `  b2c-runner run jobs/busybox-qemu.yaml
  b2c-runner run jobs/alpine-qemu.yaml --board qemu-x86_64 --out results
  b2c-runner run --json jobs/busybox-qemu.yaml | jq -r .verdict`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args[0], f) },
	}
	cmd.Flags().StringVar(&f.board, "board", "", "use this board, whatever the job asks for")
	cmd.Flags().StringVar(&f.out, "out", "out", "write reports below this `directory`")
	cmd.Flags().StringVar(&f.cache, "cache", cacheDir(), "keep fetched files and images in this `directory`")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the result as JSON on standard output")
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "do not show the console")
	cmd.Flags().BoolVar(&f.wait, "wait", false, "wait for a board that is in use")
	cmd.Flags().BoolVar(&f.uplink, "uplink", false, "let a virtual board reach what this host reaches")
	_ = cmd.RegisterFlagCompletionFunc("board", c.completeBoards)
	cmd.ValidArgsFunction = completeYAML
	return cmd
}

func (c *cli) run(ctx context.Context, path string, f runFlags) error {
	job, err := jobs.Load(path)
	if err != nil {
		return err
	}
	want := job.Board
	if f.board != "" {
		want = jobs.Selector{Name: f.board}
	}
	bench, err := c.openBoard(ctx, want, benchFlags{wait: f.wait, uplink: f.uplink, what: "run " + path})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := bench.close(); closeErr != nil {
			fmt.Fprintf(c.err, "b2c-runner: %v\n", closeErr)
		}
	}()
	progress := newProgress(c.err, f.quiet)
	defer c.logOwnUse()
	result, dir, err := runner.Run(ctx, runner.Config{
		Job: job, Board: bench.board, Network: bench.network, Uplink: bench.uplink,
		OutDir: f.out, CacheDir: f.cache, DockerConfigDir: dockerConfigDir(),
		ConsoleSocket: consoleSocket(bench.board.Name), Observer: progress, Logger: c.logger(),
	})
	if result != nil {
		progress.summary(result, dir)
	}
	progress.close()
	if result != nil && f.json {
		enc := json.NewEncoder(c.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(result); err != nil {
			fmt.Fprintf(c.err, "b2c-runner: failed to print the result: %v\n", err)
		}
	}
	if err != nil {
		fmt.Fprintf(c.err, "b2c-runner: %v\n", err)
		return exitStatus(jobs.Error.ExitCode())
	}
	if code := result.Verdict.ExitCode(); code != 0 {
		return exitStatus(code)
	}
	return nil
}

// logOwnUse logs what this process itself has used, without its boards.
func (c *cli) logOwnUse() {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return
	}
	cpu := time.Duration(use.Utime.Nano() + use.Stime.Nano())
	c.logger().Debug("own use", "cpu", cpu, "peak_kib", use.Maxrss)
}
