package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

var (
	errStalled = errors.New("no data for too long")
	errSlow    = errors.New("no answer for too long")
	errNoHead  = errors.New("no digest in the answer to HEAD")
)

// upstream is a repository of another registry, after the login.
type upstream struct {
	repo   name.Repository
	client *http.Client
}

// dial logs in to a repository's registry.
func (r *Registry) dial(ctx context.Context, repo name.Repository) (*upstream, error) {
	auth, err := credentials(r.config.DockerConfigDir, repo)
	if err != nil {
		return nil, err
	}
	rt := transport.NewUserAgent(transport.NewRetry(r.rt, transport.WithRetryStatusCodes(http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout)), "b2c-runner")
	rt, err = transport.NewWithContext(ctx, repo.Registry, auth, rt, []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, err
	}
	return &upstream{repo: repo, client: &http.Client{Transport: rt, CheckRedirect: checkRedirect}}, nil
}

// checkRedirect keeps a registry on the internet from sending the runner to
// addresses of its own network.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	if private(req.URL) && !private(via[0].URL) {
		return fmt.Errorf("refused a redirect from %s to the private address %s", via[0].URL.Host, req.URL.Host)
	}
	return nil
}

func private(u *url.URL) bool {
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost")
	}
	addr = addr.Unmap()
	return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified()
}

func (u *upstream) do(ctx context.Context, method, kind, id string, header http.Header) (*http.Response, error) {
	to := url.URL{Scheme: u.repo.Scheme(), Host: u.repo.RegistryStr(), Path: "/v2/" + u.repo.RepositoryStr() + "/" + kind + "/" + id}
	req, err := http.NewRequestWithContext(ctx, method, to.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := u.client.Do(req)
	if err != nil {
		return nil, err
	}
	if err := transport.CheckError(resp, http.StatusOK, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

func accept() http.Header { return http.Header{"Accept": {strings.Join(manifestTypes, ", ")}} }

// head asks what a tag means. The error wraps errNoHead if the registry does not
// say without sending the manifest.
func (u *upstream) head(ctx context.Context, tag string) (descriptor, error) {
	resp, err := u.do(ctx, http.MethodHead, "manifests", tag, accept())
	if refused, ok := errors.AsType[*transport.Error](err); ok && refused.StatusCode == http.StatusMethodNotAllowed {
		return descriptor{}, errNoHead
	}
	if err != nil {
		return descriptor{}, err
	}
	resp.Body.Close()
	d := descriptor{
		MediaType: resp.Header.Get("Content-Type"),
		Digest:    digest(resp.Header.Get("Docker-Content-Digest")),
		Size:      resp.ContentLength,
	}
	if d.check(maxManifest) != nil {
		return descriptor{}, errNoHead
	}
	return d, nil
}

// get reads a manifest by tag or by digest, unverified.
func (u *upstream) get(ctx context.Context, id string) ([]byte, descriptor, error) {
	resp, err := u.do(ctx, http.MethodGet, "manifests", id, accept())
	if err != nil {
		return nil, descriptor{}, err
	}
	defer resp.Body.Close()
	raw, err := readSmall(resp.Body)
	if err != nil {
		return nil, descriptor{}, err
	}
	return raw, descriptor{MediaType: resp.Header.Get("Content-Type"), Digest: digestOf(raw), Size: int64(len(raw))}, nil
}

// blob opens a blob at an offset; from is where it really starts: the offset, or 0
// from a registry that knows no ranges.
func (u *upstream) blob(ctx context.Context, d digest, offset int64) (body io.ReadCloser, from int64, err error) {
	// Bytes as they are: a compressed transfer would not match the digest.
	header := http.Header{"Accept-Encoding": {"identity"}}
	if offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := u.do(ctx, http.MethodGet, "blobs", string(d), header)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return resp.Body, 0, nil
	case resp.StatusCode == http.StatusPartialContent && strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)):
		return resp.Body, offset, nil
	}
	resp.Body.Close()
	if offset > 0 {
		return u.blob(ctx, d, 0)
	}
	return nil, 0, fmt.Errorf("unexpected answer %s to a request for a whole blob", resp.Status)
}

// withStallLimit ends ctx when touch was not called for a while.
func withStallLimit(ctx context.Context, limit time.Duration) (_ context.Context, touch, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(errStalled) })
	return ctx, func() { timer.Reset(limit) }, func() { timer.Stop(); cancel(nil) }
}

// classify says which of the failures that callers tell apart err is, and what to
// do about it.
func classify(ctx context.Context, repo name.Repository, err error) error {
	host := repo.RegistryStr()
	if host == name.DefaultRegistry {
		host = "docker.io"
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, ok := errors.AsType[*credentialsError](err); ok {
		return err
	}
	if errors.Is(err, errDigest) {
		return fmt.Errorf("%s sent something else: %w", host, err)
	}
	refused, ok := errors.AsType[*transport.Error](err)
	if !ok {
		return fmt.Errorf("%w: %w (try: check this host's network, proxy and the name %s)", ErrUnreachable, err, host)
	}
	switch refused.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("%w: %w (try: check its name and tag)", ErrNotFound, err)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: %w (try: check its name, or docker login %s)", ErrUnauthorized, err, host)
	case http.StatusTooManyRequests:
		return fmt.Errorf("%w: it limits how often it is asked: %w (try: docker login %s, or later)", ErrUnreachable, err, host)
	}
	if refused.StatusCode >= 500 {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return err
}

// permanent reports whether trying again cannot help.
func permanent(err error) bool {
	refused, ok := errors.AsType[*transport.Error](err)
	return ok && refused.StatusCode < 500 && refused.StatusCode != http.StatusTooManyRequests
}
