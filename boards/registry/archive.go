package registry

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/klauspost/compress/zstd"
)

// maxArchive bounds what an archive may unpack to, in bytes.
const maxArchive = 256 << 30

// errEnough ends a scan before the archive's end.
var errEnough = errors.New("enough")

// archive is a tar file, plain or compressed with gzip or zstd.
type archive string

// entry is a plain file of an archive.
type entry struct {
	name string // cleaned: no leading "./"
	size int64
	body io.Reader
}

// open returns the uncompressed tar.
func (a archive) open() (io.ReadCloser, error) {
	f, err := os.OpenFile(string(a), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("failed to open archive %q: not a plain file (try: oci:DIR for a directory)", string(a))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	magic := make([]byte, 4)
	n, err := f.ReadAt(magic, 0)
	if err != nil && err != io.EOF {
		f.Close()
		return nil, err
	}
	switch magic = magic[:n]; {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}): // RFC 1952, section 2.3.1
		unpacked, err := gzip.NewReader(bufio.NewReader(f))
		if err != nil {
			f.Close()
			return nil, err
		}
		return unpacking{io.LimitReader(unpacked, maxArchive), func() error { return errors.Join(unpacked.Close(), f.Close()) }}, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878, section 3.1.1
		unpacked, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
		if err != nil {
			f.Close()
			return nil, err
		}
		return unpacking{io.LimitReader(unpacked, maxArchive), func() error { unpacked.Close(); return f.Close() }}, nil
	}
	return f, nil
}

type unpacking struct {
	io.Reader
	close func() error
}

func (u unpacking) Close() error { return u.close() }

// scan calls do for each plain file until it returns an error; errEnough is none.
func (a archive) scan(ctx context.Context, do func(entry) error) error {
	f, err := a.open()
	if err != nil {
		return err
	}
	defer f.Close()
	// Passed as it is, a plain file lets tar seek over what nobody wants.
	in := tar.NewReader(f)
	for {
		header, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("failed to read archive %q: %w", string(a), err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		err = do(entry{path.Clean(header.Name), header.Size, in})
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("failed to read archive %q: %w", string(a), err)
		}
	}
}

// read returns a small file of the archive.
func (a archive) read(ctx context.Context, name string) (b []byte, err error) {
	found := false
	err = a.scan(ctx, func(e entry) error {
		if e.name != name {
			return nil
		}
		found = true
		if b, err = readSmall(e.body); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return errEnough
	})
	if err == nil && !found {
		err = fmt.Errorf("failed to read archive %q: %s: %w", string(a), name, fs.ErrNotExist)
	}
	return b, err
}

// ociArchive is a tar file of an OCI layout, unpacked into the cache as needed.
type ociArchive struct {
	store   *store
	archive archive
	tag     string
}

func openOCIArchive(s *store, ref string) (source, served, error) {
	path, tag, err := splitPath(ref)
	if err != nil {
		return nil, served{}, err
	}
	return ociArchive{s, archive(path), tag}, localName(path, tag), nil
}

func (o ociArchive) resolve(ctx context.Context, want platform) (descriptor, error) {
	raw, err := o.archive.read(ctx, "index.json")
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w (try: docker-archive:%s)", err, string(o.archive))
	}
	if err != nil {
		return descriptor{}, err
	}
	return pick(raw, o.tag, want)
}

func (o ociArchive) manifest(ctx context.Context, d descriptor) ([]byte, error) {
	raw, err := o.store.read(ctx, d)
	if !errors.Is(err, fs.ErrNotExist) {
		return raw, err
	}
	if raw, err = o.archive.read(ctx, blobName(d.Digest)); err != nil {
		return nil, err
	}
	return raw, o.store.putBytes(ctx, descriptor{Digest: d.Digest, Size: int64(len(raw))}, raw)
}

func (o ociArchive) blobs(ctx context.Context, ds []descriptor) ([]blob, error) {
	missing, err := o.store.missing(ctx, ds)
	if err != nil {
		return nil, err
	}
	wanted := map[string]descriptor{}
	for _, d := range missing {
		wanted[blobName(d.Digest)] = d
	}
	err = o.archive.scan(ctx, func(e entry) error {
		d, ok := wanted[e.name]
		if !ok {
			return nil
		}
		delete(wanted, e.name)
		if err := o.store.put(ctx, d, e.body); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		if len(wanted) == 0 {
			return errEnough
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for name := range wanted {
		return nil, fmt.Errorf("failed to read archive %q: %s is not in it", string(o.archive), name)
	}
	return o.store.blobs(ctx, ds)
}
