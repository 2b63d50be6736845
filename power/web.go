package power

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxAnswer bounds what is read of a device's answer, in bytes.
const maxAnswer = 256 << 10

// web talks HTTP to a device. It sends credentials only where the device asks
// for them, follows no redirect and keeps no connection.
type web struct {
	client   *http.Client
	user     string
	password Secret
}

func newWeb(user string, password Secret, insecure bool) *web {
	return &web{client: httpClient(insecure), user: user, password: password}
}

// httpClient uses no proxy: the devices are on the bench.
func httpClient(insecure bool) *http.Client {
	return &http.Client{
		Transport: limitedTransport{&http.Transport{
			DisableKeepAlives:      true,
			TLSClientConfig:        &tls.Config{InsecureSkipVerify: insecure},
			MaxResponseHeaderBytes: maxAnswer,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// limitedTransport bounds the bodies of answers.
type limitedTransport struct{ http.RoundTripper }

func (t limitedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// do makes a request and returns the status and the body of the answer. The
// error names the request without its query.
func (w *web) do(ctx context.Context, method, address string, header map[string]Secret, body string) (int, []byte, error) {
	resp, answer, err := w.send(ctx, method, address, header, body, "")
	if err == nil && resp.StatusCode == http.StatusUnauthorized && (w.user != "" || w.password != "") {
		if credentials := w.authorization(resp, method); credentials != "" {
			resp, answer, err = w.send(ctx, method, address, header, body, credentials)
		}
	}
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", method, plainURL(address), bareError(err))
	}
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		return 0, nil, refused{fmt.Errorf("%s %s: %s (try: check user and password or token)", method, plainURL(address), resp.Status)}
	}
	return resp.StatusCode, answer, nil
}

// get is do for a GET request that must be answered with status 200.
func (w *web) get(ctx context.Context, address string) ([]byte, error) {
	status, answer, err := w.do(ctx, http.MethodGet, address, nil, "")
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, badStatus(http.MethodGet, address, status, answer)
	}
	return answer, nil
}

// getJSON is get for a JSON answer.
func (w *web) getJSON(ctx context.Context, address string, out any) error {
	answer, err := w.get(ctx, address)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("the answer to GET %s is not as expected: %w: %s", plainURL(address), err, excerpt(answer))
	}
	return nil
}

func (w *web) send(ctx context.Context, method, address string, header map[string]Secret, body, credentials string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	for key, value := range header {
		req.Header.Set(key, string(value))
	}
	if credentials != "" {
		req.Header.Set("Authorization", credentials)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && len(answer) >= maxAnswer {
		err = fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	return resp, answer, err
}

// badStatus says which answer was not the one that was hoped for. What the
// request itself did wrong another attempt would not change.
func badStatus(method, address string, status int, answer []byte) error {
	err := fmt.Errorf("%s %s: %d %s: %s", method, plainURL(address), status, http.StatusText(status), excerpt(answer))
	if status >= 400 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout {
		return refused{err}
	}
	return err
}

// plainURL is an address without user, password and query.
func plainURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the URL"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// bareError is the cause of an error of net/http, which repeats the URL.
func bareError(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// excerpt is the start of what a device said, on one line.
func excerpt(answer []byte) string {
	const most = 200
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(answer[:min(len(answer), most)]), "\uFFFD")), " ")
	if len(answer) > most {
		text += "…"
	}
	return fmt.Sprintf("%q", text)
}

// checkURL reports what is wrong with the address of a device.
func checkURL(address string, schemes ...string) error {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("bad url %q: %w", plainURL(address), bareError(err))
	}
	for _, scheme := range schemes {
		if u.Scheme == scheme && u.Host != "" {
			return nil
		}
	}
	return fmt.Errorf("bad url %q: want %s://HOST", plainURL(address), strings.Join(schemes, "://HOST or "))
}

// checkHost reports what is wrong with a HOST or HOST:PORT.
func checkHost(host string) error {
	if u, err := url.Parse("http://" + host); err != nil || host == "" || u.Host != host || u.Hostname() == "" {
		return fmt.Errorf("bad host %q: want HOST or HOST:PORT", host)
	}
	return nil
}
