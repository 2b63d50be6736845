package registry

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"

	"github.com/google/go-containerregistry/pkg/name"
)

// The grammar of names (OCI distribution-spec v1.1, "Pulling manifests").
var (
	repoPattern = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	hostPattern = regexp.MustCompile(`^([a-zA-Z0-9]+([.-]+[a-zA-Z0-9]+)*|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?$`)
	tagPattern  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// served is the name under which boards find an image; without a tag, by digest only.
type served struct{ repo, tag string }

// open returns the source of a reference and the name it is served under.
func (r *Registry) open(ref string, want platform) (source, served, error) {
	kind, rest, _ := strings.Cut(ref, ":")
	switch kind {
	case "oci":
		return openOCIDir(rest)
	case "oci-archive":
		return openOCIArchive(r.store, rest)
	case "docker-archive":
		return openDockerArchive(r.store, rest)
	}
	parsed, err := parseName(ref)
	if err != nil {
		return nil, served{}, err
	}
	return newRemote(r, ref, parsed, want), servedName(parsed), nil
}

// parseName reads a registry reference. Errors wrap ErrName and say how to write it.
func parseName(ref string) (name.Reference, error) {
	if trimmed := strings.Trim(ref, "\"'` \t\r\n"); trimmed != ref {
		return nil, fmt.Errorf("%w: stray quotes or spaces around it (try: %s)", ErrName, trimmed)
	}
	if ref == "" {
		return nil, fmt.Errorf("%w: it is empty (try: alpine, oci:DIR, oci-archive:FILE or docker-archive:FILE)", ErrName)
	}
	if strings.ContainsFunc(ref, func(c rune) bool {
		return unicode.IsSpace(c) || unicode.IsControl(c) || strings.ContainsRune("\"'`", c)
	}) {
		return nil, fmt.Errorf("%w: it has a quote or a space inside", ErrName)
	}
	if scheme, rest, ok := strings.Cut(ref, "://"); ok {
		return nil, fmt.Errorf("%w: names have no %s:// (try: %s)", ErrName, scheme, rest)
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		base, _, _ := strings.Cut(ref, "@")
		if lower := strings.ToLower(base); lower != base {
			return nil, fmt.Errorf("%w: repositories are lower case (try: %s%s)", ErrName, lower, ref[len(base):])
		}
		return nil, fmt.Errorf("%w: %w (try: HOST/REPOSITORY:TAG, oci:DIR, oci-archive:FILE or docker-archive:FILE)", ErrName, err)
	}
	if host := parsed.Context().RegistryStr(); !hostPattern.MatchString(host) {
		return nil, fmt.Errorf("%w: %q is no host (try: oci:%s for a directory)", ErrName, host, ref)
	}
	if repo := parsed.Context().RepositoryStr(); !repoPattern.MatchString(repo) {
		return nil, fmt.Errorf("%w: %q is no repository (letters and digits, with single '.', '_', '-' or '/' between them)", ErrName, repo)
	}
	switch parsed := parsed.(type) {
	case name.Digest:
		if d := digest(parsed.DigestStr()); !d.valid() {
			return nil, fmt.Errorf("%w: unsupported digest %q (only sha256)", ErrName, d)
		}
	case name.Tag:
		if !tagPattern.MatchString(parsed.TagStr()) {
			return nil, fmt.Errorf("%w: %q is no tag", ErrName, parsed.TagStr())
		}
	}
	return parsed, nil
}

// servedName keeps docker hub's names as they are, and puts the host before all
// others: "quay.io/org/image:tag".
func servedName(ref name.Reference) served {
	s := served{repo: ref.Context().RepositoryStr()}
	if tag, ok := ref.(name.Tag); ok {
		s.tag = tag.TagStr()
	}
	if host := ref.Context().RegistryStr(); host != name.DefaultRegistry {
		s.repo = slug(host) + "/" + s.repo
	}
	return s
}

// localName names an image from a file or directory.
func localName(path, tag string) served {
	base := filepath.Base(path)
	for _, suffix := range []string{".gz", ".zst", ".tar"} {
		base = strings.TrimSuffix(base, suffix)
	}
	s := served{repo: "local/" + slug(base), tag: tag[strings.LastIndexByte(tag, ':')+1:]}
	if !tagPattern.MatchString(s.tag) {
		s.tag = "latest"
	}
	return s
}

var notSlug = regexp.MustCompile(`[^a-z0-9.]+|\.\.+`)

// slug makes one component of a repository's name from anything.
func slug(s string) string {
	s = strings.Trim(notSlug.ReplaceAllString(strings.ToLower(s), "_"), "_.")
	if len(s) > 100 || !repoPattern.MatchString(s) {
		return "image"
	}
	return s
}

// splitPath divides "PATH[:TAG]" where the path that exists ends.
func splitPath(s string) (path, tag string, err error) {
	if s == "" {
		return "", "", fmt.Errorf("%w: no path after the colon", ErrName)
	}
	for i := 1; i <= len(s); i++ {
		if i < len(s) && s[i] != ':' {
			continue
		}
		if _, err := os.Stat(s[:i]); err == nil {
			return s[:i], strings.TrimPrefix(s[i:], ":"), nil
		}
	}
	path, _, _ = strings.Cut(s, ":")
	return "", "", fmt.Errorf("%w: no file or directory %q", ErrNotFound, path)
}
