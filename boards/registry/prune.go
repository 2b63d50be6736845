package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Prune removes what has not been used for longest until the cache has at most
// maxBytes, and returns how many bytes it freed. Images that this or another
// process serves or fetches right now stay, so the cache may remain larger.
func (r *Registry) Prune(maxBytes int64) (freed int64, err error) {
	return r.store.prune(maxBytes)
}

type cachedFile struct {
	name string
	size int64
	used time.Time
}

func (s *store) prune(maxBytes int64) (freed int64, err error) {
	files, err := s.files(blobDir, partialDir)
	if err != nil {
		return 0, err
	}
	var total int64
	for _, f := range files {
		total += f.size
	}
	slices.SortFunc(files, func(a, b cachedFile) int { return a.used.Compare(b.used) })
	for _, f := range files {
		if total-freed <= maxBytes {
			break
		}
		removed, err := s.removeUnused(f.name)
		if err != nil {
			return freed, err
		}
		if removed {
			freed += f.size
		}
	}
	return freed, s.pruneRefs()
}

func (s *store) files(dirs ...string) ([]cachedFile, error) {
	var files []cachedFile
	for _, dir := range dirs {
		entries, err := fs.ReadDir(s.root.FS(), dir)
		if err != nil {
			return nil, fmt.Errorf("failed to list the image cache in %q: %w", s.dir, err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("failed to list the image cache in %q: %w", s.dir, err)
			}
			files = append(files, cachedFile{name: dir + "/" + e.Name(), size: info.Size(), used: info.ModTime()})
		}
	}
	return files, nil
}

func (s *store) removeUnused(name string) (removed bool, err error) {
	f, err := s.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("failed to prune the image cache in %q: %w", s.dir, err)
	}
	defer f.Close()
	if err := tryLock(f, syscall.LOCK_EX); errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if !s.names(name, f) {
		return false, nil
	}
	if err := s.root.Remove(name); err != nil {
		return false, fmt.Errorf("failed to prune the image cache in %q: %w", s.dir, err)
	}
	return true, nil
}

// pruneRefs forgets references whose manifest is gone.
func (s *store) pruneRefs() error {
	files, err := s.files(refDir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if !strings.HasSuffix(f.name, refSuffix) && time.Since(f.used) < time.Hour {
			continue // another process is writing it
		}
		if d, ok := s.readRef(f.name); ok {
			if _, err := s.root.Stat(blobName(d.Digest)); err == nil {
				continue
			}
		}
		if err := s.root.Remove(f.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("failed to prune the image cache in %q: %w", s.dir, err)
		}
	}
	return nil
}
