package registry

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	ggcrremote "github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// upstreamServer is another registry, whose requests can be counted and spoilt.
type upstreamServer struct {
	*httptest.Server
	host string

	mu       sync.Mutex
	requests []string // "GET /v2/…", without the ping
	spoil    func(w http.ResponseWriter, req *http.Request) (done bool)
}

func newUpstream(t *testing.T) *upstreamServer {
	t.Helper()
	handler := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	u := &upstreamServer{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		u.mu.Lock()
		spoil := u.spoil
		if req.URL.Path != "/v2/" {
			u.requests = append(u.requests, req.Method+" "+req.URL.Path)
		}
		u.mu.Unlock()
		if spoil != nil && spoil(w, req) {
			return
		}
		handler.ServeHTTP(w, req)
	}))
	t.Cleanup(u.Close)
	u.host = strings.TrimPrefix(u.URL, "http://")
	return u
}

func (u *upstreamServer) setSpoil(f func(http.ResponseWriter, *http.Request) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.spoil = f
}

// take returns the requests since the last call.
func (u *upstreamServer) take() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	requests := u.requests
	u.requests = nil
	return requests
}

func (u *upstreamServer) push(t *testing.T, path string, what ggcrremote.Taggable) string {
	t.Helper()
	ref, err := name.ParseReference(u.host + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	switch what := what.(type) {
	case v1.Image:
		err = ggcrremote.Write(ref, what)
	case v1.ImageIndex:
		err = ggcrremote.WriteIndex(ref, what)
	}
	if err != nil {
		t.Fatal(err)
	}
	u.take()
	return u.host + "/" + path
}

func newImage(t *testing.T, size int64, layers int64, p string) v1.Image {
	t.Helper()
	img, err := random.Image(size, layers)
	if err != nil {
		t.Fatal(err)
	}
	if p == "" {
		return img
	}
	want, err := v1.ParsePlatform(p)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = want.OS, want.Architecture, want.Variant
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

func newIndex(t *testing.T, platforms ...string) (v1.ImageIndex, map[string]v1.Image) {
	t.Helper()
	index := mutate.IndexMediaType(v1.ImageIndex(empty.Index), types.OCIImageIndex)
	images := map[string]v1.Image{}
	for _, p := range platforms {
		want, err := v1.ParsePlatform(p)
		if err != nil {
			t.Fatal(err)
		}
		images[p] = newImage(t, 3000, 2, p)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: images[p], Descriptor: v1.Descriptor{Platform: want}})
	}
	return index, images
}

func digestString(t *testing.T, img interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

func newRegistry(t *testing.T, config Config) *Registry {
	t.Helper()
	if config.CacheDir == "" {
		config.CacheDir = t.TempDir()
	}
	r, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	r.limits = limits{resolve: 5 * time.Second, stall: 5 * time.Second, backoff: time.Millisecond}
	t.Cleanup(func() { r.Close() })
	return r
}

func add(t *testing.T, r *Registry, ref, platform string) Image {
	t.Helper()
	img, err := r.Add(t.Context(), ref, platform)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// pull fetches an image as a board does and compares it, byte for byte.
func pull(t *testing.T, r *Registry, img Image, want v1.Image) {
	t.Helper()
	board := httptest.NewServer(r)
	defer board.Close()
	ref, err := name.ParseReference(strings.TrimPrefix(board.URL, "http://") + "/" + img.Path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ggcrremote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(digestString(t, want), digestString(t, got)); diff != "" {
		t.Fatalf("digest (-want +got):\n%s", diff)
	}
	if img.Digest != digestString(t, want) {
		t.Errorf("Image.Digest = %s, want %s", img.Digest, digestString(t, want))
	}
	config, err := got.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := got.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(config) + len(raw))
	layers, err := got.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		body, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, body) // the client verifies the digest
		if err != nil {
			t.Fatal(err)
		}
		body.Close()
		size += n
	}
	if size != img.Size {
		t.Errorf("Image.Size = %d, want %d", img.Size, size)
	}
}
