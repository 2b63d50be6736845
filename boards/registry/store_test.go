package registry

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestDamagedCache(t *testing.T) {
	u := newUpstream(t)
	want := newImage(t, 100_000, 1, "linux/amd64")
	ref := u.push(t, "app:v1", want)
	cache := t.TempDir()
	r := newRegistry(t, Config{CacheDir: cache})
	img := add(t, r, ref, "linux/amd64")
	layer, _ := layerOf(t, u, ref)
	r.Close()
	if err := os.Truncate(filepath.Join(cache, blobName(digest(strings.TrimPrefix(layer, "/blobs/")))), 10); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(cache, blobName(digest(img.Digest)))
	raw, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	raw[10] ^= 1
	if err := os.WriteFile(manifest, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	again := newRegistry(t, Config{CacheDir: cache})
	pull(t, again, add(t, again, ref, "linux/amd64"), want)
}

// Somebody clears the cache under a registry that serves from it.
func TestClearedCache(t *testing.T) {
	u := newUpstream(t)
	want := newImage(t, 100_000, 1, "linux/amd64")
	ref := u.push(t, "app:v1", want)
	r := newRegistry(t, Config{})
	img := add(t, r, ref, "linux/amd64")
	for d := range r.store.held {
		if err := os.Remove(filepath.Join(r.store.dir, blobName(d))); err != nil {
			t.Fatal(err)
		}
	}
	board := httptest.NewServer(r)
	defer board.Close()
	layer, _ := layerOf(t, u, ref)
	resp, err := http.Get(board.URL + "/v2/" + strings.TrimSuffix(img.Path, ":v1") + layer)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("a blob that is gone: %s", resp.Status)
	}
	pull(t, r, add(t, r, ref, "linux/amd64"), want)
}

// A run that was killed between the last byte and the rename.
func TestUncommittedDownload(t *testing.T) {
	u := newUpstream(t)
	want := newImage(t, 100_000, 1, "linux/amd64")
	ref := u.push(t, "app:v1", want)
	layer, body := layerOf(t, u, ref)
	r := newRegistry(t, Config{})
	if err := os.WriteFile(filepath.Join(r.store.dir, partialDir, strings.TrimPrefix(layer, "/blobs/sha256:")), body, 0o600); err != nil {
		t.Fatal(err)
	}
	pull(t, r, add(t, r, ref, "linux/amd64"), want)
	if requests := u.take(); slices.Contains(requests, "GET /v2/app"+layer) {
		t.Errorf("the layer was fetched again: %q", requests)
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	u := newUpstream(t)
	ref := u.push(t, "app:v1", newImage(t, 1_000_000, 1, "linux/amd64"))
	r := newRegistry(t, Config{CacheDir: dir})
	_, err := r.Add(t.Context(), ref, "linux/amd64")
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), dir) || errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, partialDir, "*")); len(left) > 0 {
		t.Errorf("the disk stays full: %q", left)
	}
}
