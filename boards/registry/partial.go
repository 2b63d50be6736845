package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// errDigest means that bytes are not what their digest promised.
var errDigest = errors.New("content does not match its digest")

// partial is a blob on its way into the cache. Its file is locked: of all who want
// the same blob, in this process or another, one fetches and the others wait.
type partial struct {
	store *store
	want  descriptor
	name  string
	file  *os.File
	sum   hash.Hash
	size  int64 // bytes so far
	done  bool
}

// begin starts or resumes a blob. It returns nil if the blob is in the cache and
// held, possibly because somebody else has fetched it while begin waited.
func (s *store) begin(ctx context.Context, d descriptor) (*partial, error) {
	p := &partial{store: s, want: d, name: partialDir + "/" + d.Digest.hex(), sum: sha256.New()}
	for {
		f, err := s.root.OpenFile(p.name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, s.failed(err)
		}
		err = tryLock(f, syscall.LOCK_EX)
		if err == nil && s.names(p.name, f) {
			p.file = f
			break
		}
		f.Close()
		if err != nil && !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, err
		}
		// Opened anew each time: a finished download takes its file, and the lock, away.
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
	err := s.hold(ctx, d)
	if err == nil {
		p.close()
		return nil, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		p.close()
		return nil, err
	}
	if p.size, err = io.Copy(p.sum, contextReader{ctx, p.file}); err != nil {
		p.close()
		return nil, s.failed(err)
	}
	if p.size > d.Size {
		if err := p.restart(); err != nil {
			p.close()
			return nil, err
		}
	}
	return p, nil
}

// names reports whether name is still the file f, which others may have renamed or
// removed before it was locked.
func (s *store) names(name string, f *os.File) bool {
	named, err := s.root.Stat(name)
	if err != nil {
		return false
	}
	opened, err := f.Stat()
	return err == nil && os.SameFile(named, opened)
}

// Write appends to the blob. It refuses more than the blob's size, and gives the
// space back when the disk is full.
func (p *partial) Write(b []byte) (int, error) {
	if p.size+int64(len(b)) > p.want.Size {
		return 0, fmt.Errorf("%w: more than the %d bytes of %s", errDigest, p.want.Size, p.want.Digest)
	}
	n, err := p.file.Write(b)
	p.sum.Write(b[:n])
	p.size += int64(n)
	if err != nil {
		_ = p.restart()
		return n, p.store.failed(err)
	}
	return n, nil
}

// restart forgets the bytes so far.
func (p *partial) restart() error {
	p.sum.Reset()
	p.size = 0
	if err := p.file.Truncate(0); err != nil {
		return p.store.failed(err)
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return p.store.failed(err)
	}
	return nil
}

// commit verifies the blob, gives it its place and holds it. After an error that
// wraps errDigest the bytes are gone.
func (p *partial) commit(ctx context.Context) error {
	if got := digest("sha256:" + hex.EncodeToString(p.sum.Sum(nil))); got != p.want.Digest {
		err := fmt.Errorf("%w: expected %s, got %s (%d of %d bytes)", errDigest, p.want.Digest, got, p.size, p.want.Size)
		return errors.Join(err, p.restart())
	}
	if err := p.file.Sync(); err != nil {
		return p.store.failed(err)
	}
	// From the rename on, hold would wait for the exclusive lock of this file.
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	if err := p.store.root.Rename(p.name, blobName(p.want.Digest)); err != nil {
		return p.store.failed(err)
	}
	p.done = true
	if old := p.store.held[p.want.Digest]; old != nil {
		old.Close()
	}
	return p.store.keep(ctx, p.want, p.file)
}

// close unlocks the blob if it was not committed. What has come so far stays for
// the next begin.
func (p *partial) close() {
	if p.done {
		return
	}
	if p.size == 0 {
		_ = p.store.root.Remove(p.name)
	}
	p.file.Close()
}

// cacheError is an error of the cache's file system.
type cacheError struct {
	dir string
	err error
}

func (e *cacheError) Error() string {
	advice := ""
	if errors.Is(e.err, syscall.ENOSPC) || errors.Is(e.err, syscall.EDQUOT) {
		advice = " (try: free some space, or choose another directory)"
	}
	return fmt.Sprintf("failed to write to the image cache in %q: %v%s", e.dir, e.err, advice)
}

func (e *cacheError) Unwrap() error { return e.err }

func (s *store) failed(err error) error { return &cacheError{s.dir, err} }
