package jobs

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"b2c-runner/jobs/strict"
)

// b2cOption is how boot2container takes an option.
type b2cOption struct {
	repeated bool // each occurrence counts; otherwise the last one wins
	flag     bool // no value: being there switches it on
}

// b2cOptions are boot2container's options except for the containers themselves,
// old names beside new ones.
var b2cOptions = map[string]b2cOption{
	"cache_device":   {},
	"extra_args_url": {},
	"filesystem":     {repeated: true},
	"hostname":       {},
	"iface":          {repeated: true},
	"insmods":        {},
	"keymap":         {},
	"minio":          {repeated: true},
	"nbd":            {repeated: true},
	"ntp_peer":       {},
	"pipefail":       {flag: true},
	"post_container": {repeated: true},
	"poweroff_delay": {},
	"proxy":          {},
	"reboot_cmd":     {},
	"run_post":       {repeated: true},
	"run_service":    {repeated: true},
	"service":        {repeated: true},
	"shutdown_cmd":   {},
	"storage":        {},
	"swap":           {},
	"volume":         {repeated: true},
}

// WithClock returns a copy of j whose board asks the time server at addr instead
// of one on the internet, if the job leaves the choice open ("ntp_peer: auto").
func (j *Job) WithClock(addr netip.Addr) *Job {
	out := *j
	if slices.Equal(j.B2C["ntp_peer"], []string{"auto"}) {
		out.B2C = maps.Clone(j.B2C)
		out.B2C["ntp_peer"] = []string{addr.String()}
	}
	return &out
}

func (j *Job) validateB2C(doc *strict.Doc) {
	known := slices.Collect(maps.Keys(b2cOptions))
	for key, values := range j.B2C {
		path := strict.Key("b2c", key)
		option, ok := b2cOptions[key]
		switch {
		case key == "run" || key == "container":
			doc.Errorf(path, "containers are listed under the top-level key \"containers\"")
			continue
		case !ok:
			doc.Errorf(path, "unknown boot2container option%s", didYouMean(strict.Suggest(strings.TrimPrefix(key, "b2c."), known)))
			continue
		case len(values) == 0:
			doc.Errorf(path, "is an empty list")
		case len(values) > 1 && !option.repeated:
			doc.Errorf(path, "takes one value: boot2container would use the last one only")
		case option.flag && values[0] != "true" && values[0] != "false":
			doc.Errorf(path, "want true or false, got %q", values[0])
		}
		for i, v := range values {
			if what := unspeakable(v); what != "" {
				doc.Errorf(doc.Given(strict.Index(path, i)), "%s", what)
			}
		}
	}
}

// unspeakable says why boot2container cannot be given text as a value, or "".
func unspeakable(text string) string {
	if strings.Contains(text, `"`) {
		return fmt.Sprintf("%q has a double quote, which boot2container cannot take (try: single quotes, or a script in the image)", text)
	}
	if what := badCmdline(text); what != "" {
		return fmt.Sprintf("%q %s, which the kernel command line cannot carry", text, what)
	}
	return ""
}

func didYouMean(word string) string {
	if word == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", word)
}
