package power

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/gosnmp/gosnmp"
)

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// startDaemon runs a program until the end of the test, and returns when it has
// printed ready. It skips when there is no such program.
func startDaemon(t *testing.T, env []string, ready string, argv ...string) {
	t.Helper()
	path, err := exec.LookPath(argv[0])
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + argv[0])
	}
	if err != nil {
		t.Skipf("needs %s", argv[0])
	}
	cmd := exec.Command(path, argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	output, input, err := os.Pipe()
	must(t, err)
	cmd.Stdout, cmd.Stderr = input, input
	stdin, err := cmd.StdinPipe() // some end when theirs does
	must(t, err)
	must(t, cmd.Start())
	input.Close()
	var said strings.Builder
	up := make(chan bool, 1)
	var group sync.WaitGroup
	group.Go(func() {
		for lines := bufio.NewScanner(output); lines.Scan(); {
			fmt.Fprintln(&said, lines.Text())
			if strings.Contains(lines.Text(), ready) {
				select {
				case up <- true:
				default:
				}
			}
		}
		close(up)
	})
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		stdin.Close()
		group.Wait()
		output.Close()
		if t.Failed() {
			t.Logf("%s said:\n%s", argv[0], said.String())
		}
	})
	select {
	case ok := <-up:
		if !ok {
			t.Fatalf("%s has ended: %s", argv[0], said.String())
		}
	case <-deadline(t).Done():
		t.Fatalf("%s does not say %q", argv[0], ready)
	}
}

// freePort is a port of the loopback that nobody listens on now.
func freePort(t *testing.T, network string) string {
	t.Helper()
	var address net.Addr
	if network == "udp" {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		must(t, err)
		address = conn.LocalAddr()
		conn.Close()
	} else {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		address = listener.Addr()
		listener.Close()
	}
	_, port, err := net.SplitHostPort(address.String())
	must(t, err)
	return port
}

// agent is an SNMP agent with one outlet.
type agent struct {
	mu    sync.Mutex
	value int
	stuck bool
}

func (a *agent) isOn() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.value == 1
}

// run answers requests for the OIDs until conn is closed.
func (a *agent) run(conn net.PacketConn, version gosnmp.SnmpVersion, set, get, watts string) {
	decoder := &gosnmp.GoSNMP{Version: version, Community: testPassword}
	for packet := make([]byte, 2048); ; {
		n, client, err := conn.ReadFrom(packet)
		if err != nil {
			return
		}
		request, err := decoder.SnmpDecodePacket(packet[:n])
		if err != nil || request.Community != testPassword || request.Version != version || len(request.Variables) != 1 {
			continue
		}
		a.mu.Lock()
		v := &request.Variables[0]
		switch name := strings.TrimPrefix(v.Name, "."); {
		case request.PDUType == gosnmp.SetRequest && name == set:
			if value, ok := v.Value.(int); ok && !a.stuck {
				a.value = value
			}
		case request.PDUType == gosnmp.GetRequest && name == get:
			v.Type, v.Value = gosnmp.Integer, a.value
		case request.PDUType == gosnmp.GetRequest && name == watts:
			v.Type, v.Value = gosnmp.OctetString, "31"
		default:
			request.Error, request.ErrorIndex = gosnmp.NoSuchName, 1
		}
		a.mu.Unlock()
		request.PDUType = gosnmp.GetResponse
		if reply, err := request.MarshalMsg(); err == nil {
			conn.WriteTo(reply, client)
		}
	}
}

func snmpAgentRig(t *testing.T, spec SNMP, version gosnmp.SnmpVersion, set, get string) *rig {
	a := &agent{value: 2}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	var group sync.WaitGroup
	group.Go(func() { a.run(conn, version, set, get, "1.3.6.1.4.1.9") })
	t.Cleanup(func() { conn.Close(); group.Wait() })
	p := udpProxy(t, conn.LocalAddr().String())
	spec.Host, spec.Community, spec.WattsOID, spec.WattsScale = p.address, testPassword, "1.3.6.1.4.1.9", 0.1
	r := &rig{spec: Spec{SNMP: &spec}, isOn: a.isOn, secret: testPassword, faults: p.faults()}
	r.faults[stuck] = func() { a.mu.Lock(); a.stuck = true; a.mu.Unlock() }
	return r
}

func snmpV1Rig(t *testing.T) *rig {
	const oid = "1.3.6.1.4.1.318.1.1.4.4.2.1.3.5"
	return snmpAgentRig(t, SNMP{Version: "1", Preset: "apc-masterswitch", Outlet: "5"}, gosnmp.Version1, oid, oid)
}

func snmpV2Rig(t *testing.T) *rig {
	const oid = "1.3.6.1.2.1.105.1.1.1.3.1.7"
	return snmpAgentRig(t, SNMP{Preset: "poe", Outlet: "7"}, gosnmp.Version2c, oid, oid)
}

func snmpdV2Rig(t *testing.T) *rig {
	return snmpdRig(t, SNMP{Preset: "apc", Outlet: "3", Community: testPassword}, nil)
}

func snmpdV3Rig(t *testing.T) *rig {
	spec := SNMP{
		OID: "1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.3", On: "1", Off: "2", Version: "3", User: "desk",
		Auth: "SHA256", AuthPassword: testPassword + "A", Privacy: "AES", PrivacyPassword: testPassword + "X",
	}
	wrong := spec
	wrong.AuthPassword = "not " + testPassword
	return snmpdRig(t, spec, &wrong)
}

// snmpdRig is net-snmp's agent with an APC's outlet 3 made of a shell script.
func snmpdRig(t *testing.T, spec SNMP, wrong *SNMP) *rig {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	state := write("state", "2")
	pass := write("pass.sh", `case "$1$2" in
-g.1.3.6.1.4.1.318.1.1.12.3.[35].1.1.4.3) echo "$2"; echo integer; cat `+state+` ;;
-s.1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.3) [ -e `+state+`.stuck ] || echo "$4" >`+state+` ;;
esac
`)
	config := write("snmpd.conf", fmt.Sprintf(`rwcommunity "%s" 127.0.0.1
createUser desk SHA-256 "%sA" AES "%sX"
rwuser desk priv
pass .1.3.6.1.4.1.318.1.1.12.3 /bin/sh %s
`, testPassword, testPassword, testPassword, pass))
	port := freePort(t, "udp")
	startDaemon(t, []string{"MIBS=", "SNMP_PERSISTENT_DIR=" + dir}, "NET-SNMP version",
		"snmpd", "-f", "-Lo", "-C", "-c", config, "udp:127.0.0.1:"+port)
	p := udpProxy(t, "127.0.0.1:"+port)
	spec.Host = p.address
	r := &rig{
		spec: Spec{SNMP: &spec}, secret: testPassword, faults: p.faults(),
		isOn: func() bool { data, _ := os.ReadFile(state); return strings.TrimSpace(string(data)) == "1" },
	}
	r.faults[stuck] = func() { write("state.stuck", "") }
	if wrong != nil {
		wrong.Host = p.address
		r.wrong = &Spec{SNMP: wrong}
	}
	return r
}

func mqttRig(t *testing.T) *rig {
	return mosquittoRig(t, MQTT{Topic: "cmnd/desk-3/POWER", StateTopic: "stat/desk-3/POWER"}, func(on bool) string {
		return strings.ToUpper(string(stateOf(on)))
	}, true)
}

// As zigbee2mqtt has it (https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html).
func mqttJSONRig(t *testing.T) *rig {
	return mosquittoRig(t, MQTT{
		Topic: "cmnd/desk-3/POWER", StateTopic: "stat/desk-3/POWER", StateField: "state",
		AskTopic: "cmnd/desk-3/get", AskMessage: `{"state":""}`,
	}, func(on bool) string {
		text, _ := json.Marshal(object{"state": strings.ToUpper(string(stateOf(on))), "linkquality": 120})
		return string(text)
	}, false)
}

// mosquittoRig is the broker with a device that obeys on cmnd/… and says on
// stat/…, retained or when it is asked.
func mosquittoRig(t *testing.T, spec MQTT, say func(on bool) string, retained bool) *rig {
	dir, port := t.TempDir(), freePort(t, "tcp")
	users := filepath.Join(dir, "users")
	if output, err := exec.Command("mosquitto_passwd", "-b", "-c", users, "desk", testPassword).CombinedOutput(); err != nil {
		t.Skipf("needs mosquitto: %v %s", err, output)
	}
	config := filepath.Join(dir, "mosquitto.conf")
	must(t, os.WriteFile(config, []byte("user root\nlistener "+port+" 127.0.0.1\nallow_anonymous false\npassword_file "+users+"\n"), 0o600))
	startDaemon(t, nil, "running", "mosquitto", "-v", "-c", config)

	var on atomic.Bool
	var mode atomic.Value
	mode.Store(fault(""))
	device := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://127.0.0.1:" + port).SetClientID("device").
		SetUsername("desk").SetPassword(testPassword).SetOrderMatters(false))
	must(t, done(deadline(t), device.Connect()))
	t.Cleanup(func() { device.Disconnect(0) })
	tell := func(text string) { device.Publish("stat/desk-3/POWER", 1, retained, text) }
	obey := func(_ paho.Client, message paho.Message) {
		switch {
		case mode.Load() == garbage:
			tell("\xff{")
			return
		case message.Topic() == "cmnd/desk-3/POWER" && mode.Load() != stuck:
			on.Store(string(message.Payload()) == "ON")
		}
		tell(say(on.Load()))
	}
	must(t, done(deadline(t), device.Subscribe("cmnd/desk-3/+", 1, obey)))
	if retained {
		must(t, done(deadline(t), device.Publish("stat/desk-3/POWER", 1, true, say(false))))
	}
	p := tcpProxy(t, "127.0.0.1:"+port)
	spec.Broker, spec.User, spec.Password = "tcp://"+p.address, "desk", testPassword
	wrong := spec
	wrong.Password = "not " + testPassword
	r := &rig{spec: Spec{MQTT: &spec}, wrong: &Spec{MQTT: &wrong}, isOn: on.Load, secret: testPassword, faults: p.faults()}
	r.faults[stuck] = func() { mode.Store(stuck) }
	r.faults[garbage] = func() {
		p.mode.Store(fault(""))
		mode.Store(garbage)
		if retained {
			must(t, done(deadline(t), device.Publish("stat/desk-3/POWER", 1, true, "\xff{")))
		}
	}
	return r
}

// A state topic that is neither retained nor asked for tells nothing at rest, but
// whether a switch has happened.
func TestMQTTOnlyAnswers(t *testing.T) {
	r := mosquittoRig(t, MQTT{Topic: "cmnd/desk-3/POWER", StateTopic: "stat/desk-3/POWER"}, func(on bool) string {
		return strings.ToUpper(string(stateOf(on)))
	}, false)
	r.blind = true
	s, c, g := r.opened(t)
	g.outlet.(*mqtt).quiet = 100 * time.Millisecond
	must(t, s.On(t.Context()))
	checkState(t, r, s, On)
	must(t, s.Off(t.Context()))
	checkState(t, r, s, Off)
	r.faults[stuck]()
	c.timeout, c.tries = 3*time.Second, 1
	wantError(t, s.On(t.Context()), `told to switch on, "stat/desk-3/POWER" says off`)
}

func pdudaemonDebianRig(t *testing.T) *rig {
	dir, port := t.TempDir(), freePort(t, "tcp")
	state := filepath.Join(dir, "state")
	must(t, os.WriteFile(state, []byte("off"), 0o600))
	config, err := json.Marshal(object{
		"daemon": object{"hostname": "127.0.0.1", "port": port, "logging_level": "DEBUG", "listener": "http"},
		"pdus": object{"desk": object{
			"driver": "localcmdline", "cmd_on": "test %s = 3 && echo on >" + state, "cmd_off": "test %s = 3 && echo off >" + state,
		}},
	})
	must(t, err)
	file := filepath.Join(dir, "pdudaemon.conf")
	must(t, os.WriteFile(file, config, 0o600))
	startDaemon(t, []string{"PYTHONUNBUFFERED=1"}, "Listening on", "pdudaemon", "--conf", file)
	p := tcpProxy(t, "127.0.0.1:"+port)
	r := &rig{
		spec:  Spec{PDUDaemon: &PDUDaemon{URL: "http://" + p.address, Hostname: "desk", Port: "3"}},
		wrong: &Spec{PDUDaemon: &PDUDaemon{URL: "http://" + p.address, Hostname: "table", Port: "3"}},
		blind: true, faults: p.faults(), secret: "nothing",
		isOn: func() bool { data, _ := os.ReadFile(state); return strings.TrimSpace(string(data)) == "on" },
	}
	return r
}

// ipmiRig is OpenIPMI's simulator with a chassis made of a shell script.
func ipmiRig(t *testing.T) *rig {
	dir, port := t.TempDir(), freePort(t, "udp")
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), mode))
		return path
	}
	const password = "s3cretw/rd"
	state := write("state", "0", 0o600)
	script := write("chassis.sh", `#!/bin/sh
case "$1 $2" in
"get power") echo "power:$(cat `+state+`)" ;;
"set power") [ -e `+state+`.stuck ] || echo "$3" >`+state+` ;;
esac
`, 0o700)
	config := write("lan.conf", `name "desk"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 `+port+`
    priv_limit admin
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "`+script+`"
  user 2 true "desk" "`+password+`" admin 10 none md2 md5 straight
`, 0o600)
	commands := write("desk.emu", "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\nno_command\n", 0o600)
	startDaemon(t, nil, "Unknown command", "ipmi_sim", "-c", config, "-f", commands, "-s", dir)
	p := udpProxy(t, "127.0.0.1:"+port)
	r := &rig{
		spec:   Spec{IPMI: &IPMI{Host: p.address, User: "desk", Password: password}},
		wrong:  &Spec{IPMI: &IPMI{Host: p.address, User: "desk", Password: "not " + password}},
		isOn:   func() bool { data, _ := os.ReadFile(state); return strings.TrimSpace(string(data)) == "1" },
		secret: password, faults: p.faults(),
	}
	r.faults[stuck] = func() { write("state.stuck", "", 0o600) }
	return r
}
