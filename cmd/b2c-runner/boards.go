package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"b2c-runner/boards"
)

func (c *cli) boardsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "boards",
		Short:   "List the boards of this host",
		Example: "  b2c-runner boards",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return c.boards(asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON on standard output")
	return cmd
}

func (c *cli) boards(asJSON bool) error {
	_, all, err := c.boardsHere()
	if err != nil {
		return err
	}
	type row struct {
		Name   string         `json:"name"`
		Model  string         `json:"model"`
		Title  string         `json:"title"`
		Tags   []string       `json:"tags,omitempty"`
		Holder *boards.Holder `json:"holder,omitempty"`
	}
	rows := []row{}
	for _, k := range all {
		r := row{Name: k.name(), Model: k.model.Name, Title: k.model.Title, Tags: k.tags()}
		if h, ok := boards.HeldBy(locksDir(), r.Name); ok {
			r.Holder = &h
		}
		rows = append(rows, r)
	}
	if asJSON {
		return json.NewEncoder(c.out).Encode(rows)
	}
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "BOARD\tMODEL\tWHAT\tUSED BY")
	for _, r := range rows {
		holder := "-"
		if r.Holder != nil {
			holder = r.Holder.String()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.Name, r.Model, r.Title, holder)
	}
	return table.Flush()
}
