// Package strict reads one YAML document into tagged structs and reports every
// mistake it finds, each with its place and, where one is near, the word that
// was probably meant.
//
// A struct field is read from the key of its `yaml` tag ("-" is left out;
// ",inline" takes the keys of an embedded struct, or, on a map, all keys that no
// other field takes). A `strict` tag adds: "required" (the key must be given)
// and "single" (a lone value stands for a list of one). Keys that start with
// "x-" are free at the top level, for anchors.
//
// Scalars are read as YAML 1.2 reads them: yes, no, on and off are strings,
// numbers with a leading zero are refused, and a string keeps the text of the
// file, so 1.10 stays 1.10.
package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"

	"gopkg.in/yaml.v3"
)

// Limits of a document; beyond them it is refused.
const (
	MaxSize  = 1 << 20 // bytes
	maxNodes = 20_000  // values in the file
	maxWork  = 4 << 20 // bytes of paths, 64 more for each value, also when an alias repeats it
	maxDepth = 100     // of nested lists and maps
	maxKey   = 200     // bytes of a key
)

// Doc is a document that was read, and what is wrong with it.
type Doc struct {
	file     string
	places   map[string]*yaml.Node // path → the value there
	problems Problems
	mistakes int             // errors and warnings, counted beyond what problems holds
	wrong    map[string]bool // paths with an error
	around   map[string]bool // paths around those
	nodes    int             // values in the file
	work     int             // see maxWork
	depth    int             // of the value that is being read
	full     bool            // a limit was reached: stop
}

// Decode reads data, a YAML document that came from file, into the struct or map
// that out points to. The error is nil or Problems. The Doc is never nil: the
// caller goes on to check what was read with Errorf, and ends with Err.
func Decode(file string, data []byte, out any) (*Doc, error) {
	d := &Doc{
		file: file, places: map[string]*yaml.Node{},
		wrong: map[string]bool{}, around: map[string]bool{},
	}
	if p := checkText(file, data); p != nil {
		d.add(*p)
		return d, d.Err()
	}
	root := d.parse(data)
	if root == nil {
		return d, d.Err()
	}
	d.places[""] = root
	d.checkTree(root, 0)
	if !d.full {
		d.value(root, reflect.ValueOf(out).Elem(), "", options{top: true})
	}
	return d, d.Err()
}

// Err is nil, or all errors so far as Problems, sorted by their place.
func (d *Doc) Err() error {
	if errs := d.problems.sorted(false); len(errs) > 0 {
		return errs
	}
	return nil
}

// Warnings are the remarks made with Warnf, sorted by their place.
func (d *Doc) Warnings() Problems { return d.problems.sorted(true) }

// Errorf reports a mistake at path, such as "steps[2].expect" (see Key). If the
// file has nothing there, the place is that of the nearest thing around it.
// Nothing is reported where Decode or an earlier Errorf already found a mistake,
// so that one slip gives one message.
func (d *Doc) Errorf(path, format string, args ...any) {
	if d.Wrong(path) {
		return
	}
	d.at(path, d.near(path), fmt.Sprintf(format, args...))
}

// Warnf reports something at path that is allowed but looks unintended.
func (d *Doc) Warnf(path, format string, args ...any) {
	n := d.near(path)
	d.add(Problem{
		File: d.file, Line: n.Line, Column: n.Column, Path: path,
		Message: fmt.Sprintf(format, args...), Warning: true,
	})
}

// Has reports whether the file gives a value at path.
func (d *Doc) Has(path string) bool {
	_, ok := d.places[path]
	return ok
}

// Given cuts path down to what the file has: a lone value that stands for a list
// has no index there, and one written in a short form no key.
func (d *Doc) Given(path string) string {
	for path != "" && !d.Has(path) {
		path = parent(path)
	}
	return path
}

// Wrong reports whether a mistake is known at path, around it, or below it.
func (d *Doc) Wrong(path string) bool {
	if d.around[path] {
		return true
	}
	for ; path != ""; path = parent(path) {
		if d.wrong[path] {
			return true
		}
	}
	return d.wrong[""]
}

// near finds the value at path or the closest one around it.
func (d *Doc) near(path string) *yaml.Node {
	if n, ok := d.places[d.Given(path)]; ok {
		return n
	}
	return &yaml.Node{Line: 1, Column: 1}
}

// parse returns the content of the only document in data, or nil after a report.
func (d *Doc) parse(data []byte) (root *yaml.Node) {
	defer func() {
		if r := recover(); r != nil {
			d.add(Problem{File: d.file, Line: 1, Column: 1, Message: fmt.Sprintf("the YAML parser gave up: %v", r)})
			root = nil
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	if err := dec.Decode(&first); err != nil {
		d.add(syntaxProblem(d.file, data, err))
		return nil
	}
	if err := dec.Decode(&second); err == nil {
		d.add(Problem{
			File: d.file, Line: second.Line, Column: second.Column,
			Message: "a second document starts here (one file holds one document: remove the line of three dashes)",
		})
		return nil
	} else if !errors.Is(err, io.EOF) {
		d.add(syntaxProblem(d.file, data, err))
		return nil
	}
	if len(first.Content) == 0 {
		d.add(Problem{File: d.file, Line: 1, Column: 1, Message: "the file is empty"})
		return nil
	}
	return first.Content[0]
}

// checkTree reports what no type can excuse, in every part of the document:
// duplicate keys, keys that are not plain words, foreign tags, and excess.
func (d *Doc) checkTree(n *yaml.Node, depth int) {
	if d.nodes++; d.nodes > maxNodes || depth > maxDepth {
		d.tooMuch(n)
		return
	}
	if tag := n.ShortTag(); n.Style&yaml.TaggedStyle != 0 && !coreTags[tag] {
		d.add(Problem{File: d.file, Line: n.Line, Column: n.Column, Message: fmt.Sprintf("tag %s is not supported", quote(tag))})
	}
	if n.Kind == yaml.MappingNode {
		seen := map[string]*yaml.Node{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			if k.Kind == yaml.AliasNode && k.Alias != nil {
				k = k.Alias
			}
			if len(k.Value) > maxKey {
				d.tooMuch(k)
				return
			}
			if k.Kind != yaml.ScalarNode {
				d.add(Problem{File: d.file, Line: k.Line, Column: k.Column, Message: "a key must be a word, not a list or a map"})
				continue
			}
			if old, ok := seen[k.Value]; ok {
				d.add(Problem{
					File: d.file, Line: n.Content[i].Line, Column: n.Content[i].Column,
					Message: fmt.Sprintf("duplicate key %s (first on line %d)", quote(k.Value), old.Line),
				})
			}
			seen[k.Value] = n.Content[i]
		}
	}
	for _, c := range n.Content {
		if d.checkTree(c, depth+1); d.full {
			return
		}
	}
}

var coreTags = map[string]bool{
	"!!str": true, "!!int": true, "!!float": true, "!!bool": true,
	"!!null": true, "!!map": true, "!!seq": true,
}

// spend reports whether another value at path is within the limits.
func (d *Doc) spend(n *yaml.Node, path string) bool {
	if d.work += 64 + len(path); d.work > maxWork || d.depth > maxDepth {
		d.tooMuch(n)
	}
	return !d.full
}

func (d *Doc) tooMuch(n *yaml.Node) {
	if !d.full {
		d.full = true
		d.add(Problem{
			File: d.file, Line: n.Line, Column: n.Column,
			Message: fmt.Sprintf("too much: more than %d values, %d levels, %d bytes in a key, or aliases that repeat too often", maxNodes, maxDepth, maxKey),
		})
	}
}
