package hostnet

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var someChanges = []change{
	{What: linkRaised, Link: "eth1", Index: 3},
	{What: addressAdded, Link: "eth1", Index: 3, Address: netip.MustParsePrefix("10.0.0.1/24")},
	{What: forwardingOn, Link: "eth1", Index: 3, Host: true},
}

func openTestJournal(t *testing.T, dir string) *journal {
	t.Helper()
	j, err := openJournal(dir, "eth1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.close() })
	return j
}

// TestJournalNotesFirst reads the journal, as the next process would, at the moment
// each change is made; one that fails is noted too.
func TestJournalNotesFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	j := openTestJournal(t, dir)
	broken := errors.New("broken")
	for i, c := range someChanges {
		err := j.do(c, func() error {
			got := openTestJournal(t, dir).Changes
			if diff := cmp.Diff(someChanges[:i+1], got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Errorf("noted (-want +got):\n%s", diff)
			}
			return broken
		})
		if !errors.Is(err, broken) {
			t.Errorf("got error %v", err)
		}
	}
	if got := len(openTestJournal(t, dir).Changes); got != len(someChanges) {
		t.Errorf("%d changes are noted, want %d", got, len(someChanges))
	}
}

// TestNoChangeWithoutNote: what cannot be noted is not done.
func TestNoChangeWithoutNote(t *testing.T) {
	dir := t.TempDir()
	j := openTestJournal(t, dir)
	if err := os.Mkdir(filepath.Join(dir, "hostnet-eth1.json.new"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := j.do(someChanges[0], func() error { t.Error("done"); return nil })
	if err == nil || len(j.Changes) != 0 {
		t.Errorf("got error %v, changes %v", err, j.Changes)
	}
}

func TestJournalFromElsewhere(t *testing.T) {
	tests := map[string]struct {
		edit func(text string) string
		want string // error; empty: nothing to undo
	}{
		"another boot":      {func(s string) string { return strings.Replace(s, `"boot": "`, `"boot": "x`, 1) }, ""},
		"another namespace": {func(s string) string { return strings.Replace(s, `"netns": `, `"netns": 1`, 1) }, ""},
		"cut off":           {func(s string) string { return s[:len(s)/2] }, "unexpected EOF"},
		"empty":             {func(string) string { return "" }, "EOF"},
		"endless":           {func(s string) string { return `{"boot": "` + strings.Repeat("x", maxJournal) }, "unexpected EOF"},
		"unknown field":     {func(s string) string { return strings.Replace(s, `"index"`, `"indices"`, 1) }, "unknown field"},
		"name that leads away": {func(s string) string { return strings.Replace(s, `"eth1"`, `"../all"`, 1) },
			`"../all" is not a name of an interface`},
		"unknown change": {func(s string) string { return strings.Replace(s, "link raised", "disk erased", 1) }, `"disk erased" is not a known change`},
		"no address":     {func(s string) string { return strings.Replace(s, "10.0.0.1/24", "", 1) }, "is not an IPv4 address"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := openTestJournal(t, dir)
			for _, c := range someChanges {
				if err := j.do(c, func() error { return nil }); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(dir, "hostnet-eth1.json")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(tt.edit(string(text))), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := openJournal(dir, "eth1")
			if err == nil {
				defer got.close()
			}
			switch {
			case tt.want == "" && (err != nil || len(got.Changes) > 0):
				t.Errorf("got %v, error %v, want nothing to undo", got, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got error %v, want %q", err, tt.want)
			}
		})
	}
}
