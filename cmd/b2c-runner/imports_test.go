package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// may says which of our packages each room may import; "X/*" is what lies below
// X. Beyond the table, a room may import its own children's leaf jobs/strict, a
// child may import its parents, and no parent imports a child.
var may = []struct{ room, imports string }{
	{"jobs/strict", ""},
	{"jobs", "jobs/strict"},
	{"jobs/*", "jobs jobs/strict"},
	{"console", ""},
	{"console/alarm", ""},
	{"console/consoletest", "console"},
	{"power", ""},
	{"boards", "console power jobs/strict"},
	{"boards/*", "boards console power jobs/strict boards/netboot"},
	{"runner", "jobs jobs/strict jobs/* console console/* power boards boards/*"},
	{"runner/*", "runner jobs jobs/strict jobs/* console console/* power boards boards/*"},
	{"cmd/b2c-runner", "*"},
}

func TestImportDirection(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "b2c-runner/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for dec := json.NewDecoder(bytes.NewReader(out)); ; seen++ {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		room := strings.TrimPrefix(pkg.ImportPath, "b2c-runner/")
		allowed, ok := allowedFor(room)
		if !ok {
			t.Errorf("%s is no room of this house: see ARCHITECTURE.md, and the table above", room)
		}
		for _, imported := range pkg.Imports {
			if ours, ok := strings.CutPrefix(imported, "b2c-runner/"); ok && !matches(allowed, ours) {
				t.Errorf("%s imports %s", room, ours)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d packages were looked at", seen)
	}
}

func allowedFor(room string) (string, bool) {
	for _, m := range may {
		if matches(m.room, room) {
			return m.imports, true
		}
	}
	return "", false
}

// matches reports whether a space-separated list of rooms, or of "X/*", has room.
func matches(list, room string) bool {
	for pattern := range strings.FieldsSeq(list) {
		prefix, below := strings.CutSuffix(pattern, "*")
		if pattern == room || below && strings.HasPrefix(room, prefix) {
			return true
		}
	}
	return false
}
