// Package registry is where boards pull their containers from: a read-only
// registry over plain HTTP that serves the images a run has added, and nothing
// else. Images come from other registries, with this host's credentials and
// through a cache on disk, or from OCI and docker archives.
package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Config of a Registry. Only CacheDir is needed.
type Config struct {
	// CacheDir holds blobs by digest. Processes may share it.
	CacheDir string
	// DockerConfigDir holds the credentials for other registries: docker's
	// config.json or podman's auth.json. Empty: pull anonymously.
	DockerConfigDir string
	// Transport reaches other registries; nil means net/http's defaults.
	Transport http.RoundTripper
	// Logger may be nil.
	Logger *slog.Logger
	// Events hears of transfers, one call at a time; it must not block. May be nil.
	Events func(Event)
}

// EventKind says what an Event is about.
type EventKind string

// The kinds of events.
const (
	Fetched        EventKind = "fetched"         // part of a blob came from another registry
	ServedManifest EventKind = "served-manifest" // a client was answered with a manifest
	ServedBlob     EventKind = "served-blob"     // a client was answered with a blob or a part of one
)

// Event is a transfer, to the runner or from it. A served answer may have no body:
// to HEAD, or because the client has it already.
type Event struct {
	Kind   EventKind
	Ref    string // Fetched: the reference given to Add
	Path   string // Served…: the URL's path
	Peer   string // Served…: the client's address
	Digest string // "sha256:" and 64 hexadecimal digits
	Done   int64  // bytes so far; of a served answer: its body
	Total  int64  // bytes of the whole manifest or blob
}

// Image is an image that boards can pull.
type Image struct {
	Ref    string // as given to Add
	Path   string // what to put after "HOST/": "library/alpine:latest"
	Digest string // of the manifest that a board pulls: "sha256:…"
	Size   int64  // bytes of the manifest, the configuration and all layers
	Stale  bool   // the other registry was out of reach, this is the copy of last time
}

// Failures that callers tell apart. Anything else that Add returns is the
// runner's own trouble, such as a full disk.
var (
	ErrName         = errors.New("bad image name")
	ErrNotFound     = errors.New("image does not exist")
	ErrUnreachable  = errors.New("registry is out of reach")
	ErrUnauthorized = errors.New("registry refuses access")
)

// Registry is a registry. Its methods may be called from several goroutines.
type Registry struct {
	config Config
	logger *slog.Logger
	store  *store
	rt     http.RoundTripper
	limits limits

	events sync.Mutex // serialises Config.Events

	mu    sync.RWMutex
	repos map[string]*repository
}

// limits are how patient the registry is with other registries.
type limits struct {
	resolve time.Duration // asking what a tag means
	stall   time.Duration // a download without a byte
	backoff time.Duration // before the second attempt of a download; doubles with each failure
}

// New opens the cache and returns a registry that serves no image yet.
func New(config Config) (*Registry, error) {
	s, err := openStore(config.CacheDir)
	if err != nil {
		return nil, err
	}
	r := &Registry{
		config: config,
		logger: config.Logger,
		store:  s,
		rt:     config.Transport,
		limits: limits{resolve: 15 * time.Second, stall: 30 * time.Second, backoff: 200 * time.Millisecond},
		repos:  map[string]*repository{},
	}
	if r.logger == nil {
		r.logger = slog.New(slog.DiscardHandler)
	}
	if r.rt == nil {
		r.rt = http.DefaultTransport.(*http.Transport).Clone()
	}
	return r, nil
}

// Close stops serving and lets Prune, of any process, remove the images' blobs.
func (r *Registry) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.repos)
	if t, ok := r.rt.(*http.Transport); ok && r.config.Transport == nil {
		t.CloseIdleConnections()
	}
	return r.store.close()
}

// Add makes an image available to boards, down to its last byte. The reference is
// a name ("alpine", "ghcr.io/org/image:tag", "…@sha256:…"), "oci:DIR[:TAG]",
// "oci-archive:FILE[:TAG]" or "docker-archive:FILE[:REF]"; the platform, "linux/arm64"
// or "linux/arm/v7", chooses from an image that has several. Relative paths start
// in the working directory.
//
// Blobs that are in the cache are not fetched again. When the other registry
// cannot be reached, the image of last time is used and marked Stale.
func (r *Registry) Add(ctx context.Context, ref, platform string) (Image, error) {
	img, err := r.add(ctx, ref, platform)
	if err != nil {
		return Image{}, fmt.Errorf("failed to add image %q: %w", ref, err)
	}
	return img, nil
}

func (r *Registry) add(ctx context.Context, ref, platformName string) (Image, error) {
	want, err := parsePlatform(platformName)
	if err != nil {
		return Image{}, err
	}
	src, name, err := r.open(ref, want)
	if err != nil {
		return Image{}, err
	}
	c, err := load(ctx, src, want)
	stale := false
	if pulled, ok := src.(*remote); ok && errors.Is(err, ErrUnreachable) && ctx.Err() == nil {
		if cached, cacheErr := load(ctx, pulled.offline(), want); cacheErr == nil {
			r.logger.Warn("using the cached image", "ref", ref, "digest", string(cached.digest), "reason", err)
			c, stale, err = cached, true, nil
		}
	}
	if err != nil {
		return Image{}, err
	}
	if has, ok := c.platform(); ok && has.rank(want) < 0 {
		r.logger.Warn("the image is made for another platform", "ref", ref, "image", has.String(), "board", want.String())
	}
	if pulled, ok := src.(*remote); ok && !stale {
		if err := pulled.remember(c.top); err != nil {
			return Image{}, err
		}
	}
	return Image{
		Ref:    ref,
		Path:   r.publish(name, c),
		Digest: string(c.digest),
		Size:   c.size(),
		Stale:  stale,
	}, nil
}

func (r *Registry) emit(e Event) {
	if r.config.Events == nil {
		return
	}
	r.events.Lock()
	defer r.events.Unlock()
	r.config.Events(e)
}
