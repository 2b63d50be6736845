package registry

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCredentials(t *testing.T) {
	u := newUpstream(t)
	want := newImage(t, 1000, 1, "linux/amd64")
	ref := u.push(t, "app:v1", want)
	u.setSpoil(func(w http.ResponseWriter, req *http.Request) bool {
		if user, password, _ := req.BasicAuth(); user == "lab" && password == "secret:word" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	file := func(password string) string {
		return fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, u.host, base64.StdEncoding.EncodeToString([]byte("lab:"+password)))
	}
	for _, test := range []struct {
		name, file, content string
		want                error
	}{
		{"docker", "config.json", file("secret:word"), nil},
		{"podman", "auth.json", file("secret:word"), nil},
		{"wrong", "config.json", file("guess"), ErrUnauthorized},
		{"none", "other", "", ErrUnauthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, test.file), []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			r := newRegistry(t, Config{DockerConfigDir: dir})
			img, err := r.Add(t.Context(), ref, "linux/amd64")
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if err == nil {
				pull(t, r, img, want)
			} else if !strings.Contains(err.Error(), "docker login "+u.host) {
				t.Errorf("no advice in %q", err)
			}
		})
	}

	t.Run("damaged", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := newRegistry(t, Config{DockerConfigDir: dir}).Add(t.Context(), ref, "linux/amd64")
		if err == nil || errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), dir) {
			t.Errorf("got %v", err)
		}
	})

	// A refused login is not an outage: the cache does not hide it.
	t.Run("revoked", func(t *testing.T) {
		dir, cache := t.TempDir(), t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(file("secret:word")), 0o600); err != nil {
			t.Fatal(err)
		}
		add(t, newRegistry(t, Config{CacheDir: cache, DockerConfigDir: dir}), ref, "linux/amd64")
		_, err := newRegistry(t, Config{CacheDir: cache}).Add(t.Context(), ref, "linux/amd64")
		if !errors.Is(err, ErrUnauthorized) {
			t.Errorf("got %v", err)
		}
	})
}

// Docker hub's way to log in: a token, fetched with the password.
func TestToken(t *testing.T) {
	u := newUpstream(t)
	want := newImage(t, 1000, 1, "linux/amd64")
	ref := u.push(t, "org/app:v1", want)
	u.setSpoil(func(w http.ResponseWriter, req *http.Request) bool {
		switch _, password, _ := req.BasicAuth(); {
		case req.URL.Path == "/token" && password == "secret" && req.FormValue("scope") == "repository:org/app:pull":
			_, _ = io.WriteString(w, `{"token": "ticket"}`)
			return true
		case req.Header.Get("Authorization") == "Bearer ticket":
			return false
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="lab"`, u.URL))
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	dir := t.TempDir()
	auth := fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, u.host, base64.StdEncoding.EncodeToString([]byte("lab:secret")))
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(auth), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRegistry(t, Config{DockerConfigDir: dir})
	pull(t, r, add(t, r, ref, "linux/amd64"), want)
	if _, err := newRegistry(t, Config{}).Add(t.Context(), ref, "linux/amd64"); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("without a password: %v", err)
	}
}
