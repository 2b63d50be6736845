package registry

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestPullThrough(t *testing.T) {
	u := newUpstream(t)
	want := newImage(t, 100_000, 3, "linux/arm64")
	ref := u.push(t, "org/app:v1", want)
	cache := t.TempDir()

	r := newRegistry(t, Config{CacheDir: cache})
	img := add(t, r, ref, "linux/arm64")
	if wantPath := strings.ReplaceAll(u.host, ":", "_") + "/org/app:v1"; img.Path != wantPath || img.Stale || img.Ref != ref {
		t.Errorf("got %+v, want path %q", img, wantPath)
	}
	pull(t, r, img, want)
	u.take()

	// Another process, later: only the tag is asked for.
	again := newRegistry(t, Config{CacheDir: cache})
	if diff := cmp.Diff(img, add(t, again, ref, "linux/arm64")); diff != "" {
		t.Errorf("second Add (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"HEAD /v2/org/app/manifests/v1"}, u.take()); diff != "" {
		t.Errorf("requests of a second Add (-want +got):\n%s", diff)
	}
	pull(t, again, img, want)

	// By digest, nothing at all is asked.
	byDigest := add(t, again, u.host+"/org/app@"+img.Digest, "linux/arm64")
	if requests := u.take(); len(requests) > 0 {
		t.Errorf("requests of an Add by digest: %q", requests)
	}
	if !strings.HasSuffix(byDigest.Path, "/org/app@"+img.Digest) {
		t.Errorf("path by digest: %q", byDigest.Path)
	}
	pull(t, again, byDigest, want)
}

func TestHeadWithoutDigest(t *testing.T) {
	u := newUpstream(t)
	want := newImage(t, 1000, 1, "linux/amd64")
	ref := u.push(t, "app:v1", want)
	u.setSpoil(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return true
		}
		return false
	})
	r := newRegistry(t, Config{})
	pull(t, r, add(t, r, ref, "linux/amd64"), want)
}

func TestPlatforms(t *testing.T) {
	u := newUpstream(t)
	index, images := newIndex(t, "linux/amd64", "linux/arm64/v8", "linux/arm/v6", "linux/arm/v7")
	ref := u.push(t, "multi:latest", index)
	r := newRegistry(t, Config{})

	arm64 := add(t, r, ref, "linux/arm64")
	amd64 := add(t, r, ref, "linux/amd64")
	pull(t, r, arm64, images["linux/arm64/v8"])
	pull(t, r, amd64, images["linux/amd64"])
	if arm64.Path == amd64.Path {
		t.Errorf("two platforms share the path %q", arm64.Path)
	}
	pull(t, r, add(t, r, ref, "linux/arm"), images["linux/arm/v7"])
	pull(t, r, add(t, r, ref, "linux/arm/v6"), images["linux/arm/v6"])
	pull(t, r, add(t, r, u.host+"/multi@"+digestString(t, index), "linux/amd64"), images["linux/amd64"])

	_, err := r.Add(t.Context(), ref, "linux/riscv64")
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "linux/amd64, linux/arm/v6, linux/arm/v7, linux/arm64/v8") {
		t.Errorf("error of a missing platform: %v", err)
	}
	if _, err := r.Add(t.Context(), ref, "arm64"); err == nil || !strings.Contains(err.Error(), "try: linux/arm64") {
		t.Errorf("error of a bad platform: %v", err)
	}
}

func TestTagKeepsItsMeaning(t *testing.T) {
	u := newUpstream(t)
	first, second := newImage(t, 1000, 1, "linux/amd64"), newImage(t, 1000, 1, "linux/amd64")
	ref := u.push(t, "app:latest", first)
	r := newRegistry(t, Config{})
	before := add(t, r, ref, "linux/amd64")
	u.push(t, "app:latest", second)
	after := add(t, r, ref, "linux/amd64")
	pull(t, r, before, first)
	pull(t, r, after, second)
}

func TestOffline(t *testing.T) {
	u := newUpstream(t)
	index, images := newIndex(t, "linux/amd64", "linux/arm64")
	ref := u.push(t, "app:latest", index)
	cache := t.TempDir()
	add(t, newRegistry(t, Config{CacheDir: cache}), ref, "linux/arm64")

	for _, test := range []struct {
		name  string
		spoil func(http.ResponseWriter, *http.Request) bool
	}{
		{"rate limit", func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}},
		{"broken", func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}},
		{"gone", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			u.setSpoil(test.spoil)
			if test.spoil == nil {
				u.Close()
			}
			r := newRegistry(t, Config{CacheDir: cache})
			img := add(t, r, ref, "linux/arm64")
			if !img.Stale {
				t.Error("not marked stale")
			}
			pull(t, r, img, images["linux/arm64"])
			// The other platform was never complete.
			if _, err := r.Add(t.Context(), ref, "linux/amd64"); !errors.Is(err, ErrUnreachable) {
				t.Errorf("error without a cached image: %v", err)
			}
		})
	}
}

func TestSlowUpstream(t *testing.T) {
	u := newUpstream(t)
	want := newImage(t, 1000, 1, "linux/amd64")
	ref := u.push(t, "app:latest", want)
	cache := t.TempDir()
	add(t, newRegistry(t, Config{CacheDir: cache}), ref, "linux/amd64")
	u.setSpoil(func(_ http.ResponseWriter, req *http.Request) bool { <-req.Context().Done(); return true })
	r := newRegistry(t, Config{CacheDir: cache})
	r.limits.resolve = 50 * time.Millisecond
	if img := add(t, r, ref, "linux/amd64"); !img.Stale {
		t.Error("not marked stale")
	}
}

func TestMissing(t *testing.T) {
	u := newUpstream(t)
	ref := u.push(t, "app:v1", newImage(t, 1000, 1, "linux/amd64"))
	r := newRegistry(t, Config{})
	add(t, r, ref, "linux/amd64")
	absent := newImage(t, 10, 1, "")
	for _, ref := range []string{u.host + "/app:v2", u.host + "/other:v1", u.host + "/app@" + digestString(t, absent)} {
		_, err := r.Add(t.Context(), ref, "linux/amd64")
		if !errors.Is(err, ErrNotFound) || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrUnauthorized) {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	r := newRegistry(t, Config{})
	_, err := r.Add(t.Context(), "127.0.0.1:1/app:v1", "linux/amd64")
	if !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestOtherPlatformIsLogged(t *testing.T) {
	u := newUpstream(t)
	ref := u.push(t, "app:v1", newImage(t, 1000, 1, "linux/amd64"))
	for platform, warned := range map[string]bool{"linux/arm64": true, "linux/amd64": false} {
		var log bytes.Buffer
		add(t, newRegistry(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}), ref, platform)
		if strings.Contains(log.String(), "image=linux/amd64 board="+platform) != warned {
			t.Errorf("%s: log %q", platform, log.String())
		}
	}
}

func TestEvents(t *testing.T) {
	u := newUpstream(t)
	want := newImage(t, 3<<20, 1, "linux/amd64")
	ref := u.push(t, "app:v1", want)
	var events []Event
	r := newRegistry(t, Config{Events: func(e Event) { events = append(events, e) }})
	img := add(t, r, ref, "linux/amd64")
	pull(t, r, img, want)

	r.events.Lock()
	defer r.events.Unlock()
	fetched, layer := 0, v1.Hash{}
	if layers, err := want.Layers(); err == nil {
		layer, _ = layers[0].Digest()
	}
	var last Event
	for _, e := range events {
		if e.Kind == Fetched && e.Digest == layer.String() {
			if e.Done <= last.Done || e.Done > e.Total || e.Ref != ref {
				t.Errorf("progress %+v after %+v", e, last)
			}
			last = e
			fetched++
		}
	}
	if fetched < 3 || last.Done != last.Total || last.Total < 3<<20 {
		t.Errorf("%d events of progress, the last is %+v", fetched, last)
	}
	for _, kind := range []EventKind{ServedManifest, ServedBlob} {
		i := slices.IndexFunc(events, func(e Event) bool { return e.Kind == kind && e.Done == e.Total })
		if i < 0 || events[i].Peer == "" || events[i].Path == "" || events[i].Total == 0 {
			t.Errorf("no complete %s in %+v", kind, events)
		}
	}
}
