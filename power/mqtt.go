package power

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// MQTT is a device that is switched by messages to a broker (MQTT 3.1.1, QoS 1).
type MQTT struct {
	Broker   string `yaml:"broker" strict:"required"` // tcp://HOST:1883 or ssl://HOST:8883
	User     string `yaml:"user"`
	Password Secret `yaml:"password"`
	Topic    string `yaml:"topic" strict:"required"` // such as cmnd/desk-3/POWER
	On       string `yaml:"on"`                      // the message; ON if left out
	Off      string `yaml:"off"`                     // OFF if left out

	// StateTopic is where the device says its state, such as stat/desk-3/POWER;
	// left out, the state is unknown. So it is, after 2 s, where the messages are
	// not retained and there is no AskTopic, but a switch is still confirmed.
	StateTopic string `yaml:"state_topic"`
	StateField string `yaml:"state_field"` // of a JSON message, such as state; the whole message if left out
	StateOn    string `yaml:"state_on"`    // as On if left out
	StateOff   string `yaml:"state_off"`
	// AskTopic is where AskMessage makes a device say its state whose messages the
	// broker does not retain.
	AskTopic   string `yaml:"ask_topic"`
	AskMessage string `yaml:"ask_message"`
}

func (c *MQTT) check() error {
	var errs []error
	for key, topic := range map[string]string{"topic": c.Topic, "state_topic": c.StateTopic, "ask_topic": c.AskTopic} {
		if strings.ContainsAny(topic, "+#\x00") || len(topic) > 65535 {
			errs = append(errs, fmt.Errorf("bad %s %q: want one topic", key, topic))
		}
	}
	if c.Topic == "" {
		errs = append(errs, errors.New("topic is empty"))
	}
	if (c.AskTopic != "" || c.StateField != "" || c.StateOn != "" || c.StateOff != "") && c.StateTopic == "" {
		errs = append(errs, errors.New("ask_topic, state_field, state_on and state_off need a state_topic"))
	}
	return errors.Join(append(errs, checkURL(c.Broker, "tcp", "mqtt", "ssl", "mqtts"))...)
}

func (c *MQTT) device() string { return plainURL(c.Broker) + "#" + c.Topic }

func (c *MQTT) secrets() []string {
	out := secretsOf(c.User, c.Password)
	if u, err := url.Parse(c.Broker); err == nil {
		password, _ := u.User.Password()
		out = append(out, secretsOf(u.User.Username(), Secret(password))...)
	}
	return out
}

func (c *MQTT) open(Options) (outlet, error) {
	m := &mqtt{MQTT: *c, quiet: mqttQuiet}
	m.On, m.Off = cmp.Or(c.On, "ON"), cmp.Or(c.Off, "OFF")
	m.StateOn, m.StateOff = cmp.Or(c.StateOn, m.On), cmp.Or(c.StateOff, m.Off)
	return m, nil
}

type mqtt struct {
	MQTT
	quiet time.Duration // mqttQuiet
}

// mqttQuiet is how long the state topic may be silent before the state is taken
// for unknown.
const mqttQuiet = 2 * time.Second

// session calls f with a connection of its own and what the state topic says.
func (m *mqtt) session(ctx context.Context, f func(paho.Client, <-chan string) error) error {
	deadline, _ := ctx.Deadline()
	said := make(chan string, 64)
	options := paho.NewClientOptions().AddBroker(m.Broker).SetClientID("b2c-" + rand.Text()[:18]).
		SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false).SetProtocolVersion(4).
		SetConnectTimeout(time.Until(deadline)).SetWriteTimeout(time.Until(deadline))
	if m.User != "" {
		options.SetUsername(m.User).SetPassword(string(m.Password))
	}
	client := paho.NewClient(options)
	defer client.Disconnect(0)
	if err := done(ctx, client.Connect()); err != nil {
		if errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword) || errors.Is(err, packets.ErrorRefusedNotAuthorised) {
			return refused{fmt.Errorf("the broker refused the connection: %w (try: check user and password)", err)}
		}
		return fmt.Errorf("failed to connect: %w", err)
	}
	if m.StateTopic != "" {
		subscribed := client.Subscribe(m.StateTopic, 1, func(_ paho.Client, message paho.Message) {
			select {
			case said <- string(message.Payload()):
			default: // a flood; the wait ends at its deadline
			}
		})
		if err := done(ctx, subscribed); err != nil {
			return fmt.Errorf("failed to subscribe to %q: %w", m.StateTopic, err)
		}
	}
	return f(client, said)
}

func done(ctx context.Context, token paho.Token) error {
	select {
	case <-token.Done():
		return token.Error()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// set publishes, and where there is a state topic waits for the device to obey;
// a retained message of the time before comes first.
func (m *mqtt) set(ctx context.Context, on bool) error {
	message := m.Off
	if on {
		message = m.On
	}
	return m.session(ctx, func(client paho.Client, said <-chan string) error {
		if err := done(ctx, client.Publish(m.Topic, 1, false, message)); err != nil {
			return fmt.Errorf("failed to publish to %q: %w", m.Topic, err)
		}
		if m.StateTopic == "" {
			return nil
		}
		if m.AskTopic != "" {
			if err := done(ctx, client.Publish(m.AskTopic, 1, false, m.AskMessage)); err != nil {
				return fmt.Errorf("failed to publish to %q: %w", m.AskTopic, err)
			}
		}
		last := errors.New("nothing")
		for {
			select {
			case text := <-said:
				state, err := m.parse(text)
				if state == stateOf(on) {
					return nil
				}
				if last = err; err == nil {
					last = fmt.Errorf("%s", state)
				}
			case <-ctx.Done():
				return fmt.Errorf("told to switch %s, %q says %w", stateOf(on), m.StateTopic, last)
			}
		}
	})
}

func (m *mqtt) state(ctx context.Context) (State, error) {
	if m.StateTopic == "" {
		return Unknown, nil
	}
	state := Unknown
	err := m.session(ctx, func(client paho.Client, said <-chan string) error {
		if m.AskTopic != "" {
			if err := done(ctx, client.Publish(m.AskTopic, 1, false, m.AskMessage)); err != nil {
				return fmt.Errorf("failed to publish to %q: %w", m.AskTopic, err)
			}
		}
		quiet := time.NewTimer(m.quiet)
		defer quiet.Stop()
		select {
		case text := <-said:
			var err error
			state, err = m.parse(text)
			return err
		case <-quiet.C:
			if m.AskTopic != "" {
				return fmt.Errorf("the device was asked on %q and did not answer on %q", m.AskTopic, m.StateTopic)
			}
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	return state, err
}

func (m *mqtt) parse(text string) (State, error) {
	value := text
	if m.StateField != "" {
		var fields map[string]any
		if err := json.Unmarshal([]byte(text), &fields); err != nil {
			return Unknown, fmt.Errorf("no JSON object: %s", excerpt([]byte(text)))
		}
		value = fmt.Sprint(fields[m.StateField])
	}
	switch value {
	case m.StateOn:
		return On, nil
	case m.StateOff:
		return Off, nil
	}
	return Unknown, fmt.Errorf("neither %q nor %q: %s", m.StateOn, m.StateOff, excerpt([]byte(text)))
}
