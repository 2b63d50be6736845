package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// Bounds on what another registry or an archive may make the runner hold.
const (
	maxManifest = 4 << 20  // bytes of a manifest, an index or a configuration in memory
	maxBlob     = 64 << 30 // bytes of a layer
	maxLayers   = 512
	maxNesting  = 4 // indexes within indexes
)

// Media types of OCI image-spec v1.1 and of docker's image manifest v2, schema 2.
const (
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociIndex       = "application/vnd.oci.image.index.v1+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

var manifestTypes = []string{ociManifest, ociIndex, dockerManifest, dockerList}

// digest names a blob by its content: "sha256:" and 64 hexadecimal digits.
type digest string

var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func (d digest) valid() bool { return digestPattern.MatchString(string(d)) }

// hex is the part after "sha256:"; d must be valid.
func (d digest) hex() string { return string(d[len("sha256:"):]) }

func digestOf(b []byte) digest {
	sum := sha256.Sum256(b)
	return digest("sha256:" + hex.EncodeToString(sum[:]))
}

// unknownSize is the size of a descriptor that was made from a digest alone.
const unknownSize = -1

// descriptor points at a manifest or a blob (OCI image-spec, descriptor.md).
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      digest            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func (d descriptor) check(limit int64) error {
	switch {
	case !d.Digest.valid():
		return fmt.Errorf("unsupported digest %q (only sha256)", d.Digest)
	case d.Size < 0 || d.Size > limit:
		return fmt.Errorf("blob %s has the impossible size of %d bytes", d.Digest, d.Size)
	}
	return nil
}

// document is a manifest or an index.
type document struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        *descriptor  `json:"config"`
	Layers        []descriptor `json:"layers"`
	Manifests     []descriptor `json:"manifests"`
}

func (d document) isIndex() bool { return d.Config == nil }

// parseManifest reads a manifest or an index, and checks what an image points at.
// A document that could be read as either is refused (CVE-2021-41190).
func parseManifest(raw []byte) (document, error) {
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		return document{}, fmt.Errorf("failed to parse manifest: %w", err)
	}
	switch {
	case doc.SchemaVersion == 1:
		return document{}, errors.New("the image has a manifest of schema 1, which was withdrawn in 2017 (try: push it again with a newer tool)")
	case doc.Config != nil && doc.Manifests != nil:
		return document{}, errors.New("manifest is both an image and an index")
	case doc.Config == nil && doc.Manifests == nil:
		return document{}, errors.New("manifest is neither an image nor an index")
	case len(doc.Layers) > maxLayers:
		return document{}, fmt.Errorf("manifest has %d layers, more than %d", len(doc.Layers), maxLayers)
	}
	if doc.isIndex() {
		return doc, nil
	}
	for _, d := range slices.Concat([]descriptor{*doc.Config}, doc.Layers) {
		if err := d.check(maxBlob); err != nil {
			return document{}, err
		}
	}
	return doc, nil
}

// content lists the blobs of an image: its configuration, then its layers. A blob
// that is used twice is listed once.
func (d document) content() []descriptor {
	seen := map[digest]bool{}
	return slices.DeleteFunc(slices.Concat([]descriptor{*d.Config}, d.Layers), func(b descriptor) bool {
		again := seen[b.Digest]
		seen[b.Digest] = true
		return again
	})
}

// source is where an image comes from.
type source interface {
	// resolve says what the reference means now: a manifest or an index.
	resolve(ctx context.Context, want platform) (descriptor, error)
	// manifest reads a manifest or an index, verified.
	manifest(ctx context.Context, d descriptor) ([]byte, error)
	// blobs makes ready to serve what ds points at, verified, in the same order.
	blobs(ctx context.Context, ds []descriptor) ([]blob, error)
}

// content is an image with everything it consists of.
type content struct {
	top       descriptor // what the reference meant: the index, or the manifest itself
	digest    digest     // of the manifest
	mediaType string
	raw       []byte // the manifest
	blobs     []blob // configuration first
}

// load finds the manifest for a platform, and all that belongs to it.
func load(ctx context.Context, src source, want platform) (content, error) {
	top, err := src.resolve(ctx, want)
	if err != nil {
		return content{}, err
	}
	d := top
	for range maxNesting {
		raw, err := src.manifest(ctx, d)
		if err != nil {
			return content{}, err
		}
		doc, err := parseManifest(raw)
		if err != nil {
			return content{}, err
		}
		if doc.isIndex() {
			if d, err = choose(doc.Manifests, want); err != nil {
				return content{}, err
			}
			if err := d.check(maxManifest); err != nil {
				return content{}, err
			}
			continue
		}
		blobs, err := src.blobs(ctx, doc.content())
		if err != nil {
			return content{}, err
		}
		return content{top: top, digest: d.Digest, mediaType: doc.mediaType(d), raw: raw, blobs: blobs}, nil
	}
	return content{}, fmt.Errorf("image has indexes nested deeper than %d", maxNesting)
}

// mediaType is what a client is told a manifest is.
func (d document) mediaType(from descriptor) string {
	for _, t := range []string{d.MediaType, from.MediaType} {
		if t == ociManifest || t == dockerManifest {
			return t
		}
	}
	return ociManifest
}

func (c content) size() int64 {
	n := int64(len(c.raw))
	for _, b := range c.blobs {
		n += b.size
	}
	return n
}

// platform is what the image's configuration says it was made for.
func (c content) platform() (p platform, ok bool) {
	if len(c.blobs) == 0 || c.blobs[0].size > maxManifest {
		return platform{}, false
	}
	f, err := c.blobs[0].open()
	if err != nil {
		return platform{}, false
	}
	defer f.Close()
	raw, err := readSmall(f)
	if err != nil || json.Unmarshal(raw, &p) != nil {
		return platform{}, false
	}
	return p, p.OS != "" && p.Architecture != ""
}
