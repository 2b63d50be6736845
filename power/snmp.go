package power

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"
)

// SNMP is an outlet of a PDU, or a port of a switch that feeds by Ethernet.
type SNMP struct {
	Host    string `yaml:"host" strict:"required"` // HOST or HOST:PORT; the port is 161 if left out
	Version string `yaml:"version"`                // 1, 2c (if left out) or 3

	Preset string `yaml:"preset"` // a kind of device (see presets); left out, oid says what to set
	Outlet string `yaml:"outlet"` // with a preset: the number, for poe also GROUP.PORT

	OID string `yaml:"oid"` // what to set
	On  string `yaml:"on"`  // to this; an integer where it looks like one
	Off string `yaml:"off"`
	// StateOID is what to read back; the OID itself if left out. StateOn and
	// StateOff are what it says, as On and Off if left out.
	StateOID string `yaml:"state_oid"`
	StateOn  string `yaml:"state_on"`
	StateOff string `yaml:"state_off"`

	WattsOID   string  `yaml:"watts_oid"`   // the power drawn now
	WattsScale float64 `yaml:"watts_scale"` // W per unit of it; 1 if left out

	Community Secret `yaml:"community"` // versions 1 and 2c; private if left out

	User            string `yaml:"user"`             // version 3
	Auth            string `yaml:"auth"`             // see authProtocols; SHA if there is a password
	AuthPassword    Secret `yaml:"auth_password"`    // left out, no authentication
	Privacy         string `yaml:"privacy"`          // see privProtocols; AES if there is a password
	PrivacyPassword Secret `yaml:"privacy_password"` // left out, no encryption
}

// preset is where a kind of device has its outlets; the number is appended.
type preset struct{ set, state, on, off string }

var presets = map[string]preset{
	// PowerNet-MIB rPDUOutletControlOutletCommand, rPDUOutletStatusOutletState
	"apc": {"1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.", "1.3.6.1.4.1.318.1.1.12.3.5.1.1.4.", "1", "2"},
	// PowerNet-MIB sPDUOutletCtl
	"apc-masterswitch": {"1.3.6.1.4.1.318.1.1.4.4.2.1.3.", "1.3.6.1.4.1.318.1.1.4.4.2.1.3.", "1", "2"},
	// CPS-MIB ePDUOutletControlOutletCommand, ePDUOutletStatusOutletState
	"cyberpower": {"1.3.6.1.4.1.3808.1.1.3.3.3.1.1.4.", "1.3.6.1.4.1.3808.1.1.3.3.5.1.1.4.", "1", "2"},
	// POWER-ETHERNET-MIB (RFC 3621) pethPsePortAdminEnable.GROUP.PORT, a TruthValue
	"poe": {"1.3.6.1.2.1.105.1.1.1.3.", "1.3.6.1.2.1.105.1.1.1.3.", "1", "2"},
}

var authProtocols = map[string]gosnmp.SnmpV3AuthProtocol{
	"MD5": gosnmp.MD5, "SHA": gosnmp.SHA, "SHA224": gosnmp.SHA224, "SHA256": gosnmp.SHA256,
	"SHA384": gosnmp.SHA384, "SHA512": gosnmp.SHA512,
}

var privProtocols = map[string]gosnmp.SnmpV3PrivProtocol{
	"DES": gosnmp.DES, "AES": gosnmp.AES, "AES192": gosnmp.AES192, "AES256": gosnmp.AES256,
	"AES192C": gosnmp.AES192C, "AES256C": gosnmp.AES256C,
}

var oidPattern = regexp.MustCompile(`^\.?[0-9]+(\.[0-9]+)+$`)
var outletPattern = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)

func (c *SNMP) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, ok := presets[c.Preset]; c.Preset != "" && !ok {
		bad("bad preset %q: want one of %s", c.Preset, strings.Join(sortedKeys(presets), ", "))
	}
	switch {
	case c.Preset != "" && c.OID+c.On+c.Off+c.StateOID+c.StateOn+c.StateOff != "":
		bad("a preset says oid, on, off and state_…: leave them out")
	case c.Preset != "" && !outletPattern.MatchString(c.Outlet):
		bad("bad outlet %q: want a number", c.Outlet)
	case c.Preset == "" && (c.OID == "" || c.On == "" || c.Off == "" || c.On == c.Off):
		bad("want a preset and an outlet, or oid with different on and off")
	}
	for _, oid := range []string{c.OID, c.StateOID, c.WattsOID} {
		if oid != "" && !oidPattern.MatchString(oid) {
			bad("bad oid %q: want numbers with dots between", oid)
		}
	}
	if !slices.Contains([]string{"", "1", "2c", "3"}, c.Version) {
		bad("bad version %q: want 1, 2c or 3", c.Version)
	}
	if c.Version == "3" && (c.User == "" || c.Community != "") {
		bad("version 3 has a user, no community")
	}
	if c.Version != "3" && c.User != "" {
		bad("a user needs version 3")
	}
	if _, ok := authProtocols[cmp.Or(c.Auth, "SHA")]; !ok {
		bad("bad auth %q: want one of %s", c.Auth, strings.Join(sortedKeys(authProtocols), ", "))
	}
	if _, ok := privProtocols[cmp.Or(c.Privacy, "AES")]; !ok {
		bad("bad privacy %q: want one of %s", c.Privacy, strings.Join(sortedKeys(privProtocols), ", "))
	}
	if c.PrivacyPassword != "" && c.AuthPassword == "" {
		bad("privacy needs auth_password")
	}
	if _, _, err := splitPort(c.Host, 161); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c *SNMP) device() string {
	return c.Host + "#" + strings.TrimPrefix(c.resolved().OID, ".")
}

func (c *SNMP) secrets() []string {
	return []string{string(c.Community), string(c.AuthPassword), string(c.PrivacyPassword)}
}

// resolved is c with the preset and the defaults in place.
func (c *SNMP) resolved() SNMP {
	r := *c
	if p, ok := presets[c.Preset]; ok {
		number := c.Outlet
		if c.Preset == "poe" && !strings.Contains(number, ".") {
			number = "1." + number
		}
		r.OID, r.StateOID, r.On, r.Off = p.set+number, p.state+number, p.on, p.off
	}
	r.StateOID = cmp.Or(r.StateOID, r.OID)
	r.StateOn, r.StateOff = cmp.Or(r.StateOn, r.On), cmp.Or(r.StateOff, r.Off)
	r.WattsScale = cmp.Or(r.WattsScale, 1)
	return r
}

func (c *SNMP) open(Options) (outlet, error) {
	s := &snmp{c.resolved()}
	if c.WattsOID != "" {
		return &meteredSNMP{s}, nil
	}
	return s, nil
}

type snmp struct{ SNMP }

// snmpExchange bounds one request; it is sent three times before it has failed.
const (
	snmpExchange = 1500 * time.Millisecond
	snmpRepeats  = 2
)

func (s *snmp) session(ctx context.Context, f func(*gosnmp.GoSNMP) (*gosnmp.SnmpPacket, error)) (*gosnmp.SnmpPacket, error) {
	host, port, err := splitPort(s.Host, 161)
	if err != nil {
		return nil, err
	}
	client := &gosnmp.GoSNMP{
		Target: host, Port: port, Context: ctx, Timeout: snmpExchange, Retries: snmpRepeats,
		Version: gosnmp.Version2c, Community: string(cmp.Or(s.Community, "private")),
	}
	switch s.Version {
	case "1":
		client.Version = gosnmp.Version1
	case "3":
		s.secure(client)
	}
	if err := client.Connect(); err != nil {
		return nil, err
	}
	defer client.Close()
	conn := client.Conn
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })()
	packet, err := f(client)
	switch {
	case err != nil && s.Version == "3" && refusedUSM(err):
		return nil, refused{fmt.Errorf("%w (try: check user, auth and privacy)", err)}
	case err != nil:
		return nil, err
	case packet == nil || len(packet.Variables) != 1 && packet.Error == gosnmp.NoError:
		return nil, errors.New("the agent answers something else than was asked")
	case packet.Error != gosnmp.NoError:
		return nil, refused{fmt.Errorf("the agent refuses: %s (try: a community or user that may write, and check the oid)", packet.Error)}
	}
	return packet, nil
}

// refusedUSM recognises the reports of RFC 3414, section 3.2. That of a wrong
// digest is itself not authentic, and has no error value in the library.
func refusedUSM(err error) bool {
	for _, known := range []error{gosnmp.ErrWrongDigest, gosnmp.ErrUnknownUsername, gosnmp.ErrDecryption, gosnmp.ErrUnknownSecurityLevel} {
		if errors.Is(err, known) {
			return true
		}
	}
	return strings.Contains(err.Error(), "not authentic")
}

func (s *snmp) secure(client *gosnmp.GoSNMP) {
	usm := &gosnmp.UsmSecurityParameters{
		UserName:               s.User,
		AuthenticationProtocol: gosnmp.NoAuth, AuthenticationPassphrase: string(s.AuthPassword),
		PrivacyProtocol: gosnmp.NoPriv, PrivacyPassphrase: string(s.PrivacyPassword),
	}
	client.Version, client.SecurityModel, client.MsgFlags = gosnmp.Version3, gosnmp.UserSecurityModel, gosnmp.NoAuthNoPriv
	if s.AuthPassword != "" {
		usm.AuthenticationProtocol, client.MsgFlags = authProtocols[cmp.Or(s.Auth, "SHA")], gosnmp.AuthNoPriv
	}
	if s.PrivacyPassword != "" {
		usm.PrivacyProtocol, client.MsgFlags = privProtocols[cmp.Or(s.Privacy, "AES")], gosnmp.AuthPriv
	}
	client.SecurityParameters = usm
}

func (s *snmp) set(ctx context.Context, on bool) error {
	value := s.Off
	if on {
		value = s.On
	}
	pdu := gosnmp.SnmpPDU{Name: s.OID, Type: gosnmp.OctetString, Value: value}
	if number, err := strconv.Atoi(value); err == nil {
		pdu.Type, pdu.Value = gosnmp.Integer, number
	}
	_, err := s.session(ctx, func(c *gosnmp.GoSNMP) (*gosnmp.SnmpPacket, error) { return c.Set([]gosnmp.SnmpPDU{pdu}) })
	return err
}

func (s *snmp) get(ctx context.Context, oid string) (string, error) {
	packet, err := s.session(ctx, func(c *gosnmp.GoSNMP) (*gosnmp.SnmpPacket, error) { return c.Get([]string{oid}) })
	if err != nil {
		return "", err
	}
	switch v := packet.Variables[0]; v.Type {
	case gosnmp.NoSuchObject, gosnmp.NoSuchInstance, gosnmp.Null:
		return "", refused{fmt.Errorf("the agent has no %s (try: check outlet and oid)", oid)}
	case gosnmp.OctetString:
		text, _ := v.Value.([]byte)
		return string(text), nil
	default:
		return gosnmp.ToBigInt(v.Value).String(), nil
	}
}

func (s *snmp) state(ctx context.Context) (State, error) {
	value, err := s.get(ctx, s.StateOID)
	switch {
	case err != nil:
		return Unknown, err
	case value == s.StateOn:
		return On, nil
	case value == s.StateOff:
		return Off, nil
	}
	return Unknown, fmt.Errorf("%s is neither %s (on) nor %s (off) but %s", s.StateOID, s.StateOn, s.StateOff, excerpt([]byte(value)))
}

type meteredSNMP struct{ *snmp }

func (s *meteredSNMP) watts(ctx context.Context) (float64, error) {
	text, err := s.get(ctx, s.WattsOID)
	if err != nil {
		return 0, err
	}
	value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not a number: %s", s.WattsOID, excerpt([]byte(text)))
	}
	return value * s.WattsScale, nil
}

// splitPort splits HOST or HOST:PORT.
func splitPort(address string, fallback uint16) (string, uint16, error) {
	if err := checkHost(address); err != nil {
		return "", 0, err
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return strings.Trim(address, "[]"), fallback, nil
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return "", 0, fmt.Errorf("bad host %q: want a port from 1 to 65535", address)
	}
	return host, uint16(port), nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
