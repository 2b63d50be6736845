package strict

import (
	"fmt"
	"reflect"

	"gopkg.in/yaml.v3"
)

// Unmarshaler is a type that reads itself, such as one that is written as a
// string or as a map. Mistakes are reported with Node.Errorf.
type Unmarshaler interface{ UnmarshalNode(n Node) }

// Enum is a string type with a closed set of values.
type Enum interface{ Values() []string }

// Kind is the shape of a Node.
type Kind int

// The kinds. A key without a value is Nothing.
const (
	Nothing Kind = iota
	Scalar
	List
	Map
)

// Node is a value of the document that has not been read yet. As a field's type
// it keeps the value until the caller knows what it should be; the zero Node
// stands for a key that was not given.
type Node struct {
	doc  *Doc
	node *yaml.Node
	path string
}

// Kind is the shape of the value.
func (n Node) Kind() Kind {
	switch {
	case n.node == nil:
		return Nothing
	case n.node.Kind == yaml.SequenceNode:
		return List
	case n.node.Kind == yaml.MappingNode:
		return Map
	case isNull(n.node):
		return Nothing
	default:
		return Scalar
	}
}

// Text is the text of a scalar as the file has it, without quotes.
func (n Node) Text() string {
	if n.Kind() != Scalar {
		return ""
	}
	return n.node.Value
}

// Path is where the value is, such as "steps[2].expect".
func (n Node) Path() string { return n.path }

// Decode reads the value into what out points to, and reports whether it was all
// right. An Unmarshaler calls it with a type that has no UnmarshalNode.
func (n Node) Decode(out any) bool {
	if n.node == nil {
		return true
	}
	before := n.doc.mistakes
	n.doc.value(n.node, reflect.ValueOf(out).Elem(), n.path, options{})
	return n.doc.mistakes == before
}

// Errorf reports a mistake at the value.
func (n Node) Errorf(format string, args ...any) {
	if n.node != nil {
		n.doc.at(n.path, n.node, fmt.Sprintf(format, args...))
	}
}
