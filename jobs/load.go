package jobs

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"b2c-runner/jobs/strict"
)

// Load reads the job file at path. The error is strict.Problems if the file
// could be read: one for each mistake in it.
func Load(path string) (*Job, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, filepath.Dir(path), data)
}

// Parse reads a job from data. Messages name file; relative paths of the job
// start at dir. Defaults are filled in. The error is strict.Problems.
func Parse(file, dir string, data []byte) (*Job, error) {
	j, doc := parse(file, dir, data)
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return j.WithDefaults(), nil
}

// Check reads the job file at path like Load, and also returns what is allowed
// but looks unintended, such as local files that do not exist (yet). lint says
// what is unwise about a pattern; nil: nothing is.
func Check(path string, lint func(pattern string) []string) (warnings strict.Problems, err error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	j, doc := parse(path, filepath.Dir(path), data)
	if doc.Err() == nil {
		j.WithDefaults().remark(doc, lint)
	}
	return doc.Warnings(), doc.Err()
}

func parse(file, dir string, data []byte) (*Job, *strict.Doc) {
	j := &Job{Dir: dir}
	doc, _ := strict.Decode(file, data, j) // doc.Err repeats the error
	j.validate(doc)
	return j, doc
}

// read returns at most one byte more than a job file may have.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("failed to open job: %w (try: b2c-runner check --help)", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, strict.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("failed to read job: %w", err)
	}
	return data, nil
}

// UnmarshalNode reads an asset from a string or a map.
func (a *Asset) UnmarshalNode(n strict.Node) {
	if n.Kind() == strict.Scalar {
		n.Decode(&a.URL)
		return
	}
	type plain Asset
	n.Decode((*plain)(a))
}

// UnmarshalNode reads a pattern from a string, or patterns from a map.
func (e *Expect) UnmarshalNode(n strict.Node) {
	if n.Kind() == strict.Scalar {
		e.Pass = []string{""}
		n.Decode(&e.Pass[0])
		return
	}
	type plain Expect
	n.Decode((*plain)(e))
}

// Values names the phases a job file may use.
func (Phase) Values() []string {
	names := make([]string, len(Phases))
	for i, p := range Phases {
		names[i] = string(p)
	}
	return names
}
