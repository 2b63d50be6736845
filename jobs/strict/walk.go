package strict

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// options say how a value is read.
type options struct {
	single bool // a lone value stands for a list of one
	top    bool // the top level, where x-… keys are free
}

// value reads n into v and reports what is wrong.
func (d *Doc) value(n *yaml.Node, v reflect.Value, path string, o options) {
	d.depth++
	defer func() { d.depth-- }()
	if !d.spend(n, path) {
		return
	}
	n, ok := d.target(n, path)
	if !ok {
		return
	}
	d.places[path] = n

	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), path, o)
		return
	}
	if node, ok := v.Addr().Interface().(*Node); ok {
		*node = Node{d, n, path}
		return
	}
	if isNull(n) {
		d.at(path, n, "is empty (give it a value or leave the key out)")
		return
	}
	if u, ok := v.Addr().Interface().(Unmarshaler); ok {
		u.UnmarshalNode(Node{d, n, path})
		return
	}
	if isScalarType(v) {
		d.scalar(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if d.want(n, yaml.MappingNode, "a map of keys and values", path) {
			d.structure(n, v, path, o)
		}
	case reflect.Map:
		if d.want(n, yaml.MappingNode, "a map of keys and values", path) {
			for _, e := range d.entries(n, path) {
				d.mapEntry(e, v, path, o)
			}
		}
	case reflect.Slice:
		d.list(n, v, path, o)
	default:
		panic(fmt.Sprintf("strict: type %s at %q is not supported", v.Type(), path))
	}
}

// target follows aliases.
func (d *Doc) target(n *yaml.Node, path string) (*yaml.Node, bool) {
	for range maxDepth {
		if n.Kind != yaml.AliasNode {
			return n, true
		}
		n = n.Alias
	}
	d.at(path, n, "the alias refers to itself")
	return nil, false
}

func (d *Doc) want(n *yaml.Node, kind yaml.Kind, what, path string) bool {
	if n.Kind == kind {
		return true
	}
	d.at(path, n, fmt.Sprintf("want %s, got %s", what, describe(n)))
	return false
}

func (d *Doc) list(n *yaml.Node, v reflect.Value, path string, o options) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	} else if !o.single {
		d.want(n, yaml.SequenceNode, "a list (a line with a dash for each item)", path)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		p := Index(path, i)
		if n.Kind != yaml.SequenceNode {
			p = path
		}
		d.value(item, out.Index(i), p, options{})
	}
	v.Set(out)
}

// entry is a key of a map with its value, after merge keys.
type entry struct{ key, value *yaml.Node }

// entries lists the keys of map n: its own, then those merged with "<<" that it
// does not have itself.
func (d *Doc) entries(n *yaml.Node, path string) []entry {
	var out []entry
	seen := map[string]bool{}
	var add func(n *yaml.Node, depth int)
	add = func(n *yaml.Node, depth int) {
		var merged []*yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, ok := d.target(n.Content[i], path)
			switch {
			case !ok || k.Kind != yaml.ScalarNode:
			case k.ShortTag() == "!!merge":
				merged = append(merged, n.Content[i+1])
			case !seen[k.Value]:
				seen[k.Value] = true
				out = append(out, entry{k, n.Content[i+1]})
			}
		}
		for i := 0; i < len(merged); i++ {
			if depth > maxDepth {
				d.tooMuch(n)
			}
			if !d.spend(n, path) {
				return
			}
			m, ok := d.target(merged[i], path)
			switch {
			case !ok:
			case m.Kind == yaml.SequenceNode:
				merged = slices.Insert(merged, i+1, m.Content...)
			case m.Kind == yaml.MappingNode:
				add(m, depth+1)
			default:
				d.at(Key(path, "<<"), m, fmt.Sprintf("want an alias of a map, such as *defaults, got %s", describe(m)))
			}
		}
	}
	add(n, 0)
	return out
}

func (d *Doc) mapEntry(e entry, v reflect.Value, path string, o options) {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	p := Key(path, e.key.Value)
	key := reflect.New(v.Type().Key()).Elem()
	before := d.mistakes
	d.scalar(e.key, key, p)
	value := reflect.New(v.Type().Elem()).Elem()
	d.value(e.value, value, p, options{single: o.single})
	if d.mistakes == before {
		v.SetMapIndex(key, value)
	}
}

// structure reads map n into struct v.
func (d *Doc) structure(n *yaml.Node, v reflect.Value, path string, o options) {
	fields := fieldsOf(v)
	var names []string
	var rest *field
	for i, f := range fields {
		if f.name == "" {
			rest = &fields[i]
			continue
		}
		names = append(names, f.name)
	}
	given := map[string]bool{}
	for _, e := range d.entries(n, path) {
		name := e.key.Value
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name && name != "" })
		switch {
		case i >= 0:
			given[name] = true
			d.value(e.value, fields[i].value, Key(path, name), options{single: fields[i].single})
		case rest != nil:
			d.mapEntry(e, rest.value, path, options{single: rest.single})
		case o.top && strings.HasPrefix(name, "x-"):
		default:
			missing := slices.DeleteFunc(slices.Clone(names), func(s string) bool { return given[s] })
			d.add(Problem{
				File: d.file, Line: e.key.Line, Column: e.key.Column, Path: path,
				Message: fmt.Sprintf("unknown key %s%s", quote(name), hint(name, names)),
			})
			if meant := Suggest(name, missing); meant != "" {
				d.spoil(Key(path, meant)) // it is not missing as well
			}
		}
	}
	for _, f := range fields {
		if p := Key(path, f.name); f.required && !given[f.name] && !d.wrong[p] {
			d.at(p, n, "is required")
		}
	}
}

// field is a struct field that a key is read into.
type field struct {
	name             string // "": the map that takes the remaining keys
	value            reflect.Value
	required, single bool
}

func fieldsOf(v reflect.Value) []field {
	var out []field
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		name, flags, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		inline := strings.Contains(flags, "inline")
		if !sf.IsExported() || name == "-" || (name == "" && !inline) {
			continue
		}
		if inline && v.Field(i).Kind() == reflect.Struct {
			out = append(out, fieldsOf(v.Field(i))...)
			continue
		}
		own := strings.Split(sf.Tag.Get("strict"), ",")
		out = append(out, field{
			name: name, value: v.Field(i),
			required: slices.Contains(own, "required"), single: slices.Contains(own, "single"),
		})
	}
	return out
}
