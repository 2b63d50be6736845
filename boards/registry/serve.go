package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// repository is what boards can ask for under one name.
type repository struct {
	tags      map[string]digest
	manifests map[digest]manifest
	blobs     map[digest]blob
}

type manifest struct {
	mediaType string
	raw       []byte
}

// publish makes an image available and returns its path. A tag that was given out
// keeps its meaning: if it means something else by now, or on another platform, the
// path names the digest instead.
func (r *Registry) publish(name served, c content) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	repo := r.repos[name.repo]
	if repo == nil {
		repo = &repository{map[string]digest{}, map[digest]manifest{}, map[digest]blob{}}
		r.repos[name.repo] = repo
	}
	repo.manifests[c.digest] = manifest{c.mediaType, c.raw}
	for _, b := range c.blobs {
		repo.blobs[b.digest] = b
	}
	if taken, ok := repo.tags[name.tag]; name.tag == "" || ok && taken != c.digest {
		return name.repo + "@" + string(c.digest)
	}
	repo.tags[name.tag] = c.digest
	return name.repo + ":" + name.tag
}

// target is what a request asks for.
type target struct {
	repo string
	kind string // "manifests" or "blobs"; empty: does the API exist
	id   string // a digest; of a manifest, also a tag
}

// parsePath reads the path of a request (OCI distribution-spec v1.1, "Endpoints").
// The error's code is one of the specification.
func parsePath(path string) (target, *apiError) {
	if path == "/v2/" || path == "/v2" {
		return target{}, nil
	}
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok || len(rest) > 512 {
		return target{}, &apiError{http.StatusNotFound, "NAME_UNKNOWN", "no such endpoint"}
	}
	end := strings.LastIndexByte(rest, '/')
	if end < 0 {
		return target{}, &apiError{http.StatusNotFound, "NAME_UNKNOWN", "no such endpoint"}
	}
	t := target{repo: rest[:end], id: rest[end+1:]}
	for _, kind := range []string{"manifests", "blobs"} {
		if repo, ok := strings.CutSuffix(t.repo, "/"+kind); ok {
			t.repo, t.kind = repo, kind
			break
		}
	}
	switch {
	case t.kind == "":
		return target{}, &apiError{http.StatusNotFound, "UNSUPPORTED", "only manifests and blobs are served"}
	case len(t.repo) > 255 || !repoPattern.MatchString(t.repo):
		return target{}, &apiError{http.StatusBadRequest, "NAME_INVALID", "invalid repository name"}
	case digest(t.id).valid():
		return t, nil
	case t.kind == "blobs" || !tagPattern.MatchString(t.id):
		return target{}, &apiError{http.StatusBadRequest, "DIGEST_INVALID", "invalid digest or tag"}
	}
	return t, nil
}

// apiError is an answer of the specification's error form.
type apiError struct {
	status        int
	code, message string
}

func (e *apiError) write(w http.ResponseWriter) {
	body, err := json.Marshal(map[string]any{"errors": []map[string]string{{"code": e.code, "message": e.message}}})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	_, _ = w.Write(body)
}

// ServeHTTP answers the pull half of the OCI distribution API. It belongs at /v2/.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	counted := &countingWriter{ResponseWriter: w}
	event, failure := r.serve(counted, req)
	if failure != nil {
		r.logger.Debug("registry request refused", "method", req.Method, "path", req.URL.Path, "peer", req.RemoteAddr, "reason", failure.message)
		failure.write(w)
		return
	}
	if event.Kind != "" {
		event.Path, event.Peer, event.Done = req.URL.Path, req.RemoteAddr, counted.n
		r.emit(event)
	}
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) (Event, *apiError) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return Event{}, &apiError{http.StatusMethodNotAllowed, "UNSUPPORTED", "this registry is read-only"}
	}
	t, failure := parsePath(req.URL.Path)
	if failure != nil {
		return Event{}, failure
	}
	switch t.kind {
	case "manifests":
		return r.serveManifest(w, req, t)
	case "blobs":
		return r.serveBlob(w, req, t)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}")
	return Event{}, nil
}

func (r *Registry) serveManifest(w http.ResponseWriter, req *http.Request, t target) (Event, *apiError) {
	r.mu.RLock()
	d := digest(t.id)
	var m manifest
	repo, ok := r.repos[t.repo]
	if ok {
		if !d.valid() {
			d = repo.tags[t.id]
		}
		m, ok = repo.manifests[d]
	}
	r.mu.RUnlock()
	if !ok {
		return Event{}, &apiError{http.StatusNotFound, "MANIFEST_UNKNOWN", "this run has no such image"}
	}
	setContent(w, m.mediaType, d)
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(m.raw))
	return Event{Kind: ServedManifest, Digest: string(d), Total: int64(len(m.raw))}, nil
}

func (r *Registry) serveBlob(w http.ResponseWriter, req *http.Request, t target) (Event, *apiError) {
	r.mu.RLock()
	var b blob
	repo, ok := r.repos[t.repo]
	if ok {
		b, ok = repo.blobs[digest(t.id)]
	}
	r.mu.RUnlock()
	if !ok {
		return Event{}, &apiError{http.StatusNotFound, "BLOB_UNKNOWN", "this run has no such blob"}
	}
	f, err := b.open()
	if err != nil {
		r.logger.Error("failed to open a blob", "digest", string(b.digest), "error", err)
		return Event{}, &apiError{http.StatusInternalServerError, "UNKNOWN", "the blob cannot be read"}
	}
	defer f.Close()
	setContent(w, "application/octet-stream", b.digest)
	http.ServeContent(w, req, "", time.Time{}, f)
	return Event{Kind: ServedBlob, Digest: string(b.digest), Total: b.size}, nil
}

func setContent(w http.ResponseWriter, mediaType string, d digest) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Docker-Content-Digest", string(d))
	w.Header().Set("Etag", fmt.Sprintf("%q", string(d)))
}

// countingWriter counts the bytes of an answer's body. It hands files on, for the
// kernel to send them.
type countingWriter struct {
	http.ResponseWriter
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom.
func (c *countingWriter) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(c.ResponseWriter, r)
	c.n += n
	return n, err
}
