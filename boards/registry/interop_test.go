package registry

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	ggcrremote "github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// pullable is an image as a board sees it.
type pullable struct {
	t   *testing.T
	r   *Registry
	img Image
}

func (p pullable) image() v1.Image {
	p.t.Helper()
	board := httptest.NewServer(p.r)
	p.t.Cleanup(board.Close)
	ref, err := name.ParseReference(strings.TrimPrefix(board.URL, "http://") + "/" + p.img.Path)
	if err != nil {
		p.t.Fatal(err)
	}
	img, err := ggcrremote.Image(ref)
	if err != nil {
		p.t.Fatal(err)
	}
	return img
}

// skopeo shares its code with podman.
func TestSkopeo(t *testing.T) {
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		t.Skip("needs skopeo (apt-get install skopeo)")
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), skopeo, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("skopeo %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	u := newUpstream(t)
	index, images := newIndex(t, "linux/amd64", "linux/arm64")
	remote := u.push(t, "org/app:v1", index)
	dir := filepath.Join(t.TempDir(), "layout")
	layer, err := random.Layer(50_000, types.OCILayer)
	if err != nil {
		t.Fatal(err)
	}
	local, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), layer)
	if err != nil {
		t.Fatal(err)
	}
	appendImage(t, newLayout(t, dir), local, "v2")
	tmp := t.TempDir()
	run("copy", "oci:"+dir+":v2", "oci-archive:"+tmp+"/a.tar:v2")
	run("copy", "oci:"+dir+":v2", "docker-archive:"+tmp+"/d.tar:org/app:v3")

	r := newRegistry(t, Config{})
	board := httptest.NewServer(r)
	defer board.Close()
	host := strings.TrimPrefix(board.URL, "http://")
	for _, test := range []struct{ ref, platform, digest string }{
		{remote, "linux/arm64", digestString(t, images["linux/arm64"])},
		{remote, "linux/amd64", digestString(t, images["linux/amd64"])},
		{"oci:" + dir + ":v2", "linux/amd64", digestString(t, local)},
		{"oci-archive:" + tmp + "/a.tar:v2", "linux/amd64", digestString(t, local)},
		{"docker-archive:" + tmp + "/d.tar:org/app:v3", "linux/amd64", ""}, // its manifest is made here
	} {
		t.Run(test.ref+" "+test.platform, func(t *testing.T) {
			img := add(t, r, test.ref, test.platform)
			if test.digest != "" && img.Digest != test.digest {
				t.Errorf("digest %s, want %s", img.Digest, test.digest)
			}
			out := filepath.Join(t.TempDir(), "out")
			run("--insecure-policy", "copy", "--src-tls-verify=false", "docker://"+host+"/"+img.Path, "dir:"+out)
			raw, err := os.ReadFile(filepath.Join(out, "manifest.json"))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(digestOf(raw)); got != img.Digest {
				t.Errorf("copied manifest %s, want %s", got, img.Digest)
			}
		})
	}
}
