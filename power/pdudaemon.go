package power

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// PDUDaemon is a port of a PDU behind pdudaemon, on its HTTP listener
// (https://github.com/pdudaemon/pdudaemon). It cannot be read back.
type PDUDaemon struct {
	URL      string `yaml:"url"`                        // http://localhost:16421 if left out
	Hostname string `yaml:"hostname" strict:"required"` // of the PDU in pdudaemon.conf
	Port     string `yaml:"port" strict:"required"`     // of that PDU
}

func (c *PDUDaemon) check() error {
	if c.Hostname == "" || c.Port == "" {
		return errors.New("hostname and port are needed")
	}
	return checkURL(c.url(), "http", "https")
}

func (c *PDUDaemon) url() string {
	if c.URL == "" {
		return "http://localhost:16421"
	}
	return strings.TrimSuffix(c.URL, "/")
}

func (c *PDUDaemon) device() string    { return plainURL(c.url()) + "/" + c.Hostname + "/" + c.Port }
func (c *PDUDaemon) secrets() []string { return nil }

func (c *PDUDaemon) open(Options) (outlet, error) {
	return &pduDaemon{PDUDaemon: *c, web: newWeb("", "", false)}, nil
}

type pduDaemon struct {
	PDUDaemon
	web *web
}

// set is answered with 200 when the request was accepted, and with 500, which is
// final, when the configuration has no such PDU.
func (p *pduDaemon) set(ctx context.Context, on bool) error {
	query := url.Values{"hostname": {p.Hostname}, "port": {p.Port}}
	address := p.url() + "/power/control/" + string(stateOf(on)) + "?" + query.Encode()
	status, answer, err := p.web.do(ctx, http.MethodGet, address, nil, "")
	switch {
	case err != nil:
		return err
	case status == http.StatusInternalServerError && bytes.Contains(answer, []byte("Invalid request")):
		return refused{fmt.Errorf("pdudaemon does not know PDU %q (try: pdudaemon.conf, \"pdus\")", p.Hostname)}
	case status != http.StatusOK:
		return badStatus(http.MethodGet, address, status, answer)
	case !bytes.HasPrefix(answer, []byte("OK")):
		return fmt.Errorf("pdudaemon did not say OK: %s", excerpt(answer))
	}
	return nil
}

func (p *pduDaemon) state(context.Context) (State, error) { return Unknown, nil }
