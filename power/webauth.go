package power

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"regexp"
	"strings"
)

// authorization answers the challenge of resp: digest where it is offered, with
// SHA-256 before MD5 (RFC 7616), else basic (RFC 7617). It is "" for any other.
func (w *web) authorization(resp *http.Response, method string) string {
	basic := false
	var best map[string]string
	for _, challenge := range resp.Header.Values("WWW-Authenticate") {
		scheme, rest, _ := strings.Cut(challenge, " ")
		switch strings.ToLower(scheme) {
		case "basic":
			basic = true
		case "digest":
			params := challengeParams(rest)
			if digestHash(params) != nil && (best == nil || strings.EqualFold(params["algorithm"], "SHA-256")) {
				best = params
			}
		}
	}
	switch {
	case best != nil:
		return w.digest(best, method, resp.Request.URL.RequestURI(), rand.Text())
	case basic:
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(w.user+":"+string(w.password)))
	}
	return ""
}

// digest is section 3.4 of RFC 7616 for qop auth, and for the older RFC 2069
// where the device offers no qop.
func (w *web) digest(params map[string]string, method, uri, cnonce string) string {
	sum := func(parts ...string) string {
		h := digestHash(params)()
		h.Write([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(h.Sum(nil))
	}
	ha1 := sum(w.user, params["realm"], string(w.password))
	ha2 := sum(method, uri)
	out := fmt.Sprintf(`Digest username=%q, realm=%q, nonce=%q, uri=%q`, w.user, params["realm"], params["nonce"], uri)
	if params["qop"] == "" {
		out += fmt.Sprintf(`, response=%q`, sum(ha1, params["nonce"], ha2))
	} else {
		const count = "00000001"
		out += fmt.Sprintf(`, response=%q, qop=auth, nc=%s, cnonce=%q`,
			sum(ha1, params["nonce"], count, cnonce, "auth", ha2), count, cnonce)
	}
	for _, key := range []string{"algorithm", "opaque"} {
		if value := params[key]; value != "" {
			out += fmt.Sprintf(`, %s=%q`, key, value)
		}
	}
	return out
}

// digestHash is nil for an algorithm that we do not speak.
func digestHash(params map[string]string) func() hash.Hash {
	if qop := params["qop"]; qop != "" && !regexp.MustCompile(`(^|,)\s*auth\s*(,|$)`).MatchString(qop) {
		return nil
	}
	switch strings.ToUpper(params["algorithm"]) {
	case "SHA-256":
		return sha256.New
	case "", "MD5":
		return md5.New
	}
	return nil
}

// challengeParam is NAME=TOKEN or NAME="TEXT" (RFC 9110, 11.2).
var challengeParam = regexp.MustCompile(`([A-Za-z][A-Za-z0-9-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))`)

func challengeParams(text string) map[string]string {
	params := map[string]string{}
	for _, m := range challengeParam.FindAllStringSubmatch(text, 32) {
		params[strings.ToLower(m[1])] = strings.ReplaceAll(m[2], `\`, "") + m[3]
	}
	return params
}
