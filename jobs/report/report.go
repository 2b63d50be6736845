// Package report writes the outcome of runs for people's and machines' tools:
// JUnit for GitLab, GitHub and Jenkins, result.json with everything, and
// report.html for people.
package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"b2c-runner/jobs"
)

// The files that Write makes.
const (
	JUnitFile  = "junit.xml"
	ResultFile = "result.json"
	HTMLFile   = "report.html"
)

// maxResult bounds what ReadJSON takes.
const maxResult = 256 << 20

// Write writes junit.xml, result.json and report.html into dir, the last with the
// console's recording that lies there. A reader, or a crash, finds the old file or
// the new one, never a part. If one cannot be written the others still are.
func Write(dir string, r *jobs.Result) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("failed to open report directory: %w", err)
	}
	defer root.Close()
	return errors.Join(
		writeFile(root, ResultFile, func(w io.Writer) error { return JSON(w, r) }),
		writeFile(root, JUnitFile, func(w io.Writer) error { return JUnit(w, r) }),
		writeFile(root, HTMLFile, func(w io.Writer) error { return writeHTML(w, r, root) }),
	)
}

// JSON writes r as result.json has it. Bytes that are not UTF-8 become U+FFFD.
func JSON(w io.Writer, r *jobs.Result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// ReadJSON reads what JSON wrote, in this version of the schema.
func ReadJSON(src io.Reader) (*jobs.Result, error) {
	var r jobs.Result
	if err := json.NewDecoder(io.LimitReader(src, maxResult)).Decode(&r); err != nil {
		return nil, fmt.Errorf("failed to read result: %w", err)
	}
	if r.Schema != jobs.ResultSchema {
		return nil, fmt.Errorf("failed to read result: schema %d, this program knows %d", r.Schema, jobs.ResultSchema)
	}
	return &r, nil
}

// writeFile replaces the file name in root by what write produces.
func writeFile(root *os.Root, name string, write func(io.Writer) error) (err error) {
	temp := "." + name + ".tmp"
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("failed to write %q: %w", name, err), ignoreMissing(root.Remove(temp)))
		}
	}()
	if err := ignoreMissing(root.Remove(temp)); err != nil { // of a run that was killed
		return err
	}
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriter(f)
	err = errors.Join(write(buffered), buffered.Flush(), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := root.Rename(temp, name); err != nil {
		return err
	}
	return syncDir(root)
}

// syncDir makes a rename in root last.
func syncDir(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
