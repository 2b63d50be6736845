package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// dockerArchive is a file that docker save wrote. It has no manifest as registries
// have them and its layers are not compressed: both are made once, into the cache.
type dockerArchive struct {
	store   *store
	archive archive
	ref     *name.Tag // nil: the only image
	key     string    // of this very file, under which the cache remembers its manifest
}

func openDockerArchive(s *store, ref string) (source, served, error) {
	path, tag, err := splitPath(ref)
	if err != nil {
		return nil, served{}, err
	}
	d := dockerArchive{store: s, archive: archive(path)}
	info, err := os.Stat(path)
	if err != nil {
		return nil, served{}, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, served{}, err
	}
	d.key = fmt.Sprintf("docker-archive:%s:%s size %d mtime %d", abs, tag, info.Size(), info.ModTime().UnixNano())
	if tag != "" {
		parsed, err := name.NewTag(tag)
		if err != nil {
			return nil, served{}, fmt.Errorf("%w: %w", ErrName, err)
		}
		d.ref = &parsed
	}
	return d, localName(path, tag), nil
}

func (a dockerArchive) resolve(ctx context.Context, _ platform) (descriptor, error) {
	if d, ok := a.store.recall(a.key); ok && a.complete(ctx, d) {
		return d, nil
	}
	return a.convert(ctx)
}

// complete reports whether the cache has all of an image.
func (a dockerArchive) complete(ctx context.Context, top descriptor) bool {
	raw, err := a.store.read(ctx, top)
	if err != nil {
		return false
	}
	doc, err := parseManifest(raw)
	if err != nil || doc.isIndex() {
		return false
	}
	missing, err := a.store.missing(ctx, doc.content())
	return err == nil && len(missing) == 0
}

func (a dockerArchive) manifest(ctx context.Context, d descriptor) ([]byte, error) {
	return a.store.read(ctx, d)
}

func (a dockerArchive) blobs(ctx context.Context, ds []descriptor) ([]blob, error) {
	return a.store.blobs(ctx, ds)
}

// convert stores the image in the cache and returns its manifest.
func (a dockerArchive) convert(ctx context.Context) (top descriptor, err error) {
	// The library parses what the archive's author chose.
	defer func() {
		if p := recover(); p != nil {
			top, err = descriptor{}, fmt.Errorf("failed to read archive %q: %v", string(a.archive), p)
		}
	}()
	if err := a.check(ctx); err != nil {
		return descriptor{}, err
	}
	img, err := tarball.Image(func() (io.ReadCloser, error) { return a.open(ctx) }, a.ref)
	if err != nil {
		return descriptor{}, fmt.Errorf("failed to read archive %q: %w", string(a.archive), err)
	}
	if top, err = a.keep(ctx, img); err != nil {
		return descriptor{}, fmt.Errorf("failed to convert archive %q: %w", string(a.archive), err)
	}
	return top, a.store.remember(a.key, top)
}

// open is archive.open, ending with the context.
func (a dockerArchive) open(ctx context.Context) (io.ReadCloser, error) {
	f, err := a.archive.open()
	if err != nil {
		return nil, err
	}
	return unpacking{contextReader{ctx, f}, f.Close}, nil
}

// check reads the archive's manifest.json, which the library would read without
// bounds, and finds the image in it.
func (a dockerArchive) check(ctx context.Context) error {
	raw, err := a.archive.read(ctx, "manifest.json")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w (try: oci-archive:%s)", err, string(a.archive))
	}
	if err != nil {
		return err
	}
	var images tarball.Manifest
	if err := json.Unmarshal(raw, &images); err != nil {
		return fmt.Errorf("failed to read archive %q: manifest.json: %w", string(a.archive), err)
	}
	var tags []string
	found := a.ref == nil && len(images) == 1
	configs := map[string]bool{}
	for _, img := range images {
		configs[path.Clean(img.Config)] = true
		tags = append(tags, img.RepoTags...)
		for _, tag := range img.RepoTags {
			parsed, err := name.NewTag(tag)
			found = found || err == nil && a.ref != nil && parsed.Name() == a.ref.Name()
		}
		if len(img.Layers) > maxLayers {
			return fmt.Errorf("failed to read archive %q: more than %d layers", string(a.archive), maxLayers)
		}
	}
	switch {
	case a.ref != nil && !found:
		return fmt.Errorf("%w: no %s in archive %q, only %s", ErrNotFound, a.ref, string(a.archive), strings.Join(tags, ", "))
	case !found:
		return fmt.Errorf("%w: archive %q has %d images (try: docker-archive:%s:REF with REF one of %s)",
			ErrNotFound, string(a.archive), len(images), string(a.archive), strings.Join(tags, ", "))
	}
	return a.archive.scan(ctx, func(e entry) error {
		if configs[e.name] && e.size > maxManifest {
			return fmt.Errorf("%s is larger than %d bytes", e.name, maxManifest)
		}
		return nil
	})
}

func (a dockerArchive) keep(ctx context.Context, img v1.Image) (descriptor, error) {
	raw, err := img.RawManifest()
	if err != nil {
		return descriptor{}, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return descriptor{}, err
	}
	layers, err := img.Layers()
	if err != nil {
		return descriptor{}, err
	}
	for _, layer := range layers {
		if err := a.keepLayer(ctx, layer); err != nil {
			return descriptor{}, err
		}
	}
	for _, b := range [][]byte{config, raw} {
		if err := a.store.put(ctx, descriptor{Digest: digestOf(b), Size: int64(len(b))}, bytes.NewReader(b)); err != nil {
			return descriptor{}, err
		}
	}
	return descriptor{MediaType: dockerManifest, Digest: digestOf(raw), Size: int64(len(raw))}, nil
}

func (a dockerArchive) keepLayer(ctx context.Context, layer v1.Layer) error {
	hash, err := layer.Digest()
	if err != nil {
		return err
	}
	size, err := layer.Size()
	if err != nil {
		return err
	}
	d := descriptor{Digest: digest(hash.String()), Size: size}
	if err := d.check(maxBlob); err != nil {
		return err
	}
	body, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer body.Close()
	return a.store.put(ctx, d, body)
}
