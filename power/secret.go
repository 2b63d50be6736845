package power

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Secret is a string of the lab file, such as a password, that no log, error or
// report shows.
type Secret string

const mask = "***"

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// GoString keeps a Secret out of %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue keeps a Secret out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps a Secret out of JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// refused is an error that another attempt would not change, such as wrong
// credentials.
type refused struct{ error }

func (e refused) Unwrap() error { return e.error }

// sealedError is an error whose text has no secrets. It answers errors.Is for
// its cause but does not hand it out.
type sealedError struct {
	text  string
	cause error
}

func (e *sealedError) Error() string        { return e.text }
func (e *sealedError) Is(target error) bool { return errors.Is(e.cause, target) }

// sealed puts err on one line and blots the secrets out of it, also where they are written as in a URL,
// in basic authentication, in JSON, or quoted.
func sealed(err error, secrets []string) error {
	var forms []string
	for _, s := range secrets {
		if s == "" {
			continue
		}
		quoted := strconv.Quote(s)
		forms = append(forms, s, url.QueryEscape(s), url.PathEscape(s), base64.StdEncoding.EncodeToString([]byte(s)), quoted[1:len(quoted)-1])
		if data, err := json.Marshal(s); err == nil {
			forms = append(forms, string(data[1:len(data)-1]))
		}
	}
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	for _, form := range forms {
		text = strings.ReplaceAll(text, form, mask)
	}
	return &sealedError{text, err}
}

// secretsOf is what a driver with a user name and a password must not show.
func secretsOf(user string, password Secret) []string {
	if password == "" {
		return nil
	}
	return []string{string(password), user + ":" + string(password)}
}
