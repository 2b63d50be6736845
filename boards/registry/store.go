package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// The cache's directories.
const (
	blobDir    = "blobs/sha256" // by digest, complete and verified
	partialDir = "partial"      // by digest, downloads under way or broken off
	refDir     = "refs"         // what references meant when their image was last complete
)

// store is the cache on disk. Any number of processes use it at once: a blob
// appears by a rename, whoever needs a blob holds a shared lock on its file, and
// only who gets an exclusive lock removes one. The kernel drops the locks of a
// process that dies.
type store struct {
	dir  string
	root *os.Root

	mu   sync.Mutex
	held map[digest]*os.File
}

// blob is a file that is served: of the cache, or of an OCI directory.
type blob struct {
	dir    string // nothing outside of it is ever opened
	name   string
	digest digest
	size   int64
}

func (b blob) open() (*os.File, error) {
	root, err := os.OpenRoot(b.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return openRegular(root, b.name)
}

func openStore(dir string) (*store, error) {
	if dir == "" {
		return nil, errors.New("failed to open image cache: no directory given")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("failed to open image cache: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("failed to create image cache: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("failed to open image cache: %w", err)
	}
	for _, sub := range []string{blobDir, partialDir, refDir} {
		if err := root.MkdirAll(sub, 0o700); err != nil {
			root.Close()
			return nil, fmt.Errorf("failed to create image cache in %q: %w", dir, err)
		}
	}
	return &store{dir: dir, root: root, held: map[digest]*os.File{}}, nil
}

func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.held {
		f.Close()
	}
	clear(s.held)
	return s.root.Close()
}

func blobName(d digest) string { return blobDir + "/" + d.hex() }

// hold keeps a cached blob from being pruned until the store is closed, and marks
// it as used. The error wraps fs.ErrNotExist when the cache has no such blob.
func (s *store) hold(ctx context.Context, d descriptor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.held[d.Digest]
	if f == nil {
		var err error
		if f, err = openRegular(s.root, blobName(d.Digest)); err != nil {
			return err
		}
	}
	return s.keep(ctx, d, f)
}

// keep holds the blob that f is. The lock that f may have becomes a shared one.
func (s *store) keep(ctx context.Context, d descriptor, f *os.File) error {
	err := lock(ctx, f, syscall.LOCK_SH)
	var info fs.FileInfo
	if err == nil {
		info, err = f.Stat()
	}
	if err == nil && (!linked(info) || d.Size != unknownSize && info.Size() != d.Size) {
		err = fmt.Errorf("blob %s: %w", d.Digest, fs.ErrNotExist)
	}
	if err != nil {
		f.Close()
		delete(s.held, d.Digest)
		return err
	}
	s.held[d.Digest] = f
	now := time.Now()
	// The cache of another user can be read without being ours to touch.
	_ = s.root.Chtimes(blobName(d.Digest), now, now)
	return nil
}

// missing holds the blobs that are in the cache and returns the others.
func (s *store) missing(ctx context.Context, ds []descriptor) ([]descriptor, error) {
	var missing []descriptor
	for _, d := range ds {
		err := s.hold(ctx, d)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, d)
		} else if err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// blobs holds and returns what ds points at; all of it must be in the cache.
func (s *store) blobs(ctx context.Context, ds []descriptor) ([]blob, error) {
	var blobs []blob
	for _, d := range ds {
		if err := s.hold(ctx, d); err != nil {
			return nil, err
		}
		blobs = append(blobs, blob{dir: s.dir, name: blobName(d.Digest), digest: d.Digest, size: d.Size})
	}
	return blobs, nil
}

// read holds a small blob and returns it, verified. A blob that went bad on the
// disk counts as missing.
func (s *store) read(ctx context.Context, d descriptor) ([]byte, error) {
	if err := s.hold(ctx, d); err != nil {
		return nil, err
	}
	b, err := s.readSmall(blobName(d.Digest))
	if err == nil && digestOf(b) != d.Digest {
		err = fmt.Errorf("blob %s is damaged: %w", d.Digest, fs.ErrNotExist)
		s.discard(d.Digest)
	}
	return b, err
}

func (s *store) discard(d digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.held[d]; f != nil {
		f.Close()
		delete(s.held, d)
	}
	_ = s.root.Remove(blobName(d))
}

// put stores and holds what r yields, unless it is there already.
func (s *store) put(ctx context.Context, d descriptor, r io.Reader) error {
	p, err := s.begin(ctx, d)
	if p == nil || err != nil {
		return err
	}
	defer p.close()
	if err := p.restart(); err != nil {
		return err
	}
	if _, err := io.Copy(p, contextReader{ctx, r}); err != nil {
		return err
	}
	return p.commit(ctx)
}

func (s *store) putBytes(ctx context.Context, d descriptor, b []byte) error {
	return s.put(ctx, d, bytes.NewReader(b))
}
