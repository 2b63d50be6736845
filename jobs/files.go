package jobs

import (
	"path/filepath"
	"strings"
)

// Remote reports whether the asset is fetched by HTTP; otherwise it is a file.
func (a Asset) Remote() bool {
	return strings.HasPrefix(a.URL, "http://") || strings.HasPrefix(a.URL, "https://")
}

// Path is where the job's local file name is: relative names start at the job
// file's directory.
func (j *Job) Path(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(j.Dir, name)
}

// localTransports are the image sources on this machine, as containers-transports(5)
// names them.
var localTransports = []string{"oci", "oci-archive", "docker-archive"}

// Local splits an image on this machine into transport and path. ok is false for
// a registry reference.
func (c Container) Local() (transport, path string, ok bool) {
	for _, t := range localTransports {
		if path, ok := strings.CutPrefix(c.Image, t+":"); ok {
			return t, path, true
		}
	}
	return "", "", false
}

// Image is the image of container i, its path made relative to the working
// directory if it is a local one.
func (j *Job) Image(i int) string {
	c := j.Containers[i]
	if transport, path, ok := c.Local(); ok {
		return transport + ":" + j.Path(path)
	}
	return c.Image
}
