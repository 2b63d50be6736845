package registry

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestPrune(t *testing.T) {
	u := newUpstream(t)
	var refs []string
	for _, tag := range []string{"old", "used", "new"} {
		refs = append(refs, u.push(t, "app:"+tag, newImage(t, 100_000, 1, "linux/amd64")))
	}
	cache := t.TempDir()
	ages := map[string]time.Duration{refs[0]: 3 * time.Hour, refs[1]: 2 * time.Hour, refs[2]: time.Hour}
	size := map[string]int64{}
	for _, ref := range refs {
		r := newRegistry(t, Config{CacheDir: cache})
		size[ref] = add(t, r, ref, "linux/amd64").Size
		at := time.Now().Add(-ages[ref])
		for d := range r.store.held {
			if err := os.Chtimes(filepath.Join(cache, blobName(d)), at, at); err != nil {
				t.Fatal(err)
			}
		}
		r.Close()
	}
	broken := filepath.Join(cache, partialDir, "ab")
	if err := os.WriteFile(broken, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}

	// Another process serves "old": by age it would go first.
	serving := newRegistry(t, Config{CacheDir: cache})
	old := add(t, serving, refs[0], "linux/amd64")
	was := time.Now().Add(-4 * time.Hour)
	for d := range serving.store.held {
		if err := os.Chtimes(filepath.Join(cache, blobName(d)), was, was); err != nil {
			t.Fatal(err)
		}
	}
	pruning := newRegistry(t, Config{CacheDir: cache})
	total := size[refs[0]] + size[refs[1]] + size[refs[2]] + 1000
	if freed, err := pruning.Prune(total); err != nil || freed != 0 {
		t.Errorf("pruning to the present size freed %d (%v)", freed, err)
	}
	if freed, err := pruning.Prune(total - 1); err != nil || freed == 0 || freed > size[refs[1]] {
		t.Errorf("pruning a byte freed %d (%v)", freed, err)
	}
	u.Close()
	if img, err := pruning.Add(t.Context(), refs[1], "linux/amd64"); err == nil {
		t.Errorf("least recently used is still there: %+v", img)
	}
	newest := add(t, pruning, refs[2], "linux/amd64")
	if !newest.Stale {
		t.Error("the upstream is closed, and the image is not stale")
	}
	if _, err := pruning.Prune(0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		r   *Registry
		img Image
	}{{serving, old}, {pruning, newest}} {
		pull(t, c.r, c.img, pullable{t, c.r, c.img}.image())
	}
	serving.Close()
	pruning.Close()

	last := newRegistry(t, Config{CacheDir: cache})
	if _, err := last.Prune(0); err != nil {
		t.Fatal(err)
	}
	files, err := last.store.files(blobDir, partialDir, refDir)
	if err != nil || len(files) > 0 {
		t.Errorf("left: %v (%v)", files, err)
	}
}
