package console_test

import (
	"bytes"
	"strings"
	"testing"

	"b2c-runner/console"
)

func TestMaskerSplitAtEveryPosition(t *testing.T) {
	tests := []struct {
		name, in, want string
		secrets        []string
	}{
		{"one", "token=hunter2; hunte hunter22\n", "token=*******; hunte *******2\n", []string{"hunter2"}},
		{"one that begins another", "abc abcde abcd\n", "*** ***** ***d\n", []string{"abc", "abcde"}},
		{"overlapping", "xababay\n", "x*****y\n", []string{"aba"}},
		{"one within another", "the secretariat\n", "the ***********\n", []string{"cret", "secretariat"}},
		{"nested failure", "aabaabaac", "aabaabaac", []string{"aabaabb"}},
		{"wrapped by a terminal", "export T=hunt\r\ner2 x\n", "export T=****\r\n*** x\n", []string{"hunter2"}},
		{"of several lines", "-BEGIN-\r\nkey\r\n-END-\r\n", "*******\r\n***\r\n*****\r\n", []string{"-BEGIN-\nkey\n-END-\n"}},
		{"at the end, unfinished", "hunter", "hunter", []string{"hunter2"}},
		{"none", "hunter2", "hunter2", []string{"", "\n"}},
		{"every byte", "\x00\xff\x80", "*\xff*", []string{"\x00", "\x80"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := console.NewMasker(tt.secrets)
			if got := m.String(tt.in); got != tt.want {
				t.Errorf("String = %q, want %q", got, tt.want)
			}
			for i := range len(tt.in) + 1 {
				for j := i; j <= len(tt.in); j++ {
					var b bytes.Buffer
					w := m.Writer(&b)
					for _, part := range []string{tt.in[:i], tt.in[i:j], tt.in[j:]} {
						if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
							t.Fatalf("Write = %d, %v", n, err)
						}
					}
					if err := w.Close(); err != nil || b.String() != tt.want {
						t.Fatalf("cut at %d and %d: %q, %v, want %q", i, j, b.String(), err, tt.want)
					}
				}
			}
		})
	}
}

// TestMaskerHoldsBackOnlySecrets: what cannot be a secret is written at once.
func TestMaskerHoldsBackOnlySecrets(t *testing.T) {
	var b bytes.Buffer
	w := console.NewMasker([]string{"hunter2", strings.Repeat("z", 500)}).Writer(&b)
	for _, step := range []struct{ in, want string }{
		{"/ # ", "/ # "}, {"hu", "/ # "}, {"b\r\n", "/ # hub\r\n"}, {"h" + strings.Repeat("\n", 600), "/ # hub\r\nh" + strings.Repeat("\n", 600)},
	} {
		if _, err := w.Write([]byte(step.in)); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); len(got) > len(step.want) || len(step.want)-len(got) > 300 || !strings.HasPrefix(step.want, got) {
			t.Errorf("after %q: %q, want %q", step.in, got, step.want)
		}
	}
}

// FuzzMasker: no secret comes out, however the text is cut; the length stays.
func FuzzMasker(f *testing.F) {
	f.Add("xhunter2hun\r\nter2", "hunter2", "nter", uint8(3))
	f.Fuzz(func(t *testing.T, text, one, two string, size uint8) {
		if len(one) > 50 || len(two) > 50 || len(text) > 2000 {
			t.Skip()
		}
		m := console.NewMasker([]string{one, two})
		var b bytes.Buffer
		w := m.Writer(&b)
		for rest := text; len(rest) > 0; {
			n := min(len(rest), int(size)+1)
			if _, err := w.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got := b.String()
		if got != m.String(text) || len(got) != len(text) {
			t.Fatalf("in pieces %q, at once %q", got, m.String(text))
		}
		for _, secret := range []string{one, two} {
			if secret != "" && !strings.ContainsAny(secret, "*\r\n") && strings.Contains(got, secret) {
				t.Fatalf("%q is in %q of %q", secret, got, text)
			}
		}
	})
}
