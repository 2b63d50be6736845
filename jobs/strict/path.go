package strict

import (
	"regexp"
	"strconv"
	"strings"
)

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// Key is the path of key in the map at path: "deploy.kernel", or `b2c["a.b"]`
// for a key that is not a plain word.
func Key(path, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return path + "[" + strconv.Quote(key) + "]"
	case path == "":
		return key
	default:
		return path + "." + key
	}
}

// Index is the path of element i of the list at path.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// parent cuts the last step off path.
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}
