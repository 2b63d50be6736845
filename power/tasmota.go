package power

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
)

// Tasmota is a plug or relay with the Tasmota firmware, on its web commands
// (https://tasmota.github.io/docs/Commands/).
type Tasmota struct {
	Host     string `yaml:"host" strict:"required"` // HOST or HOST:PORT
	Relay    int    `yaml:"relay"`                  // of a device with several, from 1; 0 is 1
	User     string `yaml:"user"`                   // admin if a password is given without one
	Password Secret `yaml:"password"`
}

func (c *Tasmota) check() error {
	if c.Relay < 0 || c.Relay > 32 {
		return fmt.Errorf("bad relay %d: want 1 to 32", c.Relay)
	}
	return checkHost(c.Host)
}

func (c *Tasmota) device() string    { return c.Host + "/" + strconv.Itoa(max(c.Relay, 1)) }
func (c *Tasmota) secrets() []string { return secretsOf(c.User, c.Password) }

func (c *Tasmota) open(Options) (outlet, error) {
	return &tasmota{Tasmota: *c, web: newWeb("", "", false)}, nil
}

type tasmota struct {
	Tasmota
	web *web
}

// command runs a web command. Wrong credentials are answered with a WARNING, in
// some versions with status 200.
func (t *tasmota) command(ctx context.Context, command string) (map[string]any, error) {
	query := url.Values{"cmnd": {command}}
	if t.Password != "" {
		query.Set("user", "admin")
		if t.User != "" {
			query.Set("user", t.User)
		}
		query.Set("password", string(t.Password))
	}
	var answer map[string]any
	if err := t.web.getJSON(ctx, "http://"+t.Host+"/cm?"+query.Encode(), &answer); err != nil {
		return nil, err
	}
	if warning, ok := answer["WARNING"].(string); ok {
		return nil, refused{fmt.Errorf("the device refused %q: %s (try: check user and password)", command, excerpt([]byte(warning)))}
	}
	return answer, nil
}

func (t *tasmota) set(ctx context.Context, on bool) error {
	state, err := t.power(ctx, " "+string(stateOf(on)))
	if err == nil && state != stateOf(on) {
		err = fmt.Errorf("told to switch %s, it answers %s", stateOf(on), state)
	}
	return err
}

func (t *tasmota) state(ctx context.Context) (State, error) { return t.power(ctx, "") }

// power sends Power<relay>. A device with one relay answers POWER, one with more
// POWER1, POWER2, …
func (t *tasmota) power(ctx context.Context, argument string) (State, error) {
	name := strconv.Itoa(max(t.Relay, 1))
	answer, err := t.command(ctx, "Power"+name+argument)
	if err != nil {
		return Unknown, err
	}
	value, ok := answer["POWER"+name]
	if !ok && t.Relay <= 1 {
		value = answer["POWER"]
	}
	switch value {
	case "ON":
		return On, nil
	case "OFF":
		return Off, nil
	}
	return Unknown, fmt.Errorf("the answer says neither ON nor OFF for relay %s: %s", name, excerpt(fmt.Append(nil, answer)))
}

// energy reads a sensor of Status 10 (StatusSNS.ENERGY).
func (t *tasmota) energy(ctx context.Context, key string) (float64, error) {
	answer, err := t.command(ctx, "Status 10")
	if err != nil {
		return 0, err
	}
	sensors, _ := answer["StatusSNS"].(map[string]any)
	energy, _ := sensors["ENERGY"].(map[string]any)
	value, ok := energy[key].(float64)
	if !ok {
		return 0, refused{fmt.Errorf("the device has no meter: no StatusSNS.ENERGY.%s", key)}
	}
	return value, nil
}

func (t *tasmota) watts(ctx context.Context) (float64, error) { return t.energy(ctx, "Power") }

// joules converts the Total, which is in kWh.
func (t *tasmota) joules(ctx context.Context) (float64, error) {
	kwh, err := t.energy(ctx, "Total")
	return kwh * 3.6e6, err
}
