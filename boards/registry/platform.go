package registry

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// platform is what an image runs on, in the words of the OCI image index.
type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant,omitempty"`
}

var platformPattern = regexp.MustCompile(`^[a-z0-9]{1,32}/[a-z0-9_]{1,32}(/[a-z0-9.]{1,32})?$`)

func parsePlatform(s string) (platform, error) {
	if !platformPattern.MatchString(s) {
		return platform{}, fmt.Errorf("failed to parse platform %q (try: linux/arm64, linux/arm/v7 or linux/amd64)", s)
	}
	parts := append(strings.Split(s, "/"), "")
	return platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}, nil
}

func (p platform) String() string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// level is the variant as a number, with the variant that an architecture means
// when it names none.
func (p platform) level() (n int, known bool) {
	variant := p.Variant
	if variant == "" {
		variant = map[string]string{"arm64": "v8", "arm": "v7", "amd64": "v1"}[p.Architecture]
	}
	if variant == "" {
		return 0, true
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(variant, "v"), ".")
	n, err := strconv.Atoi(major)
	return n, err == nil
}

// rank says how well an image for p runs on a board that is want: negative not
// at all, else higher is better. A board also runs images for lesser variants.
func (p platform) rank(want platform) int {
	if p.OS != want.OS || p.Architecture != want.Architecture {
		return -1
	}
	has, hasKnown := p.level()
	most, mostKnown := want.level()
	switch {
	case p.Variant == want.Variant:
		return 1 << 20
	case !hasKnown || !mostKnown || has > most:
		return -1
	default:
		return has
	}
}

// choose picks the entry of an index that runs on want. Entries that name no
// platform are taken only when there is nothing else to choose from.
func choose(entries []descriptor, want platform) (descriptor, error) {
	best, bestRank := descriptor{}, -1
	var there []string
	for _, d := range entries {
		if d.Platform == nil {
			continue
		}
		if d.Platform.OS != "unknown" { // build attestations
			there = append(there, d.Platform.String())
		}
		if rank := d.Platform.rank(want); rank > bestRank {
			best, bestRank = d, rank
		}
	}
	if bestRank >= 0 {
		return best, nil
	}
	if len(entries) == 1 && entries[0].Platform == nil {
		return entries[0], nil
	}
	if len(there) == 0 {
		return descriptor{}, fmt.Errorf("%w for %s: its index names no platform", ErrNotFound, want)
	}
	slices.SortFunc(there, cmp.Compare)
	return descriptor{}, fmt.Errorf("%w for %s, only for %s", ErrNotFound, want, strings.Join(slices.Compact(there), ", "))
}
