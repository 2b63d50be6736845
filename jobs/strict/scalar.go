package strict

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

var durationType = reflect.TypeFor[time.Duration]()

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func isScalarType(v reflect.Value) bool {
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return true
	}
	switch v.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	default:
		return false
	}
}

// scalar reads n into v.
func (d *Doc) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.at(path, n, fmt.Sprintf("want %s, got %s", wanted(v), describe(n)))
		return
	}
	if err := parseScalar(n, v); err != "" {
		d.at(path, n, err)
	}
}

// parseScalar sets v, or returns what is wrong.
func parseScalar(n *yaml.Node, v reflect.Value) string {
	text, quoted := n.Value, n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	bad := fmt.Sprintf("want %s, got %s", wanted(v), describe(n))

	if e, ok := v.Interface().(Enum); ok {
		for _, known := range e.Values() {
			if text == known {
				v.SetString(text)
				return ""
			}
		}
		if s := Suggest(text, e.Values()); s != "" {
			bad += " (did you mean " + quote(s) + "?)"
		}
		return bad
	}
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := t.UnmarshalText([]byte(text)); err != nil {
			return fmt.Sprintf("%s is not valid: %v", quote(text), err)
		}
		return ""
	}
	if v.Type() == durationType {
		t, err := time.ParseDuration(text)
		if err != nil {
			if _, e := strconv.ParseFloat(text, 64); e == nil {
				bad += fmt.Sprintf(" (did you mean \"%ss\"?)", text)
			}
			return bad
		}
		v.SetInt(int64(t))
		return ""
	}
	if v.Kind() == reflect.String {
		v.SetString(text)
		return ""
	}
	if quoted {
		return bad + " (remove the quotes)"
	}
	return parseNumber(text, v, bad)
}

var leadingZero = regexp.MustCompile(`^[-+]?0[0-9_]+$`)

func parseNumber(text string, v reflect.Value, bad string) string {
	size := int(v.Type().Size()) * 8
	var err error
	switch v.Kind() {
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "true", "false":
			v.SetBool(strings.EqualFold(text, "true"))
		case "yes", "on", "y":
			return bad + ` (did you mean "true"?)`
		case "no", "off", "n":
			return bad + ` (did you mean "false"?)`
		default:
			return bad
		}
	case reflect.Float32, reflect.Float64:
		var f float64
		if f, err = strconv.ParseFloat(text, size); err == nil && f-f != 0 {
			return bad
		}
		v.SetFloat(f)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var i int64
		i, err = strconv.ParseInt(text, 0, size)
		v.SetInt(i)
	default:
		var u uint64
		u, err = strconv.ParseUint(text, 0, size)
		v.SetUint(u)
	}
	if leadingZero.MatchString(text) && v.Kind() != reflect.Float64 && v.Kind() != reflect.Float32 {
		return bad + ", which some readers take for octal (remove the leading zero)"
	}
	if err != nil || strings.Contains(text, "_") {
		return bad
	}
	return ""
}

// wanted names what v is read from.
func wanted(v reflect.Value) string {
	if e, ok := v.Interface().(Enum); ok {
		return "one of " + strings.Join(e.Values(), ", ")
	}
	if v.Type() == durationType {
		return "a duration such as 15m"
	}
	switch v.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(1)<<(v.Type().Size()*8-1)*2-1)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int:
		return "a whole number"
	default:
		return "a value"
	}
}

// describe shows what the file has at n.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a map"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	default:
		return quote(n.Value)
	}
}
