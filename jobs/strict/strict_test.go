package strict_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"b2c-runner/jobs/strict"
)

type color string

func (color) Values() []string { return []string{"red", "green", "blue"} }

// size is written as one word, or as a map.
type size struct {
	Width  int `yaml:"width"`
	Height int `yaml:"height"`
}

func (s *size) UnmarshalNode(n strict.Node) {
	if n.Kind() == strict.Scalar {
		if _, err := fmt.Sscanf(n.Text(), "%dx%d", &s.Width, &s.Height); err != nil {
			n.Errorf("want WIDTHxHEIGHT, got %q", n.Text())
		}
		return
	}
	type plain size
	n.Decode((*plain)(s))
}

type common struct {
	Note string `yaml:"note"`
}

type driver struct {
	Delay time.Duration          `yaml:"delay"`
	Rest  map[string]strict.Node `yaml:",inline"`
}

type bench struct {
	common   `yaml:"-"`
	Common   common           `yaml:",inline"`
	Name     string           `yaml:"name" strict:"required"`
	Wait     time.Duration    `yaml:"wait"`
	Color    color            `yaml:"color"`
	Counts   map[color]int    `yaml:"counts"`
	Size     size             `yaml:"size"`
	Sizes    []*size          `yaml:"sizes" strict:"single"`
	Words    []string         `yaml:"words" strict:"single"`
	List     []string         `yaml:"list"`
	On       bool             `yaml:"on"`
	Count    int8             `yaml:"count"`
	Port     uint16           `yaml:"port"`
	Ratio    float64          `yaml:"ratio"`
	Address  netip.Addr       `yaml:"address"`
	Power    driver           `yaml:"power"`
	Children map[string]bench `yaml:"children"`
}

// decode returns what was read and the messages, without the file's name.
func decode(t *testing.T, text string) (bench, []string) {
	t.Helper()
	var b bench
	_, err := strict.Decode("f", []byte(text), &b)
	if err == nil {
		return b, nil
	}
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		lines = append(lines, strings.TrimPrefix(line, "f:"))
	}
	return b, lines
}

func TestMistakes(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string
	}{
		"unknown keys": {
			"naem: x\nwiat: 3s\nzebra: 1\n",
			[]string{
				`1:1: unknown key "naem" (did you mean "name"?)`,
				`2:1: unknown key "wiat" (did you mean "wait"?)`,
				`3:1: unknown key "zebra" (known: address, children, color, count, counts, list, name, note, on, port, power, ratio, size, sizes, wait, words)`,
			},
		},
		"required":            {"wait: 3s\n", []string{"1:1: name: is required"}},
		"required below":      {"name: a\nchildren:\n  b:\n    wait: 1s\n", []string{"4:5: children.b.name: is required"}},
		"number for duration": {"name: a\nwait: 900\n", []string{`2:7: wait: want a duration such as 15m, got "900" (did you mean "900s"?)`}},
		"list for duration":   {"name: a\nwait: [1]\n", []string{`2:7: wait: want a duration such as 15m, got a list`}},
		"map for string":      {"name: {a: b}\n", []string{`1:7: name: want a string, got a map`}},
		"scalar for list":     {"name: a\nlist: b\n", []string{`2:7: list: want a list (a line with a dash for each item), got "b"`}},
		"scalar for map":      {"name: a\ncounts: b\n", []string{`2:9: counts: want a map of keys and values, got "b"`}},
		"enum":                {"name: a\ncolor: grene\n", []string{`2:8: color: want one of red, green, blue, got "grene" (did you mean "green"?)`}},
		"enum key":            {"name: a\ncounts: {rde: 1, blue: 2}\n", []string{`2:10: counts.rde: want one of red, green, blue, got "rde" (did you mean "red"?)`}},
		"duplicate": {
			"name: a\nwait: 3s\nname: b\n",
			[]string{`3:1: duplicate key "name" (first on line 1)`},
		},
		"duplicate in a template": {"x-t: {a: 1, a: 2}\nname: a\n", []string{`1:13: duplicate key "a" (first on line 1)`}},
		"own type":                {"name: a\nsize: big\n", []string{`2:7: size: want WIDTHxHEIGHT, got "big"`}},
		"own type as map":         {"name: a\nsize: {width: 1, hight: 2}\n", []string{`2:18: size: unknown key "hight" (did you mean "height"?)`}},
		"in a list":               {"name: a\nsizes: [1x2, {width: a}]\n", []string{`2:22: sizes[1].width: want a whole number, got "a"`}},
		"yes":                     {"name: a\non: yes\n", []string{`2:5: on: want true or false, got "yes" (did you mean "true"?)`}},
		"quoted true":             {"name: a\non: \"true\"\n", []string{`2:5: on: want true or false, got "true" (remove the quotes)`}},
		"leading zero":            {"name: a\ncount: 012\n", []string{`2:8: count: want a whole number, got "012", which some readers take for octal (remove the leading zero)`}},
		"underscore":              {"name: a\ncount: 1_2\n", []string{`2:8: count: want a whole number, got "1_2"`}},
		"overflow":                {"name: a\ncount: 128\nport: 65536\n", []string{`2:8: count: want a whole number, got "128"`, `3:7: port: want a whole number from 0 to 65535, got "65536"`}},
		"infinite":                {"name: a\nratio: inf\n", []string{`2:8: ratio: want a number, got "inf"`}},
		"address":                 {"name: a\naddress: 10.0.0\n", []string{`2:10: address: "10.0.0" is not valid: ParseAddr("10.0.0"): IPv4 address too short`}},
		"nothing":                 {"name:\nwait: ~\n", []string{"1:6: name: is empty (give it a value or leave the key out)", "2:7: wait: is empty (give it a value or leave the key out)"}},
		"x- below the top":        {"name: a\nsize: {x-a: 1}\n", []string{`2:8: size: unknown key "x-a" (known: height, width)`}},
		"empty file":              {"# nothing\n", []string{"1:1: the file is empty"}},
		"null document":           {"~\n", []string{"1:1: is empty (give it a value or leave the key out)"}},
		"list document":           {"- a\n", []string{"1:1: want a map of keys and values, got a list"}},
		"two documents":           {"name: a\n---\nname: b\n", []string{"2:1: a second document starts here (one file holds one document: remove the line of three dashes)"}},
		"broken second document":  {"name: a\n---\n[\n", []string{"4:1: not YAML: did not find expected node content"}},
		"syntax":                  {"name: a\nlist: [b\nwait: 1s\n", []string{"2:1: not YAML: did not find expected ',' or ']'"}},
		"tab":                     {"name: a\n\twait: 1s\n", []string{"2:1: not YAML: found a tab character that violates indentation (indent with spaces; quote a value that starts with @, ` or %)"}},
		"colon":                   {"name: a: b\n", []string{`1:1: not YAML: mapping values are not allowed in this context (quote a value that holds ": ")`}},
		"unknown anchor":          {"name: a\nsize: *big\n", []string{"2:7: not YAML: unknown anchor 'big' referenced"}},
		"NUL":                     {"name: a\x00b\n", []string{"1:8: control character U+0000 (try: write it as an escape in double quotes)"}},
		"not UTF-8":               {"name: é\xff\n", []string{"1:8: not UTF-8: byte 0xff"}},
		"tag":                     {"name: !!binary aGk=\n", []string{`1:7: tag "!!binary" is not supported`}},
		"list as key":             {"name: a\n? [b]\n: c\n", []string{"2:3: a key must be a word, not a list or a map"}},
		"alias of itself":         {"name: a\nchildren: &c\n  b: {name: d, children: *c}\n", []string{"3:6: too much: more than 20000 values, 100 levels, 200 bytes in a key, or aliases that repeat too often"}},
		"merge of a word":         {"name: a\n<<: b\n", []string{`2:5: ["<<"]: want an alias of a map, such as *defaults, got "b"`}},
		"escape codes":            {"\"\\e[31m\": 1\nname: \"a\"\n", []string{`1:1: unknown key "\x1b[31m" (known: address, children, color, count, counts, list, name, note, on, port, power, ratio, size, sizes, wait, words)`}},
		"once through an alias": {
			"x-s: &s {widht: 1}\nname: a\nsizes: [*s, *s, *s]\n",
			[]string{`1:10: sizes[0]: unknown key "widht" (did you mean "width"?)`},
		},
		"everything at once": {
			"nmae: a\nwait: soon\ncolor: pink\nsizes:\n  - 1x\n  - depth: 3\n",
			[]string{
				`1:1: unknown key "nmae" (did you mean "name"?)`,
				`2:7: wait: want a duration such as 15m, got "soon"`,
				`3:8: color: want one of red, green, blue, got "pink"`,
				`5:5: sizes[0]: want WIDTHxHEIGHT, got "1x"`,
				`6:5: sizes[1]: unknown key "depth" (known: height, width)`,
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, got := decode(t, tt.text)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("wrong messages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValues(t *testing.T) {
	got, problems := decode(t, `
x-defaults: &defaults
  note: from the template
  wait: 1m
x-more: &more {wait: 2m, count: -8}
name: 1.10
<<: [*defaults, *more]
wait: 90s
color: blue
counts: {red: 0x10, green: 0o7}
size: 3x4
sizes: {width: 5}
words: on
list: [yes, 012, 2026-11-22, "null", "a\tb"]
on: True
port: 65535
ratio: 1e3
address: fe80::1
`)
	if problems != nil {
		t.Fatalf("problems: %q", problems)
	}
	want := bench{
		Common: common{"from the template"},
		Name:   "1.10", Wait: 90 * time.Second, Color: "blue",
		Counts: map[color]int{"red": 16, "green": 7},
		Size:   size{3, 4}, Sizes: []*size{{Width: 5}},
		Words: []string{"on"}, List: []string{"yes", "012", "2026-11-22", "null", "a\tb"},
		On: true, Count: -8, Port: 65535, Ratio: 1000, Address: netip.MustParseAddr("fe80::1"),
	}
	opts := cmp.Options{cmp.AllowUnexported(bench{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Errorf("wrong values (-want +got):\n%s", diff)
	}
}

func TestNodeIsDecodedLater(t *testing.T) {
	var b bench
	doc, err := strict.Decode("f", []byte("name: a\npower:\n  delay: 1s\n  relay: {port: 70000}\n"), &b)
	if err != nil {
		t.Fatal(err)
	}
	var relay struct {
		Port uint16 `yaml:"port"`
		Hub  string `yaml:"hub" strict:"required"`
	}
	node := b.Power.Rest["relay"]
	if node.Kind() != strict.Map || node.Path() != "power.relay" {
		t.Errorf("relay is %v at %q, want a map at power.relay", node.Kind(), node.Path())
	}
	if node.Decode(&relay) {
		t.Error("Decode found nothing wrong")
	}
	want := "f:4:10: power.relay.hub: is required\n" +
		`f:4:17: power.relay.port: want a whole number from 0 to 65535, got "70000"`
	if got := fmt.Sprint(doc.Err()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if absent := b.Power.Rest["other"]; absent.Kind() != strict.Nothing || !absent.Decode(&relay) {
		t.Error("a node that was not given is not empty")
	}
}

func TestCallersProblems(t *testing.T) {
	var b bench
	doc, err := strict.Decode("f", []byte("name: a\nsizes:\n  - 1x2\n  - {width: x}\nwords: a\n"), &b)
	if err == nil {
		t.Fatal("no error for width: x")
	}
	doc.Errorf("sizes[0]", "too small")
	doc.Errorf("sizes[0].width", "hidden by the one above")
	doc.Errorf("sizes[1]", "hidden by the one below")
	doc.Errorf("sizes[1].width", "hidden, known already")
	doc.Errorf("power.relay.port", "nothing there, so it is shown at the top")
	doc.Errorf(doc.Given("words[0]"), "a lone value")
	doc.Warnf("name", "a %s name", "short")
	want := strict.Problems{
		{File: "f", Line: 1, Column: 1, Path: "power.relay.port", Message: "nothing there, so it is shown at the top"},
		{File: "f", Line: 3, Column: 5, Path: "sizes[0]", Message: "too small"},
		{File: "f", Line: 4, Column: 13, Path: "sizes[1].width", Message: `want a whole number, got "x"`},
		{File: "f", Line: 5, Column: 8, Path: "words", Message: "a lone value"},
	}
	var got strict.Problems
	if !errors.As(doc.Err(), &got) {
		t.Fatalf("%T is not Problems", doc.Err())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wrong problems (-want +got):\n%s", diff)
	}
	if got := doc.Warnings().Error(); got != "f:1:7: warning: name: a short name" {
		t.Errorf("warning %q", got)
	}
	j, err := json.Marshal(got[1])
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"file":"f","line":3,"column":5,"path":"sizes[0]","message":"too small"}`; string(j) != want {
		t.Errorf("JSON %s, want %s", j, want)
	}
}

func TestMessagesAreOneHarmlessLine(t *testing.T) {
	var b bench
	doc, _ := strict.Decode("f", []byte("name: a\n"), &b)
	doc.Errorf("name", "%s", "\x1b[31mred\nline\u202e")
	if got, want := fmt.Sprint(doc.Err()), "f:1:7: name: \ufffd[31mred\ufffdline\ufffd"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
}

func TestLimits(t *testing.T) {
	bomb := "name: a\nx-0: &x0 {name: a}\n"
	for i := range 9 {
		bomb += fmt.Sprintf("x-%d: &x%d {name: a, children: {", i+1, i+1)
		for k := range 10 {
			bomb += fmt.Sprintf("k%d: *x%d, ", k, i)
		}
		bomb += "}}\n"
	}
	tests := map[string]string{
		"size":         "name: " + strings.Repeat("a", strict.MaxSize),
		"values":       "name: a\nlist:\n" + strings.Repeat("- a\n", 50_000),
		"alias bomb":   bomb + "children: {a: *x9}\n",
		"merge bomb":   strings.ReplaceAll(strings.ReplaceAll(bomb, "children: {", "<<: ["), "}}", "]}") + "<<: *x9\n",
		"depth":        "name: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"parser depth": "name: " + strings.Repeat("[", 100_000),
		"long keys":    "name: a\nx-a: &a {name: b}\nchildren:\n" + strings.Repeat("  "+strings.Repeat("k", 100)+": *a\n", 9000),
		"key":          strings.Repeat("k", 201) + ": 1\nname: a\n",
		"problems":     "name: a\nsizes:\n" + strings.Repeat("- {a: 1, b: 1, c: 1}\n", 9000),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if name == "merge bomb" {
				for k := range 10 {
					text = strings.ReplaceAll(text, fmt.Sprintf("k%d: ", k), "")
				}
			}
			_, problems := decode(t, text)
			if len(problems) == 0 || len(problems) > 501 {
				t.Errorf("%d problems", len(problems))
			}
		})
	}
}

func TestSuggest(t *testing.T) {
	words := []string{"expect", "send", "run", "timeouts", "ntp_peer"}
	for word, want := range map[string]string{
		"exepct": "expect", "Send": "send", "rn": "run", "timeout": "timeouts", "time": "timeouts",
		"ntp-peer": "ntp_peer", "": "", "zzz": "", strings.Repeat("x", 1000): "",
	} {
		if got := strict.Suggest(word, words); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", word, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("name: a\nsize: 1x2\nchildren: {b: {name: c}}\n")
	f.Add("x-a: &a {wait: 1s}\nname: b\n<<: *a\n")
	f.Add("a: &a [*a]\nb: *c\n? [x]: y\n--- \n")
	f.Fuzz(func(t *testing.T, text string) {
		var b bench
		doc, err := strict.Decode("f", []byte(text), &b)
		doc.Errorf("children.b.name", "added")
		var problems strict.Problems
		if err != nil && !errors.As(err, &problems) {
			t.Fatalf("%T is not Problems", err)
		}
		lines := 2
		for _, br := range []string{"\n", "\r", "\u2028", "\u2029"} { // YAML 1.1, section 5.4
			lines += strings.Count(text, br)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Line > lines || p.Column < 1 || p.Message == "" || strings.ContainsAny(p.String(), "\n\x1b") {
				t.Errorf("bad problem %+v", p)
			}
		}
	})
}
