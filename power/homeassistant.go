package power

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// HomeAssistant is an entity of Home Assistant that can be turned on and off
// (https://developers.home-assistant.io/docs/api/rest/).
type HomeAssistant struct {
	URL      string `yaml:"url" strict:"required"`    // http://homeassistant.local:8123
	Token    Secret `yaml:"token" strict:"required"`  // a long-lived access token
	Entity   string `yaml:"entity" strict:"required"` // switch.desk_3
	Watts    string `yaml:"watts"`                    // a sensor of the power in W or kW, such as sensor.desk_3_power
	Insecure bool   `yaml:"insecure"`                 // accept any TLS certificate
}

var entityID = regexp.MustCompile(`^[a-z0-9_]+\.[a-z0-9_]+$`)

func (c *HomeAssistant) check() error {
	if !entityID.MatchString(c.Entity) {
		return fmt.Errorf("bad entity %q: want one such as switch.desk_3", c.Entity)
	}
	if c.Watts != "" && !entityID.MatchString(c.Watts) {
		return fmt.Errorf("bad watts %q: want an entity such as sensor.desk_3_power", c.Watts)
	}
	if c.Token == "" {
		return fmt.Errorf("token is empty (try: your profile page in home assistant, security, long-lived access tokens)")
	}
	return checkURL(c.URL, "http", "https")
}

func (c *HomeAssistant) device() string    { return plainURL(c.URL) + "#" + c.Entity }
func (c *HomeAssistant) secrets() []string { return []string{string(c.Token)} }

func (c *HomeAssistant) open(Options) (outlet, error) {
	h := &homeAssistant{HomeAssistant: *c, web: newWeb("", "", c.Insecure)}
	if c.Watts != "" {
		return &meteredHomeAssistant{h}, nil
	}
	return h, nil
}

type homeAssistant struct {
	HomeAssistant
	web *web
}

func (h *homeAssistant) call(ctx context.Context, method, path, body string) ([]byte, error) {
	address := strings.TrimSuffix(h.URL, "/") + path
	header := map[string]Secret{"Authorization": "Bearer " + h.Token, "Content-Type": "application/json"}
	status, answer, err := h.web.do(ctx, method, address, header, body)
	if err == nil && status != http.StatusOK {
		err = badStatus(method, address, status, answer)
	}
	return answer, err
}

// set calls the service of the entity's own domain, which a group or a light has
// as well as a switch.
func (h *homeAssistant) set(ctx context.Context, on bool) error {
	body, err := json.Marshal(map[string]string{"entity_id": h.Entity})
	if err != nil {
		return err
	}
	domain, _, _ := strings.Cut(h.Entity, ".")
	_, err = h.call(ctx, http.MethodPost, "/api/services/"+domain+"/turn_"+string(stateOf(on)), string(body))
	return err
}

type entityState struct {
	State      string `json:"state"`
	Attributes struct {
		Unit string `json:"unit_of_measurement"`
	} `json:"attributes"`
}

func (h *homeAssistant) read(ctx context.Context, entity string) (e entityState, err error) {
	answer, err := h.call(ctx, http.MethodGet, "/api/states/"+entity, "")
	if err == nil {
		err = json.Unmarshal(answer, &e)
	}
	return e, err
}

func (h *homeAssistant) state(ctx context.Context) (State, error) {
	e, err := h.read(ctx, h.Entity)
	if err != nil {
		return Unknown, err
	}
	switch e.State {
	case "on":
		return On, nil
	case "off":
		return Off, nil
	}
	return Unknown, fmt.Errorf("%s is neither on nor off but %s", h.Entity, excerpt([]byte(e.State)))
}

type meteredHomeAssistant struct{ *homeAssistant }

func (h *meteredHomeAssistant) watts(ctx context.Context) (float64, error) {
	e, err := h.read(ctx, h.Watts)
	if err != nil {
		return 0, err
	}
	value, err := strconv.ParseFloat(e.State, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not a number but %s", h.Watts, excerpt([]byte(e.State)))
	}
	switch e.Attributes.Unit {
	case "W":
		return value, nil
	case "kW":
		return value * 1000, nil
	}
	return 0, refused{fmt.Errorf("%s is measured in %q, want W or kW", h.Watts, e.Attributes.Unit)}
}
