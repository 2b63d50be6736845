package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
)

// layerOf returns the digest and the size of an image's only layer.
func layerOf(t *testing.T, u *upstreamServer, ref string) (path string, body []byte) {
	t.Helper()
	r := newRegistry(t, Config{})
	img := add(t, r, ref, "linux/amd64")
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, repo := range r.repos {
		doc, err := parseManifest(repo.manifests[digest(img.Digest)].raw)
		if err != nil {
			t.Fatal(err)
		}
		f, err := repo.blobs[doc.Layers[0].Digest].open()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		body := make([]byte, doc.Layers[0].Size)
		if _, err := f.ReadAt(body, 0); err != nil {
			t.Fatal(err)
		}
		u.take()
		return "/blobs/" + string(doc.Layers[0].Digest), body
	}
	t.Fatal("no image")
	return "", nil
}

// abort breaks the connection after the first bytes of a body.
func abort(w http.ResponseWriter, body []byte) {
	if _, err := w.Write(body); err == nil {
		_ = http.NewResponseController(w).Flush()
	}
	panic(http.ErrAbortHandler)
}

func TestFlakyUpstream(t *testing.T) {
	u := newUpstream(t)
	want := newImage(t, 1_000_000, 1, "linux/amd64")
	ref := u.push(t, "app:v1", want)
	layer, body := layerOf(t, u, ref)

	for _, test := range []struct {
		name    string
		ranges  bool
		breaks  int64
		wantErr bool
	}{
		{"resumed", true, 20, false},
		{"restarted", false, 3, false},
		{"hopeless", false, 1 << 30, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var served, broken atomic.Int64
			u.setSpoil(func(w http.ResponseWriter, req *http.Request) bool {
				if !strings.HasSuffix(req.URL.Path, layer) {
					return false
				}
				var from int
				if n, _ := fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-", &from); n == 1 && test.ranges {
					w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(body)-1, len(body)))
					w.WriteHeader(http.StatusPartialContent)
				} else {
					from = 0
				}
				if broken.Add(1) <= test.breaks {
					piece := body[from:min(from+40_000, len(body)-1)]
					served.Add(int64(len(piece)))
					abort(w, piece)
				}
				served.Add(int64(len(body) - from))
				_, _ = w.Write(body[from:])
				return true
			})
			r := newRegistry(t, Config{})
			img, err := r.Add(t.Context(), ref, "linux/amd64")
			if test.wantErr {
				if !errors.Is(err, ErrUnreachable) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.ranges && served.Load() > int64(len(body))*3/2 {
				t.Errorf("%d bytes were sent for a layer of %d", served.Load(), len(body))
			}
			pull(t, r, img, want)
		})
	}
}

// A run that is cancelled in a download leaves the part for the next one.
func TestResumeByNextRun(t *testing.T) {
	u := newUpstream(t)
	want := newImage(t, 3_000_000, 1, "linux/amd64")
	ref := u.push(t, "app:v1", want)
	layer, body := layerOf(t, u, ref)
	cache := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	u.setSpoil(func(w http.ResponseWriter, req *http.Request) bool {
		if strings.HasSuffix(req.URL.Path, layer) {
			_, _ = w.Write(body[:2_000_000])
			_ = http.NewResponseController(w).Flush()
			<-req.Context().Done()
			return true
		}
		return false
	})
	first := newRegistry(t, Config{CacheDir: cache, Events: func(e Event) {
		if e.Done < e.Total {
			cancel()
		}
	}})
	if _, err := first.Add(ctx, ref, "linux/amd64"); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
		t.Fatalf("a cancelled Add: %v", err)
	}

	for _, test := range []struct {
		name   string
		damage bool
	}{{"damaged", true}, {"intact", false}} {
		t.Run(test.name, func(t *testing.T) {
			mine := t.TempDir()
			if err := os.CopyFS(mine, os.DirFS(cache)); err != nil {
				t.Fatal(err)
			}
			if test.damage {
				name := filepath.Join(mine, partialDir, strings.TrimPrefix(layer, "/blobs/sha256:"))
				f, err := os.OpenFile(name, os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.WriteAt([]byte("damage"), 1000); err != nil {
					t.Fatal(err)
				}
				f.Close()
			}
			var ranges []string
			u.setSpoil(func(w http.ResponseWriter, req *http.Request) bool {
				if strings.HasSuffix(req.URL.Path, layer) {
					ranges = append(ranges, req.Header.Get("Range"))
					http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(body))
					return true
				}
				return false
			})
			r := newRegistry(t, Config{CacheDir: mine})
			pull(t, r, add(t, r, ref, "linux/amd64"), want)
			if len(ranges) == 0 || ranges[0] == "" {
				t.Errorf("requests with ranges %q, want the first to resume", ranges)
			}
			if wantRequests := map[bool]int{false: 1, true: 2}[test.damage]; len(ranges) != wantRequests {
				t.Errorf("requests with ranges %q, want %d", ranges, wantRequests)
			}
		})
	}
}

// A layer that ends early, with no error on the way.
func TestShortLayer(t *testing.T) {
	u := newUpstream(t)
	ref := u.push(t, "app:v1", newImage(t, 100_000, 1, "linux/amd64"))
	layer, body := layerOf(t, u, ref)
	u.setSpoil(func(w http.ResponseWriter, req *http.Request) bool {
		if strings.HasSuffix(req.URL.Path, layer) {
			_, _ = w.Write(body[:5000])
			return true
		}
		return false
	})
	if _, err := newRegistry(t, Config{}).Add(t.Context(), ref, "linux/amd64"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

func TestStalledDownload(t *testing.T) {
	u := newUpstream(t)
	want := newImage(t, 100_000, 1, "linux/amd64")
	ref := u.push(t, "app:v1", want)
	layer, body := layerOf(t, u, ref)
	var once sync.Once
	u.setSpoil(func(w http.ResponseWriter, req *http.Request) bool {
		stalled := false
		if strings.HasSuffix(req.URL.Path, layer) {
			once.Do(func() {
				stalled = true
				_, _ = w.Write(body[:100])
				_ = http.NewResponseController(w).Flush()
				<-req.Context().Done()
			})
		}
		return stalled
	})
	r := newRegistry(t, Config{})
	r.limits.stall = 100 * time.Millisecond
	pull(t, r, add(t, r, ref, "linux/amd64"), want)
}

func TestLyingUpstream(t *testing.T) {
	u := newUpstream(t)
	ref := u.push(t, "app:v1", newImage(t, 100_000, 1, "linux/amd64"))
	layer, body := layerOf(t, u, ref)
	other := bytes.Clone(body)
	other[len(other)/2] ^= 1
	for _, test := range []struct {
		name string
		part string
		body []byte
	}{
		{"layer", layer, other},
		{"longer layer", layer, append(bytes.Clone(body), 'x')},
		{"manifest", "/manifests/sha256:", []byte(`{"schemaVersion":2,"config":{},"layers":[]}`)},
	} {
		t.Run(test.name, func(t *testing.T) {
			u.setSpoil(func(w http.ResponseWriter, req *http.Request) bool {
				if req.Method == http.MethodGet && strings.Contains(req.URL.Path, test.part) {
					_, _ = w.Write(test.body)
					return true
				}
				return false
			})
			r := newRegistry(t, Config{})
			_, err := r.Add(t.Context(), ref, "linux/amd64")
			if !errors.Is(err, errDigest) || errors.Is(err, ErrUnreachable) {
				t.Fatalf("got %v", err)
			}
			files, err := r.store.files(blobDir)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				raw, err := os.ReadFile(filepath.Join(r.store.dir, f.name))
				if err != nil || blobName(digestOf(raw)) != f.name {
					t.Errorf("cached %s is something else (%v)", f.name, err)
				}
			}
			if len(r.repos) != 0 {
				t.Errorf("an image that failed is served: %v", r.repos)
			}
		})
	}
}

// Boards on one host and runs side by side want the same image at the same time.
func TestConcurrentAdds(t *testing.T) {
	u := newUpstream(t)
	want := newImage(t, 300_000, 4, "linux/amd64")
	ref := u.push(t, "app:v1", want)
	cache := t.TempDir()
	registries := []*Registry{newRegistry(t, Config{CacheDir: cache}), newRegistry(t, Config{CacheDir: cache}), newRegistry(t, Config{CacheDir: cache})}
	group, ctx := errgroup.WithContext(t.Context())
	for i := range 12 {
		group.Go(func() error {
			_, err := registries[i%3].Add(ctx, ref, "linux/amd64")
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, request := range u.take() {
		if strings.HasPrefix(request, "GET /v2/app/blobs/") {
			count[request]++
		}
	}
	if len(count) != 5 {
		t.Errorf("%d blobs were fetched, want 5", len(count))
	}
	for request, n := range count {
		if n != 1 {
			t.Errorf("%s: %d times", request, n)
		}
	}
	for _, r := range registries {
		pull(t, r, add(t, r, ref, "linux/amd64"), want)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, partialDir, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A proxy that compresses what it can must not change what a blob is.
func TestCompressingUpstream(t *testing.T) {
	u := newUpstream(t)
	want := newImage(t, 100_000, 1, "linux/amd64")
	ref := u.push(t, "app:v1", want)
	layer, body := layerOf(t, u, ref)
	var requests atomic.Int64
	u.setSpoil(func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.HasSuffix(req.URL.Path, layer) {
			return false
		}
		requests.Add(1)
		if strings.Contains(req.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip") // as some do for what is a gzip file anyway
		}
		_, _ = w.Write(body)
		return true
	})
	r := newRegistry(t, Config{})
	pull(t, r, add(t, r, ref, "linux/amd64"), want)
	if requests.Load() != 1 {
		t.Errorf("the layer took %d requests", requests.Load())
	}
}

func TestStallLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, touch, stop := withStallLimit(t.Context(), 10*time.Second)
		defer stop()
		for range 5 {
			time.Sleep(9 * time.Second)
			touch()
		}
		if ctx.Err() != nil {
			t.Error("a slow download was given up")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if !errors.Is(context.Cause(ctx), errStalled) {
			t.Errorf("a stalled download ended by %v", context.Cause(ctx))
		}
	})
}

func TestRedirects(t *testing.T) {
	request := func(url string) *http.Request {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		return req
	}
	for _, test := range []struct {
		from, to string
		allowed  bool
	}{
		{"https://registry.example/v2/", "https://cdn.example/blob", true},
		{"https://registry.example/v2/", "http://169.254.169.254/latest", false},
		{"https://registry.example/v2/", "http://[::ffff:10.0.0.1]/", false},
		{"https://registry.example/v2/", "http://localhost:8080/", false},
		{"http://10.0.0.5:5000/v2/", "http://10.0.0.6/blob", true},
	} {
		err := checkRedirect(request(test.to), []*http.Request{request(test.from)})
		if (err == nil) != test.allowed {
			t.Errorf("%s to %s: %v", test.from, test.to, err)
		}
	}
}
