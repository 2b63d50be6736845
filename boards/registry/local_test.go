package registry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/klauspost/compress/zstd"
)

func newLayout(t *testing.T, dir string) layout.Path {
	t.Helper()
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func appendImage(t *testing.T, p layout.Path, img v1.Image, tag string) {
	t.Helper()
	if err := p.AppendImage(img, layout.WithAnnotations(map[string]string{annotationTag: tag})); err != nil {
		t.Fatal(err)
	}
}

// pack writes a directory as a tar file, which may be compressed.
func pack(t *testing.T, dir, file string) string {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, file, buf.Bytes())
	return file
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	switch filepath.Ext(file) {
	case ".gz":
		w = gzip.NewWriter(&buf)
	case ".zst":
		var err error
		if w, err = zstd.NewWriter(&buf); err != nil {
			t.Fatal(err)
		}
	default:
		buf.Write(content)
	}
	if w != nil {
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOCILayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "BusyBox image")
	p := newLayout(t, dir)
	first, second := newImage(t, 50_000, 2, "linux/amd64"), newImage(t, 50_000, 2, "linux/amd64")
	appendImage(t, p, first, "docker.io/library/busybox:1.36")
	appendImage(t, p, second, "1.37")
	index, images := newIndex(t, "linux/amd64", "linux/arm64")
	if err := p.AppendIndex(index, layout.WithAnnotations(map[string]string{annotationTag: "multi"})); err != nil {
		t.Fatal(err)
	}
	plain := pack(t, dir, filepath.Join(t.TempDir(), "images.tar"))
	packed := pack(t, dir, filepath.Join(t.TempDir(), "images.tar.gz"))
	zipped := pack(t, dir, filepath.Join(t.TempDir(), "images.tar.zst"))

	cache := t.TempDir()
	for _, source := range []struct{ ref, repo string }{
		{"oci:" + dir, "local/busybox_image"},
		{"oci-archive:" + plain, "local/images"},
		{"oci-archive:" + packed, "local/images"},
		{"oci-archive:" + zipped, "local/images"},
	} {
		t.Run(filepath.Base(source.ref), func(t *testing.T) {
			r := newRegistry(t, Config{CacheDir: cache})
			for _, test := range []struct {
				tag, platform string
				want          v1.Image
				path          string
			}{
				{":1.36", "linux/amd64", first, ":1.36"},
				{":1.37", "linux/amd64", second, ":1.37"},
				{":multi", "linux/arm64", images["linux/arm64"], ":multi"},
				{":multi", "linux/amd64", images["linux/amd64"], "@" + digestString(t, images["linux/amd64"])},
			} {
				img := add(t, r, source.ref+test.tag, test.platform)
				if diff := cmp.Diff(source.repo+test.path, img.Path); diff != "" {
					t.Errorf("path (-want +got):\n%s", diff)
				}
				pull(t, r, img, test.want)
			}
			_, err := r.Add(t.Context(), source.ref+":2", "linux/amd64")
			if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "busybox:1.36, 1.37, multi") {
				t.Errorf("missing tag: %v", err)
			}
			_, err = r.Add(t.Context(), source.ref+":multi", "linux/riscv64")
			if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "linux/amd64, linux/arm64") {
				t.Errorf("missing platform: %v", err)
			}
			_, err = r.Add(t.Context(), source.ref, "linux/amd64")
			if err == nil || !strings.Contains(err.Error(), "try: one of the tags") {
				t.Errorf("ambiguous: %v", err)
			}
		})
	}
}

func TestOCIDirIsNotCopied(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	want := newImage(t, 100_000, 2, "linux/amd64")
	appendImage(t, newLayout(t, dir), want, "")
	r := newRegistry(t, Config{})
	pull(t, r, add(t, r, "oci:"+dir, "linux/amd64"), want)
	files, err := r.store.files(blobDir, partialDir)
	if err != nil || len(files) > 0 {
		t.Errorf("cached: %v (%v)", files, err)
	}
}

// An OCI directory is foreign data: it cannot point out of itself, and lies are found.
func TestHostileOCIDir(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	want := newImage(t, 1000, 1, "linux/amd64")
	layers, err := want.Layers()
	if err != nil {
		t.Fatal(err)
	}
	hash, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, dir, layer string) error
	}{
		{"symlink to the outside", func(t *testing.T, _, layer string) error {
			raw, err := os.ReadFile(layer)
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(secret, raw, 0o600), os.Remove(layer), os.Symlink(secret, layer))
		}},
		{"fifo", func(t *testing.T, _, layer string) error {
			return errors.Join(os.Remove(layer), syscall.Mkfifo(layer, 0o600))
		}},
		{"changed", func(t *testing.T, _, layer string) error { return os.WriteFile(layer, []byte("x"), 0o600) }},
		{"missing", func(t *testing.T, _, layer string) error { return os.Remove(layer) }},
		{"longer", func(t *testing.T, _, layer string) error {
			f, err := os.OpenFile(layer, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("x")
			return errors.Join(err, f.Close())
		}},
		{"digest with a path", func(t *testing.T, dir, _ string) error {
			return os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"schemaVersion":2,"manifests":[{"digest":"sha256:../../../secret","size":10}]}`), 0o600)
		}},
		{"huge index", func(t *testing.T, dir, _ string) error {
			return os.Truncate(filepath.Join(dir, "index.json"), maxManifest+1)
		}},
		{"no index", func(t *testing.T, dir, _ string) error { return os.Remove(filepath.Join(dir, "index.json")) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "app")
			appendImage(t, newLayout(t, dir), want, "")
			if err := test.spoil(t, dir, filepath.Join(dir, "blobs/sha256", hash.Hex)); err != nil {
				t.Fatal(err)
			}
			r := newRegistry(t, Config{})
			if img, err := r.Add(t.Context(), "oci:"+dir, "linux/amd64"); err == nil {
				t.Errorf("was added: %+v", img)
			}
		})
	}
}

func TestDamagedArchive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	appendImage(t, newLayout(t, dir), newImage(t, 10_000, 1, "linux/amd64"), "")
	whole, err := os.ReadFile(pack(t, dir, filepath.Join(t.TempDir(), "app.tar")))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "app.tar")
	for name, content := range map[string][]byte{
		"empty":   {},
		"noise":   bytes.Repeat([]byte("noise"), 1000),
		"cut off": whole[:len(whole)/2],
		"changed": bytes.Replace(whole, whole[2000:2010], []byte("0123456789"), 1),
	} {
		t.Run(name, func(t *testing.T) {
			write(t, file, content)
			for _, kind := range []string{"oci-archive:", "docker-archive:"} {
				r := newRegistry(t, Config{})
				if img, err := r.Add(t.Context(), kind+file, "linux/amd64"); err == nil {
					t.Errorf("%s was added: %+v", kind, img)
				}
			}
		})
	}
	t.Run("directory", func(t *testing.T) {
		_, err := newRegistry(t, Config{}).Add(t.Context(), "oci-archive:"+dir, "linux/amd64")
		if err == nil || !strings.Contains(err.Error(), "try: oci:DIR") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("other kind", func(t *testing.T) {
		write(t, file, whole)
		_, err := newRegistry(t, Config{}).Add(t.Context(), "docker-archive:"+file, "linux/amd64")
		if err == nil || !strings.Contains(err.Error(), "try: oci-archive:") {
			t.Errorf("got %v", err)
		}
	})
}

func TestDockerArchive(t *testing.T) {
	one, two := newImage(t, 50_000, 3, "linux/amd64"), newImage(t, 50_000, 1, "linux/amd64")
	tag := func(s string) name.Tag {
		parsed, err := name.NewTag(s)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	single := filepath.Join(t.TempDir(), "single.tar")
	if err := tarball.WriteToFile(single, tag("app:v1"), one); err != nil {
		t.Fatal(err)
	}
	double := filepath.Join(t.TempDir(), "double.tar")
	if err := tarball.MultiWriteToFile(double, map[name.Tag]v1.Image{tag("app:v1"): one, tag("quay.io/org/app:v2"): two}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(single)
	if err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(t.TempDir(), "single.tar.gz")
	write(t, packed, raw)

	cache := t.TempDir()
	for _, test := range []struct{ ref, path, config string }{
		{single, "local/single:latest", configName(t, one)},
		{single + ":app:v1", "local/single:v1", configName(t, one)},
		{packed, "local/single:latest", configName(t, one)},
		{double + ":app:v1", "local/double:v1", configName(t, one)},
		{double + ":quay.io/org/app:v2", "local/double:v2", configName(t, two)},
	} {
		t.Run(test.path, func(t *testing.T) {
			r := newRegistry(t, Config{CacheDir: cache})
			img := add(t, r, "docker-archive:"+test.ref, "linux/amd64")
			if img.Path != test.path {
				t.Errorf("path %q, want %q", img.Path, test.path)
			}
			pulled := pullable{t, r, img}.image()
			if got := configName(t, pulled); got != test.config {
				t.Errorf("configuration %s, want %s", got, test.config)
			}
			pull(t, r, img, pulled)
			again := add(t, newRegistry(t, Config{CacheDir: cache}), "docker-archive:"+test.ref, "linux/amd64")
			if diff := cmp.Diff(img, again); diff != "" {
				t.Errorf("second Add (-first +second):\n%s", diff)
			}
		})
	}

	// An archive that has not changed is not read again.
	info, err := os.Stat(single)
	if err != nil {
		t.Fatal(err)
	}
	write(t, single, make([]byte, info.Size()))
	if err := os.Chtimes(single, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	add(t, newRegistry(t, Config{CacheDir: cache}), "docker-archive:"+single, "linux/amd64")
	if err := os.Chtimes(single, time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := newRegistry(t, Config{CacheDir: cache}).Add(t.Context(), "docker-archive:"+single, "linux/amd64"); err == nil {
		t.Error("an archive that changed was taken from the cache")
	}

	huge := t.TempDir()
	write(t, filepath.Join(huge, "manifest.json"), []byte(`[{"Config": "config.json", "Layers": []}]`))
	write(t, filepath.Join(huge, "config.json"), append([]byte(`{"rootfs": {"type": "layers"}}`), bytes.Repeat([]byte(" "), maxManifest)...))
	_, err = newRegistry(t, Config{}).Add(t.Context(), "docker-archive:"+pack(t, huge, filepath.Join(t.TempDir(), "huge.tar")), "linux/amd64")
	if err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("huge configuration: %v", err)
	}

	r := newRegistry(t, Config{})
	for _, ref := range []string{double, double + ":app:v3"} {
		_, err := r.Add(t.Context(), "docker-archive:"+ref, "linux/amd64")
		if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "quay.io/org/app:v2") {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

// configName is the digest of an image's configuration, which no archive changes.
func configName(t *testing.T, img v1.Image) string {
	t.Helper()
	h, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}
