package power

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"gopkg.in/yaml.v3"
)

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "power has no driver (want exactly one of usbhub, gpio, serial-relay,",
		`{shelly: {host: a}, gpio: {line: RELAY}}`:                                                      "more than one driver: gpio, shelly",
		`{shelly: {host: a}, off_time: 2h}`:                                                             "bad power off_time 2h0m0s",
		`{shelly: {host: a}, settle: 2h}`:                                                               "bad power settle 2h0m0s",
		`{usbhub: {hub: ../1-1, port: 2}}`:                                                              `bad power usbhub: bad hub "../1-1"`,
		`{usbhub: {hub: 1-1}}`:                                                                          "bad port 0",
		`{usbhub: {hub: 1-1, port: 1, controller: ../x}}`:                                               "bad controller",
		`{gpio: {line: "17"}}`:                                                                          "needs a chip",
		`{gpio: {}}`:                                                                                    "line is empty",
		`{gpio: {chip: /dev/gpiochip0, line: "-1"}}`:                                                    "bad line -1",
		`{serial-relay: {device: /dev/ttyUSB0, protocol: modbus}}`:                                      `bad protocol "modbus": want one of lcus, lcus-status, numato`,
		`{serial-relay: {device: /dev/ttyUSB0, channel: 256}}`:                                          "bad channel 256",
		`{serial-relay: {channel: 1, baud: -1, id_digits: 2}}`:                                          "device is empty",
		`{snmp: {host: a, preset: acp, outlet: "1"}}`:                                                   `bad preset "acp": want one of apc, apc-masterswitch, cyberpower, poe`,
		`{snmp: {host: a, preset: apc}}`:                                                                `bad outlet ""`,
		`{snmp: {host: a, preset: apc, outlet: "1", oid: 1.2.3}}`:                                       "leave them out",
		`{snmp: {host: a, oid: 1.2.3, on: "1", off: "1"}}`:                                              "different on and off",
		`{snmp: {host: a, oid: sysContact.0, on: "1", off: "0"}}`:                                       `bad oid "sysContact.0"`,
		`{snmp: {host: a, oid: 1.2.3, on: "1", off: "0", version: "4"}}`:                                `bad version "4"`,
		`{snmp: {host: a, oid: 1.2.3, on: "1", off: "0", version: "3"}}`:                                "version 3 has a user",
		`{snmp: {host: a, oid: 1.2.3, on: "1", off: "0", user: u}}`:                                     "needs version 3",
		`{snmp: {host: a, oid: 1.2.3, on: "1", off: "0", version: "3", user: u, auth: ROT13}}`:          `bad auth "ROT13"`,
		`{snmp: {host: a, oid: 1.2.3, on: "1", off: "0", version: "3", user: u, privacy: ROT13}}`:       `bad privacy "ROT13"`,
		`{snmp: {host: a, oid: 1.2.3, on: "1", off: "0", version: "3", user: u, privacy_password: pp}}`: "privacy needs auth_password",
		`{snmp: {host: "a:x", preset: apc, outlet: "1"}}`:                                               `bad host "a:x"`,
		`{shelly: {host: "http://a"}}`:                                                                  `bad host "http://a"`,
		`{shelly: {host: "a/b"}}`:                                                                       `bad host "a/b"`,
		`{shelly: {host: a, channel: 99}}`:                                                              "bad channel 99",
		`{tasmota: {host: a, relay: 99}}`:                                                               "bad relay 99",
		`{mqtt: {broker: "http://a", topic: t}}`:                                                        "bad url",
		`{mqtt: {broker: "tcp://a", topic: "t/#"}}`:                                                     `bad topic "t/#"`,
		`{mqtt: {broker: "tcp://a", topic: t, ask_topic: u}}`:                                           "need a state_topic",
		`{http: {on: {url: "http://a"}}}`:                                                               "off is missing",
		`{http: {on: {url: "ftp://a"}, off: {url: "http://a"}}}`:                                        `bad on: bad url "ftp://a"`,
		`{http: {on: {url: "http://a", answer: "("}, off: {url: "http://a"}}}`:                          "bad answer",
		`{http: {on: {url: "http://a", method: "G T"}, off: {url: "http://a"}}}`:                        "invalid method",
		`{http: {on: {url: "http://a", status: [99]}, off: {url: "http://a"}}}`:                         "bad status 99",
		`{http: {on: {url: "http://a"}, off: {url: "http://a"}, state: {on: x}}}`:                       "state needs both on and off",
		`{pdudaemon: {hostname: a}}`:                                                                    "hostname and port are needed",
		`{homeassistant: {url: "http://a", token: t, entity: Desk}}`:                                    `bad entity "Desk"`,
		`{homeassistant: {url: "http://a", entity: switch.a}}`:                                          "token is empty",
		`{redfish: {url: a}}`:                                                                           "bad url",
		`{ipmi: {host: a, user: seventeen-letters}}`:                                                    "too long",
		`{ipmi: {host: a, privilege: root}}`:                                                            `bad privilege "root"`,
		`{ipmi: {host: a, cipher_suite: 99}}`:                                                           "bad cipher_suite 99",
		`{exec: {on: [a]}}`:                                                                             "off is empty",
		`{exec: {on: [a], off: [b], state: {command: [c], on: x}}}`:                                     "state needs both on and off",

		`{usbhub: {hub: 1-1.1, port: 2}, off_time: 5s}`:                    "",
		`{usbhub: {hub: usb1, port: 2, controller: "0000:00:14.0"}}`:       "",
		`{serial-relay: {device: /dev/serial/by-id/usb-1a86, channel: 2}}`: "",
		`{snmp: {host: "[fe80::1]:1161", preset: poe, outlet: "1.7"}}`:     "",
		`{pdudaemon: {hostname: a, port: "1"}}`:                            "",
		`{ipmi: {host: 10.0.0.9}}`:                                         "",
		`{manual: {}}`:                                                     "",
	} {
		var spec Spec
		must(t, yaml.Unmarshal([]byte(text), &spec))
		if err := spec.Check(); want != "" {
			t.Run(text, func(t *testing.T) { wantError(t, err, want) })
			if _, openErr := Open(spec, Options{}); openErr == nil {
				t.Errorf("%s: opens all the same", text)
			}
		} else if err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestDevice(t *testing.T) {
	for text, want := range map[string]string{
		`{usbhub: {hub: 1-1.1, port: 2}}`:                             "usbhub:1-1.1/2",
		`{usbhub: {hub: 3-1.1, port: 2, controller: "0000:00:14.0"}}`: "usbhub:0000:00:14.0/-1.1/2",
		`{gpio: {chip: /dev/gpiochip9, line: "17"}}`:                  "gpio:/dev/gpiochip9/17",
		`{serial-relay: {device: /dev/ttyUSB7}}`:                      "serial-relay:/dev/ttyUSB7/1",
		`{serial-relay: {device: /dev/ttyACM7, protocol: numato}}`:    "serial-relay:/dev/ttyACM7/0",
		`{snmp: {host: pdu, preset: apc, outlet: "3"}}`:               "snmp:pdu#1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.3",
		`{snmp: {host: pdu, preset: cyberpower, outlet: "3"}}`:        "snmp:pdu#1.3.6.1.4.1.3808.1.1.3.3.3.1.1.4.3",
		`{snmp: {host: switch, preset: poe, outlet: "2.3"}}`:          "snmp:switch#1.3.6.1.2.1.105.1.1.1.3.2.3",
		`{shelly: {host: plug, password: hush}}`:                      "shelly:plug/0",
		`{tasmota: {host: plug}}`:                                     "tasmota:plug/1",
		`{mqtt: {broker: "tcp://u:hush@b:1883", topic: a/b}}`:         "mqtt:tcp://b:1883#a/b",
		`{http: {on: {url: "http://u:hush@a/on?key=hush"}}}`:          "http:http://a/on#",
		`{pdudaemon: {hostname: pdu, port: 3}}`:                       "pdudaemon:http://localhost:16421/pdu/3",
		`{homeassistant: {url: "http://ha/", entity: switch.a}}`:      "homeassistant:http://ha/#switch.a",
		`{redfish: {url: "https://bmc/", system: "1"}}`:               "redfish:https://bmc#1",
		`{ipmi: {host: bmc}}`:                                         "ipmi:bmc",
		`{exec: {on: [/opt/relay, "on", "3"]}}`:                       "exec:relay#",
		`{manual: {switch: the left plug}}`:                           "manual:the left plug",
		`{manual: {}}`:                                                "",
		`{}`:                                                          "",
	} {
		var spec Spec
		must(t, yaml.Unmarshal([]byte(text), &spec))
		got := spec.Device()
		if cut, found := strings.CutSuffix(want, "#"); found {
			got = strings.TrimRight(got, "0123456789abcdef")
			want = cut + "#"
		}
		if got != want {
			t.Errorf("%s: the device is %q, want %q", text, got, want)
		}
		if strings.Contains(spec.Device(), "hush") {
			t.Errorf("%s: the device %q has the secret", text, spec.Device())
		}
	}
	link := filepath.Join(t.TempDir(), "by-id")
	_, node, _ := newRelayBoard(t, lcusBoard)
	real, err := filepath.EvalSymlinks(node)
	must(t, err)
	a, b := Spec{SerialRelay: &SerialRelay{Device: node}}, Spec{SerialRelay: &SerialRelay{Device: real}}
	if a.Device() != b.Device() || link == node {
		t.Errorf("one relay has two names: %q and %q", a.Device(), b.Device())
	}
	on3, on4 := Spec{Exec: &Exec{On: []string{"relay", "3"}}}, Spec{Exec: &Exec{On: []string{"relay", "4"}}}
	if on3.Device() == on4.Device() {
		t.Error("two relays have one name")
	}
}

func TestMeters(t *testing.T) {
	for name, test := range map[string]struct {
		rig           func(*testing.T) *rig
		watts, joules float64
	}{
		"shelly gen 1":  {shelly1Rig, 2.75, 240},
		"shelly gen 2":  {shelly2Rig, 8.9, 6.532 * 3600},
		"tasmota":       {tasmotaRig, 3, 1.8e6},
		"homeassistant": {homeAssistantRig, 3.1, 0},
		"snmp":          {snmpV2Rig, 3.1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, _ := test.rig(t).opened(t)
			near := func(got, want float64) bool { return got > want*0.999 && got < want*1.001 }
			watts, err := s.(Meter).Watts(t.Context())
			if err != nil || !near(watts, test.watts) {
				t.Errorf("%g W, %v; want %g", watts, err, test.watts)
			}
			if e, ok := s.(EnergyMeter); ok != (test.joules > 0) {
				t.Errorf("it counts energy: %t", ok)
			} else if ok {
				joules, err := e.Joules(t.Context())
				if err != nil || !near(joules, test.joules) {
					t.Errorf("%g J, %v; want %g", joules, err, test.joules)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := s.(Meter).Watts(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want context.Canceled", err)
			}
		})
	}
	r := gpioRig(t)
	if s, _, _ := r.opened(t); s != nil {
		if _, ok := s.(Meter); ok {
			t.Error("a GPIO line has a meter")
		}
	}
}

func TestOpenOptions(t *testing.T) {
	for name, test := range map[string]struct {
		spec            Spec
		opts            Options
		offTime, settle time.Duration
	}{
		"the driver's":    {Spec{USBHub: &USBHub{Hub: "1-1", Port: 1}}, Options{}, 10 * time.Second, 0},
		"the model's":     {Spec{USBHub: &USBHub{Hub: "1-1", Port: 1}}, Options{OffTime: time.Second, Settle: 2 * time.Second}, time.Second, 2 * time.Second},
		"the lab file's":  {Spec{GPIO: &GPIO{Line: "R"}, OffTime: 3 * time.Second, Settle: 4 * time.Second}, Options{OffTime: time.Second}, 3 * time.Second, 4 * time.Second},
		"none":            {Spec{GPIO: &GPIO{Line: "R"}, OffTime: -1, Settle: -1}, Options{OffTime: time.Second, Settle: time.Second}, 0, 0},
		"none by default": {Spec{PDUDaemon: &PDUDaemon{Hostname: "a", Port: "1"}}, Options{OffTime: -1}, 0, time.Second},
	} {
		s, err := Open(test.spec, test.opts)
		must(t, err)
		c := s.(*conduct)
		if c.offTime != test.offTime || c.settle != test.settle {
			t.Errorf("%s: off time %s, settle %s; want %s, %s", name, c.offTime, c.settle, test.offTime, test.settle)
		}
	}
	_, err := Open(Spec{GPIO: &GPIO{Line: "R"}}, Options{StateDir: "/dev/null/x"})
	wantError(t, err, "failed to make power state directory")
}

// The examples of RFC 7616, section 3.9.1.
func TestDigestOfTheRFC(t *testing.T) {
	challenge := `realm="http-auth@example.org", qop="auth, auth-int", algorithm=%, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`
	for algorithm, want := range map[string]string{
		"MD5":     "8ca523f5e9506fed4657c9700eebdbec",
		"SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		w := newWeb("Mufasa", "Circle of Life", false)
		got := w.digest(challengeParams(strings.Replace(challenge, "%", algorithm, 1)), http.MethodGet, "/dir/index.html",
			"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
		if !strings.Contains(got, `response="`+want+`"`) || !strings.Contains(got, `opaque="FQhe/`) {
			t.Errorf("%s: %s, want response %s", algorithm, got, want)
		}
	}
}

func TestAuthorizationChoice(t *testing.T) {
	for challenges, want := range map[string]string{
		"Basic realm=x":                         "Basic ",
		"Basic realm=x|Digest realm=x, nonce=y": "Digest ",
		"Digest realm=x, nonce=y|Digest realm=x, nonce=y, algorithm=SHA-256": `algorithm="SHA-256"`,
		"Digest realm=x, nonce=y, algorithm=SHA-256|Digest realm=x, nonce=y": `algorithm="SHA-256"`,
		"Digest realm=x, nonce=y, algorithm=SHA-512-256":                     "",
		"Digest realm=x, nonce=y, qop=auth-int":                              "",
		"Negotiate":                                                          "",
		"":                                                                   "",
	} {
		req, err := http.NewRequest(http.MethodGet, "http://a/b?c=d", nil)
		must(t, err)
		resp := &http.Response{Request: req, Header: http.Header{"Www-Authenticate": strings.Split(challenges, "|")}}
		got := newWeb("u", "p", false).authorization(resp, http.MethodGet)
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s is answered with %q, want %q", challenges, got, want)
		}
	}
}

// A redirect would take the password to a place that nobody named.
func TestWebFollowsNothing(t *testing.T) {
	d := &webDevice{}
	r, host := d.rig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			d.on = true
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	r.spec = Spec{HTTP: &HTTP{On: &Request{URL: "http://" + host + "/on?key=hush"}, Off: &Request{URL: "http://" + host + "/off"}}}
	s, _, _ := r.opened(t)
	err := s.On(t.Context())
	wantError(t, err, "307 Temporary Redirect")
	if d.on || err != nil && strings.Contains(err.Error(), "hush") {
		t.Errorf("followed: %t, %v", d.on, err)
	}
}

func TestWebBoundsAnswers(t *testing.T) {
	d := &webDevice{}
	_, host := d.rig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for block := make([]byte, 64<<10); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	_, err := newWeb("", "", false).get(deadline(t), "http://"+host+"/")
	wantError(t, err, "the answer is longer than")
}

func FuzzChallenge(f *testing.F) {
	f.Add(`Digest realm="a\"b", nonce=c, qop="auth", algorithm=SHA-256`)
	f.Add(`Digest realm=`)
	f.Fuzz(func(t *testing.T, challenge string) {
		req, err := http.NewRequest(http.MethodGet, "http://a/b?c=d", nil)
		must(t, err)
		resp := &http.Response{Request: req, Header: http.Header{"Www-Authenticate": {challenge}}}
		got := newWeb("u", "p", false).authorization(resp, http.MethodGet)
		if strings.ContainsAny(got, "\r\n\x00") {
			t.Errorf("a header line is broken: %q", got)
		}
	})
}

// said is a line with a board that says what it likes.
type said struct{ io.Reader }

func (said) Write(b []byte) (int, error) { return len(b), nil }

func FuzzRelayAnswers(f *testing.F) {
	f.Add("CH1: ON\r\nCH2: OFF\r\n")
	f.Add("\n\r>relay read 0\n\ron\n\r>")
	f.Fuzz(func(t *testing.T, text string) {
		for name, protocol := range relayProtocols {
			if protocol.get == nil {
				continue
			}
			closed, err := protocol.get(&SerialRelay{Protocol: name}, said{iotest.OneByteReader(strings.NewReader(text))})
			if err == nil && closed && !strings.Contains(strings.ToLower(text), "on") {
				t.Errorf("%s takes %q for on", name, text)
			}
		}
	})
}

func FuzzMQTTMessage(f *testing.F) {
	f.Add(`{"state":"ON"}`, "state")
	f.Add("OFF", "")
	f.Fuzz(func(t *testing.T, text, field string) {
		m := &mqtt{MQTT: MQTT{StateField: field, StateOn: "ON", StateOff: "OFF"}}
		state, err := m.parse(text)
		if (err == nil) == (state == Unknown) {
			t.Errorf("%q is %s, %v", text, state, err)
		}
	})
}
