package registry

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
)

func TestServe(t *testing.T) {
	u := newUpstream(t)
	ref := u.push(t, "org/app:v1", newImage(t, 10_000, 1, "linux/amd64"))
	secret := u.push(t, "org/secret:v1", newImage(t, 10_000, 1, "linux/amd64"))
	layer, body := layerOf(t, u, ref)
	secretLayer, _ := layerOf(t, u, secret)
	r := newRegistry(t, Config{})
	img := add(t, r, ref, "linux/amd64")
	u.take()
	repo := "/v2/" + strings.TrimSuffix(img.Path, ":v1")

	for _, test := range []struct {
		method, path, ranges string
		status               int
		code                 string // of the error
		length               int    // of the body; -1: any
	}{
		{"GET", "/v2/", "", 200, "", 2},
		{"GET", "/v2", "", 200, "", 2},
		{"HEAD", "/v2/", "", 200, "", 0},
		{"GET", repo + "/manifests/v1", "", 200, "", -1},
		{"HEAD", repo + "/manifests/v1", "", 200, "", 0},
		{"GET", repo + "/manifests/" + img.Digest, "", 200, "", -1},
		{"GET", repo + layer, "", 200, "", len(body)},
		{"HEAD", repo + layer, "", 200, "", 0},
		{"GET", repo + layer, "bytes=100-199", 206, "", 100},
		{"GET", repo + layer, "bytes=9999999-", 416, "", -1},

		{"GET", repo + "/manifests/v2", "", 404, "MANIFEST_UNKNOWN", -1},
		{"GET", repo + "/manifests/sha256:" + strings.Repeat("0", 64), "", 404, "MANIFEST_UNKNOWN", -1},
		{"GET", repo + secretLayer, "", 404, "BLOB_UNKNOWN", -1},
		{"GET", "/v2/org/app/manifests/v1", "", 404, "MANIFEST_UNKNOWN", -1},
		{"GET", "/v2/library/alpine/manifests/latest", "", 404, "MANIFEST_UNKNOWN", -1},
		{"GET", "/v2/library/alpine" + layer, "", 404, "BLOB_UNKNOWN", -1},
		{"HEAD", repo + "/manifests/v2", "", 404, "", 0},

		{"GET", repo + "/blobs/sha256:../../../../etc/passwd", "", 404, "UNSUPPORTED", -1},
		{"GET", repo + "/blobs/sha256:..%2f..%2fetc%2fpasswd", "", 404, "UNSUPPORTED", -1},
		{"GET", repo + "/blobs/..", "", 400, "DIGEST_INVALID", -1},
		{"GET", repo + "/blobs/sha512:" + strings.Repeat("0", 128), "", 400, "DIGEST_INVALID", -1},
		{"GET", repo + "/manifests/", "", 400, "DIGEST_INVALID", -1},
		{"GET", repo + "/manifests/..", "", 400, "DIGEST_INVALID", -1},
		{"GET", "/v2/../../etc/manifests/v1", "", 400, "NAME_INVALID", -1},
		{"GET", "/v2/%2e%2e/blobs/" + img.Digest, "", 400, "NAME_INVALID", -1},
		{"GET", "/v2//blobs/" + img.Digest, "", 400, "NAME_INVALID", -1},
		{"GET", "/v2/UPPER/manifests/v1", "", 400, "NAME_INVALID", -1},
		{"GET", "/v2/" + strings.Repeat("a", 300) + "/manifests/v1", "", 400, "NAME_INVALID", -1},
		{"GET", "/v2/" + strings.Repeat("a", 600) + "/manifests/v1", "", 404, "NAME_UNKNOWN", -1},
		{"GET", "/v2/_catalog", "", 404, "NAME_UNKNOWN", -1},
		{"GET", repo + "/tags/list", "", 404, "UNSUPPORTED", -1},
		{"GET", "/etc/passwd", "", 404, "NAME_UNKNOWN", -1},
		{"PUT", repo + "/manifests/v1", "", 405, "UNSUPPORTED", -1},
		{"POST", repo + "/blobs/uploads/", "", 405, "UNSUPPORTED", -1},
		{"DELETE", repo + "/manifests/v1", "", 405, "UNSUPPORTED", -1},
	} {
		t.Run(test.method+" "+test.path+test.ranges, func(t *testing.T) {
			server := httptest.NewServer(r)
			defer server.Close()
			req, err := http.NewRequestWithContext(t.Context(), test.method, server.URL+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.ranges != "" {
				req.Header.Set("Range", test.ranges)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			answer, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != test.status {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, test.status, answer)
			}
			if test.length >= 0 && len(answer) != test.length {
				t.Errorf("%d bytes, want %d", len(answer), test.length)
			}
			if test.method == "HEAD" && test.status == 200 && test.path != "/v2/" && resp.ContentLength <= 0 {
				t.Errorf("HEAD tells no length")
			}
			if test.code != "" {
				var failure struct {
					Errors []struct{ Code, Message string }
				}
				if err := json.Unmarshal(answer, &failure); err != nil || len(failure.Errors) != 1 || failure.Errors[0].Code != test.code || failure.Errors[0].Message == "" {
					t.Errorf("error %s, want the code %s (%v)", answer, test.code, err)
				}
			}
		})
	}
	if requests := u.take(); len(requests) > 0 {
		t.Errorf("serving reached the other registry: %q", requests)
	}

	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	r.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", repo+"/manifests/v1", nil))
	if answer.Code != http.StatusNotFound {
		t.Errorf("status %d after Close", answer.Code)
	}
}

func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{
		"/v2/", "/v2/library/alpine/manifests/latest", "/v2/a/blobs/sha256:" + strings.Repeat("a", 64),
		"/v2/../x/manifests/y", "/v2/a/manifests/manifests/b", "/v2/a/manifests/../blobs/x", "//v2/a/manifests/b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, failure := parsePath(in)
		if failure != nil {
			if failure.status < 400 || failure.code == "" {
				t.Errorf("%q: odd error %+v", in, failure)
			}
			return
		}
		if got.kind == "" {
			if in != "/v2/" && in != "/v2" {
				t.Errorf("%q is taken for the API's root", in)
			}
			return
		}
		if whole := "/v2/" + got.repo + "/" + got.kind + "/" + got.id; whole != in || path.Clean(whole) != whole {
			t.Errorf("%q was read as %+v", in, got)
		}
		if got.kind == "blobs" && !digest(got.id).valid() {
			t.Errorf("%q: a blob without a digest", in)
		}
	})
}
