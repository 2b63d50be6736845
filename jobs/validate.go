package jobs

import (
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/google/go-containerregistry/pkg/name"

	"b2c-runner/jobs/strict"
)

// maxRetries bounds each entry of Job.Retries.
const maxRetries = 10

var (
	safeName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	hexSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// validate reports everything that the types alone allow but a job does not.
func (j *Job) validate(doc *strict.Doc) {
	if j.Version != 1 {
		doc.Errorf("version", "want 1, got %d", j.Version)
	}
	checkName(doc, "name", j.Name)
	j.Board.validate(doc)
	j.Deploy.validate(doc)
	for i, c := range j.Containers {
		c.validate(doc, strict.Index("containers", i))
	}
	j.validateB2C(doc)
	j.Timeouts.validate(doc)
	for p, n := range j.Retries {
		if n < 0 || n > maxRetries {
			doc.Errorf(strict.Key("retries", string(p)), "want 0 to %d, got %d", maxRetries, n)
		}
	}
	for p, v := range j.Blame {
		if v != Fail && v != Error {
			doc.Errorf(strict.Key("blame", string(p)), "want fail (what is under test) or error (the lab), got %q", v)
		}
	}
	j.Alarms.validate(doc)
	proof := len(j.Containers) > 0
	for i := range j.Steps {
		j.Steps[i].validate(doc, strict.Index("steps", i))
		proof = proof || j.Steps[i].Send == ""
	}
	if !proof && !doc.Wrong("containers") && !doc.Wrong("steps") {
		doc.Errorf("containers", "nothing can pass: give a container, or a step that expects or runs something")
	}
}

func (a Alarms) validate(doc *strict.Doc) {
	pattern := func(path, p string) {
		if what := badPattern(p); what != "" && !doc.Wrong(path) {
			doc.Errorf(path, "%s", what)
		}
	}
	for i, r := range a.Add {
		at := strict.Index("alarms.add", i)
		checkName(doc, strict.Key(at, "name"), r.Name)
		pattern(strict.Key(at, "pattern"), r.Pattern)
	}
	for i, p := range a.Silence {
		pattern(doc.Given(strict.Index("alarms.silence", i)), p)
	}
}

func checkName(doc *strict.Doc, path, s string) {
	if !safeName.MatchString(s) {
		doc.Errorf(path, "want 1 to 64 letters, digits and ._- beginning with a letter or digit, got %q", s)
	}
}

func (s Selector) validate(doc *strict.Doc) {
	if !doc.Has("board.name") && !doc.Has("board.model") && len(s.Tags) == 0 {
		doc.Errorf("board", "want name, model or tags")
	}
	if doc.Has("board.name") {
		checkName(doc, "board.name", s.Name)
	}
	if doc.Has("board.model") {
		checkName(doc, "board.model", s.Model)
	}
	for i, t := range s.Tags {
		checkName(doc, doc.Given(strict.Index("board.tags", i)), t)
	}
}

func (d Deploy) validate(doc *strict.Doc) {
	d.Kernel.validate(doc, "deploy.kernel")
	if len(d.Initramfs) == 0 {
		doc.Errorf("deploy.initramfs", "want at least one file")
	}
	for i, a := range d.Initramfs {
		a.validate(doc, doc.Given(strict.Index("deploy.initramfs", i)))
	}
	if d.DTB != nil {
		d.DTB.validate(doc, "deploy.dtb")
	}
	for i, w := range d.Cmdline {
		path := doc.Given(strict.Index("deploy.cmdline", i))
		if what := badCmdline(w); what != "" {
			doc.Errorf(path, "%q %s", w, what)
		}
		if strings.HasPrefix(w, "b2c.") || strings.Contains(w, " b2c.") {
			doc.Errorf(path, "boot2container's options belong under \"containers\" and \"b2c\"")
		}
	}
}

func (a Asset) validate(doc *strict.Doc, path string) {
	at := doc.Given(path + ".url")
	switch u, err := url.Parse(a.URL); {
	case a.URL == "":
		doc.Errorf(at, "is empty")
	case strings.ContainsFunc(a.URL, unicode.IsControl):
		doc.Errorf(at, "%q has a control character", a.URL)
	case strings.HasPrefix(a.URL, "~"):
		doc.Errorf(at, "~ is not expanded (try: a path relative to the job file)")
	case a.Remote() && (err != nil || u.Hostname() == ""):
		doc.Errorf(at, "%q is not a URL", a.URL)
	case !a.Remote() && (strings.Contains(a.URL, "://") || strings.HasPrefix(a.URL, "file:")):
		doc.Errorf(at, "want an http:// or https:// URL or a path, got %q", a.URL)
	}
	if doc.Has(path+".sha256") && !hexSHA256.MatchString(a.SHA256) {
		doc.Errorf(path+".sha256", "want 64 lower-case hexadecimal digits, got %q", a.SHA256)
	}
}

func (c Container) validate(doc *strict.Doc, path string) {
	at := path + ".image"
	_, file, local := c.Local()
	switch {
	case local && (file == "" || strings.HasPrefix(file, "~") || strings.ContainsFunc(file, unicode.IsControl)):
		doc.Errorf(at, "want a path relative to the job file after the colon, got %q", c.Image)
	case local:
	case strings.HasPrefix(c.Image, "docker://"):
		doc.Errorf(at, "leave out docker:// (did you mean %q?)", strings.TrimPrefix(c.Image, "docker://"))
	default:
		if _, err := name.ParseReference(c.Image); err != nil {
			doc.Errorf(at, "%q is not an image: want REGISTRY/NAME:TAG, oci:DIR, oci-archive:FILE or docker-archive:FILE", c.Image)
		}
	}
	check := func(key string, words []string) {
		for i, w := range words {
			if what := unspeakable(w); what != "" {
				doc.Errorf(doc.Given(strict.Index(path+"."+key, i)), "%s", what)
			}
		}
	}
	check("args", c.Args)
	check("command", c.Command)
}

// each calls f with the key and the value of every timeout.
func (t Timeouts) each(f func(key string, d time.Duration)) {
	v := reflect.ValueOf(t)
	for i := range v.NumField() {
		f(v.Type().Field(i).Tag.Get("yaml"), time.Duration(v.Field(i).Int()))
	}
}

func (t Timeouts) validate(doc *strict.Doc) {
	t.each(func(key string, d time.Duration) { checkTimeout(doc, "timeouts."+key, d) })
}

func checkTimeout(doc *strict.Doc, path string, d time.Duration) {
	if doc.Has(path) && d <= 0 {
		doc.Errorf(path, "want more than nothing, got %v", d)
	}
}
