package power

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	ipmiclient "github.com/bougou/go-ipmi/pkg/client"
	"github.com/bougou/go-ipmi/pkg/command/chassis"
	"github.com/bougou/go-ipmi/pkg/types"
)

// IPMI is the chassis of a machine with a baseboard management controller, over
// lanplus (IPMI 2.0, RMCP+). Off is the hard power down, without asking the
// operating system.
type IPMI struct {
	Host     string `yaml:"host" strict:"required"` // HOST or HOST:PORT; the port is 623 if left out
	User     string `yaml:"user"`
	Password Secret `yaml:"password"`
	// Privilege is the level asked for: operator or administrator (if left out).
	Privilege string `yaml:"privilege"`
	// CipherSuite is the number of the cipher suite (IPMI 2.0, table 22-20). If
	// left out, 17 is tried, then 3, which a controller must have.
	CipherSuite int  `yaml:"cipher_suite"`
	Meter       bool `yaml:"meter"` // it has DCMI power reading
}

// maxIPMIUser and maxIPMIPassword are in bytes (IPMI 2.0, 22.28 and 22.30).
const (
	maxIPMIUser     = 16
	maxIPMIPassword = 20
)

func (c *IPMI) check() error {
	var errs []error
	if len(c.User) > maxIPMIUser || len(c.Password) > maxIPMIPassword {
		errs = append(errs, fmt.Errorf("user or password is too long (IPMI has %d and %d bytes)", maxIPMIUser, maxIPMIPassword))
	}
	if _, err := c.privilege(); err != nil {
		errs = append(errs, err)
	}
	if c.CipherSuite < 0 || c.CipherSuite > 19 {
		errs = append(errs, fmt.Errorf("bad cipher_suite %d: want 1 to 19", c.CipherSuite))
	}
	_, _, err := c.hostPort()
	return errors.Join(append(errs, err)...)
}

// hostPort puts the brackets around an IPv6 address that the library leaves out.
func (c *IPMI) hostPort() (string, int, error) {
	host, port, err := splitPort(c.Host, 623)
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host, int(port), err
}

func (c *IPMI) privilege() (types.PrivilegeLevel, error) {
	switch c.Privilege {
	case "operator":
		return types.PrivilegeLevelOperator, nil
	case "", "administrator":
		return types.PrivilegeLevelAdministrator, nil
	}
	return 0, fmt.Errorf("bad privilege %q: want operator or administrator", c.Privilege)
}

func (c *IPMI) device() string    { return c.Host }
func (c *IPMI) secrets() []string { return secretsOf(c.User, c.Password) }

func (c *IPMI) open(Options) (outlet, error) {
	if c.Meter {
		return &meteredIPMI{ipmi{*c}}, nil
	}
	return &ipmi{*c}, nil
}

type ipmi struct{ IPMI }

// ipmiExchange bounds one request to the controller, which is sent three times
// before it has failed.
const (
	ipmiExchange = time.Second
	ipmiRepeats  = 2
)

// ciphers are suites to try. Asking for those that the controller has costs some
// controllers seconds.
func (i *ipmi) ciphers() []types.CipherSuiteID {
	if i.CipherSuite != 0 {
		return []types.CipherSuiteID{types.CipherSuiteID(i.CipherSuite)}
	}
	return []types.CipherSuiteID{types.CipherSuiteID17, types.CipherSuiteID3}
}

// session calls f in a session of its own.
func (i *ipmi) session(ctx context.Context, f func(*ipmiclient.Client) error) (err error) {
	host, port, err := i.hostPort()
	if err != nil {
		return err
	}
	level, err := i.privilege()
	if err != nil {
		return err
	}
	client, err := ipmiclient.NewClient(host, port, i.User, string(i.Password))
	if err != nil {
		return err
	}
	client.WithMaxPrivilegeLevel(level).WithTimeout(ipmiExchange).WithRetry(ipmiRepeats).WithCipherSuiteID(i.ciphers()...)
	connected := false
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), ipmiExchange)
		defer cancel()
		if !connected {
			cancel() // there is no session to end, only a socket to close
		}
		if closeErr := client.Close(closing); closeErr != nil && err == nil {
			err = fmt.Errorf("failed to close the session: %w", closeErr)
		}
	}()
	if err := client.Connect(ctx); err != nil {
		if text := err.Error(); strings.Contains(text, "rakp") && !strings.Contains(text, "timed out") && ctx.Err() == nil {
			return refused{fmt.Errorf("the controller refused the session (try: check user, password and privilege): %w", err)}
		}
		return err
	}
	connected = true
	return f(client)
}

func (i *ipmi) set(ctx context.Context, on bool) error {
	control := chassis.ChassisControlPowerDown
	if on {
		control = chassis.ChassisControlPowerUp
	}
	return i.session(ctx, func(c *ipmiclient.Client) error {
		_, err := c.ChassisControl(ctx, control)
		return err
	})
}

func (i *ipmi) state(ctx context.Context) (State, error) {
	state := Unknown
	err := i.session(ctx, func(c *ipmiclient.Client) error {
		status, err := c.GetChassisStatus(ctx)
		if err == nil {
			state = stateOf(status.PowerIsOn)
		}
		return err
	})
	if err != nil {
		return Unknown, err
	}
	return state, nil
}

type meteredIPMI struct{ ipmi }

// watts is DCMI 1.5, 6.6.1.
func (i *meteredIPMI) watts(ctx context.Context) (float64, error) {
	var watts float64
	err := i.session(ctx, func(c *ipmiclient.Client) error {
		reading, err := c.GetDCMIPowerReading(ctx)
		if err == nil {
			watts = float64(reading.CurrentPower)
		}
		return err
	})
	return watts, err
}
