package power

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// HTTP is any device that is switched by HTTP requests.
type HTTP struct {
	On    *Request      `yaml:"on" strict:"required"`
	Off   *Request      `yaml:"off" strict:"required"`
	State *StateRequest `yaml:"state"` // left out, the state is unknown

	User     string `yaml:"user"` // sent when the device asks: digest or basic
	Password Secret `yaml:"password"`
	Insecure bool   `yaml:"insecure"` // accept any TLS certificate
}

// Request is an HTTP request and the answer that means it was obeyed.
type Request struct {
	URL     string            `yaml:"url" strict:"required"`
	Method  string            `yaml:"method"` // GET; POST if there is a body
	Headers map[string]Secret `yaml:"headers"`
	Body    Secret            `yaml:"body"`
	Status  []int             `yaml:"status" strict:"single"` // of the answer; any 2xx if left out
	Answer  string            `yaml:"answer"`                 // a regular expression that its body matches
}

// StateRequest is a request whose answer tells the state: the regular expression
// that its body matches is On's or Off's.
type StateRequest struct {
	Request `yaml:",inline"`
	On      string `yaml:"on" strict:"required"`
	Off     string `yaml:"off" strict:"required"`
}

func (c *HTTP) check() error {
	var errs []error
	for _, r := range []struct {
		name string
		*Request
	}{{"on", c.On}, {"off", c.Off}} {
		if r.Request == nil {
			errs = append(errs, fmt.Errorf("%s is missing", r.name))
		} else if err := r.check(); err != nil {
			errs = append(errs, fmt.Errorf("bad %s: %w", r.name, err))
		}
	}
	if s := c.State; s != nil {
		errs = append(errs, s.check(), checkPattern("state.on", s.On), checkPattern("state.off", s.Off))
		if s.On == "" || s.Off == "" {
			errs = append(errs, errors.New("state needs both on and off"))
		}
	}
	return errors.Join(errs...)
}

func (r *Request) check() error {
	_, err := http.NewRequest(r.method(), "http://host", nil)
	for _, status := range r.Status {
		if status < 200 || status > 599 {
			err = errors.Join(err, fmt.Errorf("bad status %d", status))
		}
	}
	return errors.Join(err, checkURL(r.URL, "http", "https"), checkPattern("answer", r.Answer))
}

func checkPattern(name, pattern string) error {
	if _, err := regexp.Compile(pattern); err != nil {
		return fmt.Errorf("bad %s: %w", name, err)
	}
	return nil
}

// device tells requests apart by a digest, since they may hold secrets.
func (c *HTTP) device() string {
	if c.On == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(c.On.method() + " " + c.On.URL + "\n" + string(c.On.Body)))
	return fmt.Sprintf("%s#%x", plainURL(c.On.URL), sum[:4])
}

func (c *HTTP) secrets() []string {
	out := secretsOf(c.User, c.Password)
	requests := []*Request{c.On, c.Off}
	if c.State != nil {
		requests = append(requests, &c.State.Request)
	}
	for _, r := range requests {
		if r == nil {
			continue
		}
		for _, value := range r.Headers {
			scheme, token, _ := strings.Cut(string(value), " ")
			out = append(out, string(value), token)
			if token == "" {
				out = append(out, scheme)
			}
		}
		out = append(out, string(r.Body))
		if u, err := url.Parse(r.URL); err == nil {
			out = append(out, u.RawQuery)
			if password, ok := u.User.Password(); ok {
				out = append(out, secretsOf(u.User.Username(), Secret(password))...)
			}
		}
	}
	return out
}

func (r *Request) method() string {
	switch {
	case r.Method != "":
		return r.Method
	case r.Body != "":
		return http.MethodPost
	}
	return http.MethodGet
}

func (c *HTTP) open(Options) (outlet, error) {
	return &httpOutlet{HTTP: *c, web: newWeb(c.User, c.Password, c.Insecure)}, nil
}

type httpOutlet struct {
	HTTP
	web *web
}

func (h *httpOutlet) set(ctx context.Context, on bool) error {
	r := h.Off
	if on {
		r = h.On
	}
	_, err := h.do(ctx, r)
	return err
}

func (h *httpOutlet) state(ctx context.Context) (State, error) {
	if h.State == nil {
		return Unknown, nil
	}
	answer, err := h.do(ctx, &h.State.Request)
	if err != nil {
		return Unknown, err
	}
	return matchState(answer, h.State.On, h.State.Off)
}

func (h *httpOutlet) do(ctx context.Context, r *Request) ([]byte, error) {
	status, answer, err := h.web.do(ctx, r.method(), r.URL, r.Headers, string(r.Body))
	if err != nil {
		return nil, err
	}
	if good := r.Status; len(good) == 0 && (status < 200 || status > 299) || len(good) > 0 && !slices.Contains(good, status) {
		return nil, badStatus(r.method(), r.URL, status, answer)
	}
	if r.Answer != "" && !regexp.MustCompile(r.Answer).Match(answer) {
		return nil, fmt.Errorf("the answer to %s %s does not match %q: %s", r.method(), plainURL(r.URL), r.Answer, excerpt(answer))
	}
	return answer, nil
}

// matchState reads a state from what a device or a command said, which must
// match one of two checked patterns and not the other.
func matchState(answer []byte, on, off string) (State, error) {
	answer = bytes.TrimSpace(answer) // so that $ is the end of what a person sees
	isOn, isOff := regexp.MustCompile(on).Match(answer), regexp.MustCompile(off).Match(answer)
	switch {
	case isOn && isOff:
		return Unknown, fmt.Errorf("the answer matches both %q and %q: %s", on, off, excerpt(answer))
	case isOn:
		return On, nil
	case isOff:
		return Off, nil
	}
	return Unknown, fmt.Errorf("the answer matches neither %q nor %q: %s", on, off, excerpt(answer))
}
