package jobs

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"b2c-runner/jobs/strict"
)

// remark warns of what is allowed but looks unintended.
func (j *Job) remark(doc *strict.Doc, lint func(string) []string) {
	j.remarkFiles(doc)
	j.Timeouts.each(func(key string, d time.Duration) {
		if path := "timeouts." + key; d > j.Timeouts.Job && doc.Has(path) {
			doc.Warnf(path, "%v is longer than timeouts.job (%v)", d, j.Timeouts.Job)
		}
	})
	if _, err := j.Cmdline(nil, func(i int) string { return j.Containers[i].Image }); err != nil {
		doc.Warnf("containers", "%v", err)
	}
	if lint == nil {
		return
	}
	for i, s := range j.Steps {
		if s.Expect == nil {
			continue
		}
		for _, p := range slices.Concat(s.Expect.Pass, s.Expect.Fail) {
			for _, warning := range lint(p) {
				doc.Warnf(strict.Key(strict.Index("steps", i), "expect"), "pattern %q %s", p, warning)
			}
		}
	}
}

// remarkFiles warns of local files that are not there.
func (j *Job) remarkFiles(doc *strict.Doc) {
	missing := func(file string) bool {
		_, err := os.Stat(j.Path(file))
		return errors.Is(err, fs.ErrNotExist)
	}
	asset := func(path string, a Asset) {
		if !a.Remote() && missing(a.URL) {
			doc.Warnf(path, "no file %q yet", j.Path(a.URL))
		}
	}
	asset("deploy.kernel", j.Deploy.Kernel)
	for i, a := range j.Deploy.Initramfs {
		asset(strict.Index("deploy.initramfs", i), a)
	}
	if j.Deploy.DTB != nil {
		asset("deploy.dtb", *j.Deploy.DTB)
	}
	for i, c := range j.Containers {
		_, path, ok := c.Local()
		dir, _, tagged := strings.Cut(path, ":")
		if ok && missing(path) && (!tagged || missing(dir)) {
			doc.Warnf(strict.Index("containers", i)+".image", "no file %q yet", j.Path(path))
		}
	}
}
