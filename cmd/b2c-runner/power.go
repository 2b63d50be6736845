package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"b2c-runner/boards"
	"b2c-runner/jobs"
	"b2c-runner/power"
)

func (c *cli) powerCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "power BOARD on|off|cycle|status",
		Short: "Switch a board by hand, or read its state",
		Long: `Power switches a board of the lab file, without a job. A board that a run uses is
not switched; status can be read at any time. A supply that cannot be read back
says "unknown".`,
		Example: `  b2c-runner power desk-3 cycle
  b2c-runner power desk-3 status --json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.power(cmd.Context(), args[0], args[1], asJSON)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return c.completeBoards(cmd, args, word)
			}
			return powerActions, cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON on standard output")
	return cmd
}

var powerActions = []string{"on", "off", "cycle", "status"}

func (c *cli) power(ctx context.Context, name, action string, asJSON bool) error {
	if !slices.Contains(powerActions, action) {
		return fmt.Errorf("unknown action %q (try: on, off, cycle, status)", action)
	}
	lab, all, err := c.boardsHere()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(k candidate) bool { return k.name() == name })
	switch {
	case i < 0:
		return noBoard(jobs.Selector{Name: name}, all)
	case all[i].entry == nil:
		return fmt.Errorf("the virtual board %q has no power of its own: a run makes it and ends it", name)
	}
	if action != "status" {
		_, release, err := lockFirst(ctx, all[i:i+1], benchFlags{what: "power " + name + " " + action})
		if err != nil {
			return err
		}
		defer release()
	}
	board, err := lab.Open(all[i].entry, boards.Options{StateDir: filepath.Join(stateDir(), "power"), Ask: c.ask, Logger: c.logger()})
	if err == nil {
		defer closeSupply(board.Supply)
		err = c.switchPower(ctx, board.Supply, action)
	}
	if err != nil {
		fmt.Fprintf(c.err, "b2c-runner: %v\n", err)
		return exitStatus(jobs.Error.ExitCode())
	}
	return c.printPower(ctx, name, board.Supply, asJSON)
}

func (c *cli) switchPower(ctx context.Context, supply power.Supply, action string) error {
	switch action {
	case "on":
		return supply.On(ctx)
	case "off":
		return supply.Off(ctx)
	case "cycle":
		return power.Cycle(ctx, supply)
	default:
		return nil
	}
}

// printPower says what the supply itself says.
func (c *cli) printPower(ctx context.Context, name string, supply power.Supply, asJSON bool) error {
	var status struct {
		Board string      `json:"board"`
		State power.State `json:"state"`
		Watts *float64    `json:"watts,omitempty"`
	}
	status.Board, status.State = name, power.Unknown
	if s, ok := supply.(power.Stater); ok {
		state, err := s.State(ctx)
		if err != nil {
			fmt.Fprintf(c.err, "b2c-runner: %v\n", err)
			return exitStatus(jobs.Error.ExitCode())
		}
		status.State = state
	}
	if m, ok := supply.(power.Meter); ok {
		if watts, err := m.Watts(ctx); err == nil {
			status.Watts = &watts
		}
	}
	if asJSON {
		return json.NewEncoder(c.out).Encode(status)
	}
	fmt.Fprintf(c.out, "%s: %s", name, status.State)
	if status.Watts != nil {
		fmt.Fprintf(c.out, ", %.1f W", *status.Watts)
	}
	fmt.Fprintln(c.out)
	return nil
}
