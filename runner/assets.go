package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"b2c-runner/boards/netboot"
	"b2c-runner/jobs"
)

// fetchBoot makes every boot file of the job a file on this host, side by side.
func (r *run) fetchBoot(ctx context.Context) (netboot.Boot, error) {
	deploy := r.job.Deploy
	type want struct {
		role  string
		asset jobs.Asset
	}
	wanted := []want{{"kernel", deploy.Kernel}}
	if deploy.DTB != nil {
		wanted = append(wanted, want{"dtb", *deploy.DTB})
	}
	for _, a := range deploy.Initramfs {
		wanted = append(wanted, want{"initramfs", a})
	}
	files := make([]netboot.File, len(wanted))
	r.result.Assets = make([]jobs.FetchedFile, len(wanted))
	g, ctx := errgroup.WithContext(ctx)
	for i, w := range wanted {
		g.Go(func() error {
			fetched, err := r.fetch(ctx, w.role, w.asset)
			files[i] = netboot.File{Path: fetched.path}
			r.result.Assets[i] = fetched.FetchedFile
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return netboot.Boot{}, err
	}
	boot := netboot.Boot{Kernel: files[0]}
	files = files[1:]
	if deploy.DTB != nil {
		boot.DTB = &files[0]
		files = files[1:]
	}
	boot.Initramfs = files
	return boot, nil
}

type fetched struct {
	jobs.FetchedFile
	path string
}

// fetch makes an asset a file on this host.
func (r *run) fetch(ctx context.Context, role string, asset jobs.Asset) (fetched, error) {
	path := r.job.Path(asset.URL)
	if asset.Remote() {
		var err error
		if path, err = r.download(ctx, asset); err != nil {
			return fetched{}, fmt.Errorf("failed to fetch the %s %q: %w", role, asset.URL, err)
		}
	}
	sum, size, err := hashFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fetched{}, fmt.Errorf("failed to find the %s %q (try: make payload, for the files of the shipped jobs)", role, path)
	case err != nil:
		return fetched{}, fmt.Errorf("failed to read the %s: %w", role, err)
	case asset.SHA256 != "" && asset.SHA256 != sum:
		return fetched{}, fmt.Errorf("failed to verify the %s %q: its sha256 is %s, the job says %s", role, path, sum, asset.SHA256)
	}
	return fetched{jobs.FetchedFile{Role: role, Source: asset.URL, SHA256: sum, Size: size}, path}, nil
}

// cacheEntry describes a downloaded file, which lies beside it.
type cacheEntry struct {
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	SHA256       string `json:"sha256"`
}

// download returns the cached file of an asset's URL. A file whose digest the job
// names is not asked for again; any other is revalidated (RFC 9110, section 13).
func (r *run) download(ctx context.Context, asset jobs.Asset) (string, error) {
	dir := filepath.Join(r.cfg.CacheDir, "files")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("failed to make the cache: %w", err)
	}
	key := sha256.Sum256([]byte(asset.URL))
	path := filepath.Join(dir, hex.EncodeToString(key[:]))
	entry := readEntry(path)
	if asset.SHA256 != "" && entry.SHA256 == asset.SHA256 {
		if sum, _, err := hashFile(path); err == nil && sum == asset.SHA256 {
			return path, nil
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, asset.URL, nil)
	if err != nil {
		return "", err
	}
	if entry.ETag != "" {
		req.Header.Set("If-None-Match", entry.ETag)
	} else if entry.LastModified != "" {
		req.Header.Set("If-Modified-Since", entry.LastModified)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("%w (try: name its sha256 in the job, then a cached copy is used without asking)", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNotModified:
		return path, nil
	case http.StatusOK:
	default:
		return "", fmt.Errorf("the server answered %s", resp.Status)
	}
	entry = cacheEntry{URL: asset.URL, ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified")}
	return path, store(path, entry, resp.Body)
}

// readEntry returns the description of the file at path, or a zero one if there
// is none or the two do not belong together.
func readEntry(path string) (e cacheEntry) {
	data, err := os.ReadFile(path + ".json")
	if err != nil || json.Unmarshal(data, &e) != nil {
		return cacheEntry{}
	}
	if sum, _, err := hashFile(path); err != nil || sum != e.SHA256 {
		return cacheEntry{}
	}
	return e
}

// store writes a download and its description; readers see the old file or the
// new one, whole.
func store(path string, entry cacheEntry, body io.Reader) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".download-")
	if err != nil {
		return fmt.Errorf("failed to write to the cache: %w", err)
	}
	defer os.Remove(temp.Name())
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(temp, hash), body)
	if err = errors.Join(err, temp.Close()); err != nil {
		return fmt.Errorf("failed to download into the cache: %w", err)
	}
	entry.SHA256 = hex.EncodeToString(hash.Sum(nil))
	data, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return fmt.Errorf("failed to write to the cache: %w", err)
	}
	if err := os.WriteFile(path+".json", data, 0o644); err != nil {
		return fmt.Errorf("failed to write to the cache: %w", err)
	}
	return nil
}

func hashFile(path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	hash := sha256.New()
	if size, err = io.Copy(hash, f); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(hash.Sum(nil)), size, nil
}
