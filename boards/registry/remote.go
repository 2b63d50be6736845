package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/sync/errgroup"
)

const (
	parallelFetches = 3
	maxFailures     = 4       // of one blob, without a byte between them
	reportEvery     = 1 << 20 // bytes between two events
)

// remote is an image of another registry, fetched through the cache.
type remote struct {
	registry *Registry
	original string // as the user wrote it
	ref      name.Reference
	key      string // under which the cache remembers it

	mu sync.Mutex
	up *upstream
}

func newRemote(r *Registry, original string, ref name.Reference, want platform) *remote {
	return &remote{registry: r, original: original, ref: ref, key: ref.Name() + " " + want.String()}
}

// upstream logs in once, when something is first needed from the other registry.
func (m *remote) upstream(ctx context.Context) (*upstream, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.up != nil {
		return m.up, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.registry.limits.resolve, errSlow)
	defer cancel()
	up, err := m.registry.dial(ctx, m.ref.Context())
	m.up = up
	return up, err
}

func (m *remote) classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return classify(ctx, m.ref.Context(), err)
}

func (m *remote) resolve(ctx context.Context, _ platform) (descriptor, error) {
	if byDigest, ok := m.ref.(name.Digest); ok {
		return descriptor{Digest: digest(byDigest.DigestStr()), Size: unknownSize}, nil
	}
	d, err := m.ask(ctx)
	return d, m.classify(ctx, err)
}

func (m *remote) ask(ctx context.Context) (descriptor, error) {
	up, err := m.upstream(ctx)
	if err != nil {
		return descriptor{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.registry.limits.resolve, errSlow)
	defer cancel()
	d, err := up.head(ctx, m.ref.Identifier())
	if errors.Is(err, errNoHead) {
		_, d, err = up.get(ctx, m.ref.Identifier())
	}
	return d, err
}

func (m *remote) manifest(ctx context.Context, d descriptor) ([]byte, error) {
	raw, err := m.registry.store.read(ctx, d)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return raw, err
	}
	raw, got, err := m.fetchManifest(ctx, d)
	if err != nil {
		return nil, m.classify(ctx, err)
	}
	return raw, m.registry.store.putBytes(ctx, got, raw)
}

func (m *remote) fetchManifest(ctx context.Context, d descriptor) ([]byte, descriptor, error) {
	up, err := m.upstream(ctx)
	if err != nil {
		return nil, descriptor{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.registry.limits.resolve, errSlow)
	defer cancel()
	raw, got, err := up.get(ctx, string(d.Digest))
	if err == nil && got.Digest != d.Digest {
		err = fmt.Errorf("%w: manifest %s, got %s", errDigest, d.Digest, got.Digest)
	}
	return raw, got, err
}

func (m *remote) blobs(ctx context.Context, ds []descriptor) ([]blob, error) {
	missing, err := m.registry.store.missing(ctx, ds)
	if err != nil {
		return nil, err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallelFetches)
	for _, d := range missing {
		group.Go(func() error { return m.fetch(groupCtx, d) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return m.registry.store.blobs(ctx, ds)
}

// fetch downloads a blob into the cache. A download that breaks off is resumed, now
// or by the next run.
func (m *remote) fetch(ctx context.Context, d descriptor) error {
	p, err := m.registry.store.begin(ctx, d)
	if p == nil || err != nil {
		return err
	}
	defer p.close()
	clean := p.size == 0
	wait := m.registry.limits.backoff
	for failures := 0; ; {
		before := p.size
		err := m.copy(ctx, p)
		if err == nil {
			err = p.commit(ctx)
		}
		if err == nil || p.done {
			return err
		}
		if cacheErr, ok := errors.AsType[*cacheError](err); ok {
			return cacheErr
		}
		switch {
		case errors.Is(err, errDigest) && !clean:
			// What was there before may have been to blame.
			if err := p.restart(); err != nil {
				return err
			}
			clean = true
			continue
		case errors.Is(err, errDigest), permanent(err):
			failures = maxFailures
		case p.size > before:
			failures, wait = 1, m.registry.limits.backoff
		default:
			failures++
		}
		if failures >= maxFailures || ctx.Err() != nil {
			return m.classify(ctx, err)
		}
		m.registry.logger.Debug("download broke off", "blob", string(d.Digest), "at", p.size, "of", d.Size, "reason", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait *= 2
	}
}

// copy appends to p what is missing, in one request.
func (m *remote) copy(ctx context.Context, p *partial) error {
	if p.size > 0 && p.size == p.want.Size {
		return nil
	}
	up, err := m.upstream(ctx)
	if err != nil {
		return err
	}
	ctx, touch, stop := withStallLimit(ctx, m.registry.limits.stall)
	defer stop()
	body, from, err := up.blob(ctx, p.want.Digest, p.size)
	if err != nil {
		return cause(ctx, err)
	}
	defer body.Close()
	if from != p.size {
		if err := p.restart(); err != nil {
			return err
		}
	}
	reported := p.size
	buf := make([]byte, 64<<10)
	for p.size < p.want.Size {
		n, err := body.Read(buf)
		touch()
		if _, err := p.Write(buf[:n]); err != nil {
			return err
		}
		if p.size-reported >= reportEvery || n > 0 && p.size == p.want.Size {
			reported = p.size
			m.registry.emit(Event{Kind: Fetched, Ref: m.original, Digest: string(p.want.Digest), Done: p.size, Total: p.want.Size})
		}
		if err == io.EOF && p.size < p.want.Size {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && err != io.EOF {
			return cause(ctx, err)
		}
	}
	return nil
}

// cause replaces "context canceled" by the reason.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// remember notes what a tag means, for when the other registry is out of reach.
func (m *remote) remember(top descriptor) error {
	if _, ok := m.ref.(name.Tag); !ok {
		return nil
	}
	return m.registry.store.remember(m.key, top)
}

// offline is the same image, from the cache alone.
func (m *remote) offline() source { return cached{m} }

type cached struct{ *remote }

func (c cached) resolve(ctx context.Context, want platform) (descriptor, error) {
	if _, ok := c.ref.(name.Digest); ok {
		return c.remote.resolve(ctx, want)
	}
	if d, ok := c.registry.store.recall(c.key); ok {
		return d, nil
	}
	return descriptor{}, fs.ErrNotExist
}

func (c cached) manifest(ctx context.Context, d descriptor) ([]byte, error) {
	return c.registry.store.read(ctx, d)
}

func (c cached) blobs(ctx context.Context, ds []descriptor) ([]blob, error) {
	return c.registry.store.blobs(ctx, ds)
}
