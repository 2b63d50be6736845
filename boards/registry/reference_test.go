package registry

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	hash := "sha256:" + strings.Repeat("ab", 32)
	for _, test := range []struct{ ref, repo, tag string }{
		{"alpine", "library/alpine", "latest"},
		{"docker.io/library/alpine:3.20", "library/alpine", "3.20"},
		{"org/app:v1_RC.2", "org/app", "v1_RC.2"},
		{"quay.io/org/app", "quay.io/org/app", "latest"},
		{"localhost:5000/app:x", "localhost_5000/app", "x"},
		{"GHCR.io/org/app:x", "ghcr.io/org/app", "x"},
		{"alpine@" + hash, "library/alpine", ""},
		{"alpine:3.20@" + hash, "library/alpine", ""},
		{"[::1]:5000/app:x", "1_5000/app", "x"},
	} {
		ref, err := parseName(test.ref)
		if err != nil {
			t.Errorf("%s: %v", test.ref, err)
			continue
		}
		got := servedName(ref)
		if want := (served{test.repo, test.tag}); got != want {
			t.Errorf("%s is served as %+v, want %+v", test.ref, got, want)
		}
		if !repoPattern.MatchString(got.repo) {
			t.Errorf("%s is served as %q, which no client can ask for", test.ref, got.repo)
		}
	}
}

func TestBadNames(t *testing.T) {
	r := newRegistry(t, Config{})
	for _, test := range []struct{ ref, advice string }{
		{"", "empty"},
		{`"alpine"`, "(try: alpine)"},
		{"'alpine:3.20'", "(try: alpine:3.20)"},
		{"alpine ", "(try: alpine)"},
		{"al pine", "space inside"},
		{"alpine\x00", "space inside"},
		{`org/"app"`, "(try: org/\"app)"},
		{`org/"app":v1`, "quote"},
		{"Alpine", "(try: alpine)"},
		{"Org/App:V1", "lower case"},
		{"https://quay.io/org/app", "(try: quay.io/org/app)"},
		{"docker://alpine", "(try: alpine)"},
		{"alpine:", "try: HOST/REPOSITORY:TAG"},
		{"org//app", "no repository"},
		{"../app", "(try: oci:../app"},
		{"quay.io/../app", "no repository"},
		{"alpine:-x", "no tag"},
		{"alpine@sha256:12", "try:"},
		{"alpine@sha512:" + strings.Repeat("a", 128), "only sha256"},
		{"oci:", "no path"},
		{strings.Repeat("a", 5000), "try:"},
	} {
		_, err := r.Add(t.Context(), test.ref, "linux/amd64")
		if !errors.Is(err, ErrName) || !strings.Contains(err.Error(), test.advice) {
			t.Errorf("%.40q: %v (want advice %q)", test.ref, err, test.advice)
		}
	}
	for _, ref := range []string{"oci:/nowhere/at:all", "oci-archive:/nowhere.tar", "docker-archive:/nowhere.tar:x"} {
		if _, err := r.Add(t.Context(), ref, "linux/amd64"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "nowhere") {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestSplitPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "with:colon")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"", "v1", "quay.io/org/app:v1"} {
		path, got, err := splitPath(strings.TrimSuffix(dir+":"+tag, ":"))
		if err != nil || path != dir || got != tag {
			t.Errorf("got %q and %q (%v), want %q and %q", path, got, err, dir, tag)
		}
	}
}

func TestChoose(t *testing.T) {
	entry := func(s string) descriptor {
		p, err := parsePlatform(s)
		if err != nil {
			t.Fatal(err)
		}
		return descriptor{Digest: digest(s), Platform: &p}
	}
	index := []descriptor{
		entry("linux/amd64"), entry("linux/amd64/v3"), entry("linux/arm/v5"), entry("linux/arm/v7"), entry("linux/arm64/v8"),
		entry("windows/amd64"), entry("unknown/unknown"), {Digest: "no platform"},
	}
	for want, got := range map[string]string{
		"linux/amd64":    "linux/amd64",
		"linux/amd64/v2": "linux/amd64",
		"linux/amd64/v4": "linux/amd64/v3",
		"linux/arm64":    "linux/arm64/v8",
		"linux/arm64/v9": "linux/arm64/v8",
		"linux/arm/v6":   "linux/arm/v5",
		"linux/arm":      "linux/arm/v7",
		"linux/386":      "",
		"linux/arm/v4":   "",
	} {
		p, err := parsePlatform(want)
		if err != nil {
			t.Fatal(err)
		}
		d, err := choose(index, p)
		if (err != nil) != (got == "") || string(d.Digest) != got {
			t.Errorf("%s: got %q (%v), want %q", want, d.Digest, err, got)
		}
		if err != nil && (strings.Contains(err.Error(), "unknown") || !errors.Is(err, ErrNotFound)) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestParseManifest(t *testing.T) {
	hash := `"sha256:` + strings.Repeat("ab", 32) + `"`
	for _, test := range []struct{ name, raw, want string }{
		{"schema 1", `{"schemaVersion":1,"fsLayers":[]}`, "schema 1"},
		{"both", `{"config":{"digest":` + hash + `,"size":1},"manifests":[]}`, "both"},
		{"neither", `{}`, "neither"},
		{"no JSON", `x`, "parse"},
		{"path as digest", `{"config":{"digest":"sha256:../../x","size":1}}`, "unsupported digest"},
		{"negative size", `{"config":{"digest":` + hash + `,"size":-1}}`, "impossible"},
		{"huge layer", `{"config":{"digest":` + hash + `,"size":1},"layers":[{"digest":` + hash + `,"size":99999999999999}]}`, "impossible"},
		{"many layers", `{"config":{},"layers":[{}` + strings.Repeat(`,{}`, maxLayers) + `]}`, "layers"},
		{"good", `{"config":{"digest":` + hash + `,"size":1},"layers":[{"digest":` + hash + `,"size":1}]}`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			doc, err := parseManifest([]byte(test.raw))
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if err == nil && len(doc.content()) != 1 {
				t.Errorf("content %v, want one blob", doc.content())
			}
		})
	}
}

func FuzzParseName(f *testing.F) {
	for _, seed := range []string{"alpine", "quay.io/a/b:c", "[::1]:5/a", "A", `"x"`, "a@sha256:" + strings.Repeat("a", 64)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		ref, err := parseName(in)
		if err != nil {
			if !errors.Is(err, ErrName) {
				t.Errorf("%q: %v", in, err)
			}
			return
		}
		name := servedName(ref)
		path := "/v2/" + name.repo + "/manifests/" + name.tag
		if name.tag == "" {
			path += string(digestOf(nil))
		}
		if len(path) > 255 {
			return
		}
		if got, failure := parsePath(path); failure != nil || got.repo != name.repo {
			t.Errorf("%q is served at %q, which cannot be asked for (%v)", in, path, failure)
		}
	})
}
