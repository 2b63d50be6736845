package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"b2c-runner/boards"
	"b2c-runner/console"
	"b2c-runner/jobs"
	"b2c-runner/jobs/strict"
	"b2c-runner/runner"
)

func (c *cli) checkCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Say everything that is wrong with job and lab files",
		Long: `Check reads job files and lab files and says everything that is wrong with them, each with its
file, line and column. Nothing is fetched, nothing is powered.

Exit status: 0 if all are right, 2 if not. Warnings are not mistakes.`,
		Example: `  b2c-runner check jobs/*.yaml
  b2c-runner check --json job.yaml | jq -r '.[].message'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error { return c.check(files, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the problems as JSON on standard output")
	cmd.ValidArgsFunction = completeYAML
	return cmd
}

// checkFile reads a lab file or a job file, whichever it looks like.
func checkFile(file string) (warnings strict.Problems, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if boards.IsLab(data) {
		_, err := boards.ParseLab(file, data)
		return nil, err
	}
	warnings, err = jobs.Check(file, console.Lint)
	if err != nil {
		return warnings, err
	}
	job, err := jobs.Load(file)
	if err != nil {
		return warnings, err
	}
	return warnings, runner.Check(job)
}

func (c *cli) check(files []string, asJSON bool) error {
	all := strict.Problems{}
	failed := false
	for _, file := range files {
		warnings, err := checkFile(file)
		all = append(all, warnings...)
		var problems strict.Problems
		switch {
		case errors.As(err, &problems):
			all = append(all, problems...)
			failed = true
		case err != nil:
			all = append(all, strict.Problem{File: file, Message: err.Error()})
			failed = true
		}
	}
	if asJSON {
		if err := json.NewEncoder(c.out).Encode(all); err != nil {
			return err
		}
	} else if len(all) > 0 {
		fmt.Fprintln(c.err, all)
	}
	if failed {
		return exitStatus(jobs.ExitUsage)
	}
	if !asJSON {
		for _, file := range files {
			fmt.Fprintf(c.out, "%s: ok\n", file)
		}
	}
	return nil
}
