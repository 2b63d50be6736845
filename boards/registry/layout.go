package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// annotationTag holds an image's tag in the index.json of an OCI layout (image-spec,
// annotations.md).
const annotationTag = "org.opencontainers.image.ref.name"

// ociDir is an image in a directory with the OCI image layout (image-spec,
// image-layout.md). Its blobs are served from where they are.
type ociDir struct {
	dir, tag string
}

func openOCIDir(ref string) (source, served, error) {
	path, tag, err := splitPath(ref)
	if err != nil {
		return nil, served{}, err
	}
	dir, err := filepath.Abs(path)
	if err != nil {
		return nil, served{}, err
	}
	return ociDir{dir, tag}, localName(dir, tag), nil
}

func (o ociDir) read(name string) ([]byte, error) {
	f, err := blob{dir: o.dir, name: name}.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readSmall(f)
}

func (o ociDir) resolve(_ context.Context, want platform) (descriptor, error) {
	raw, err := o.read("index.json")
	if err != nil {
		return descriptor{}, fmt.Errorf("failed to read OCI layout %q: %w (try: oci-archive:FILE for a tar file)", o.dir, err)
	}
	return pick(raw, o.tag, want)
}

func (o ociDir) manifest(_ context.Context, d descriptor) ([]byte, error) {
	raw, err := o.read(blobName(d.Digest))
	if err != nil {
		return nil, fmt.Errorf("failed to read OCI layout %q: %w", o.dir, err)
	}
	if digestOf(raw) != d.Digest {
		return nil, fmt.Errorf("failed to read OCI layout %q: %w: %s", o.dir, errDigest, d.Digest)
	}
	return raw, nil
}

func (o ociDir) blobs(ctx context.Context, ds []descriptor) ([]blob, error) {
	var blobs []blob
	for _, d := range ds {
		b := blob{dir: o.dir, name: blobName(d.Digest), digest: d.Digest, size: d.Size}
		if err := b.verify(ctx); err != nil {
			return nil, fmt.Errorf("failed to read OCI layout %q: %w", o.dir, err)
		}
		blobs = append(blobs, b)
	}
	return blobs, nil
}

func (b blob) verify(ctx context.Context) error {
	f, err := b.open()
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, contextReader{ctx, io.LimitReader(f, b.size+1)})
	if err != nil {
		return err
	}
	if n != b.size || hex.EncodeToString(sum.Sum(nil)) != b.digest.hex() {
		return fmt.Errorf("%w: %s", errDigest, b.digest)
	}
	return nil
}

// pick finds a tag in the index.json of an OCI layout. Without a tag, the image must
// be the only one, or the only one for the platform.
func pick(raw []byte, tag string, want platform) (descriptor, error) {
	var index document
	if err := json.Unmarshal(raw, &index); err != nil {
		return descriptor{}, fmt.Errorf("failed to parse index.json: %w", err)
	}
	var candidates []descriptor
	var tags []string
	for _, d := range index.Manifests {
		name := d.Annotations[annotationTag]
		if name != "" {
			tags = append(tags, name)
		}
		if tag == "" || name == tag || strings.HasSuffix(name, ":"+tag) {
			candidates = append(candidates, d)
		}
	}
	there := strings.Join(tags, ", ")
	switch {
	case len(candidates) == 0 && len(tags) == 0:
		return descriptor{}, fmt.Errorf("%w: no tag %q in index.json, which has %d images without a tag", ErrNotFound, tag, len(index.Manifests))
	case len(candidates) == 0:
		return descriptor{}, fmt.Errorf("%w: no tag %q in index.json, only %s", ErrNotFound, tag, there)
	case len(candidates) == 1:
		return candidates[0], candidates[0].check(maxManifest)
	}
	d, err := choose(candidates, want)
	if err != nil && len(tags) > 0 {
		return descriptor{}, fmt.Errorf("%w (try: one of the tags %s)", err, there)
	}
	if err != nil {
		return descriptor{}, err
	}
	return d, d.check(maxManifest)
}
