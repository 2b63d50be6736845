package power

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

const testPassword = "s3cret/w rd"

// webDevice is a fake device that speaks HTTP, as its vendor documents it, behind
// a proxy. What it does is only what the handler does under the lock.
type webDevice struct {
	mu            sync.Mutex
	on            bool
	stuck, babble bool
}

func (d *webDevice) isOn() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.on
}

func (d *webDevice) turn(on bool) {
	if !d.stuck {
		d.on = on
	}
}

// rig serves handler and returns a rig with the address to reach it at.
func (d *webDevice) rig(t *testing.T, handler http.Handler) (*rig, string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.babble {
			io.WriteString(w, "<html><title>Log in</title></html>")
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p := tcpProxy(t, server.Listener.Addr().String())
	r := &rig{isOn: d.isOn, secret: testPassword, faults: p.faults()}
	r.faults[stuck] = func() { d.mu.Lock(); d.stuck = true; d.mu.Unlock() }
	r.faults[garbage] = func() { d.mu.Lock(); p.mode.Store(fault("")); d.babble = true; d.mu.Unlock() }
	return r, p.address
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value)
}

type object = map[string]any

func basicAuth(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "admin" || password != testPassword {
			w.Header().Set("WWW-Authenticate", `Basic realm="desk"`)
			http.Error(w, "401 Unauthorized", http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

// digestAuth is RFC 7616 as a Shelly asks for it
// (https://shelly-api-docs.shelly.cloud/gen2/General/Authentication).
func digestAuth(next http.HandlerFunc) http.HandlerFunc {
	sum := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
	return func(w http.ResponseWriter, r *http.Request) {
		field := func(name string) string {
			_, rest, _ := strings.Cut(r.Header.Get("Authorization"), name+"=")
			value, _, _ := strings.Cut(rest, ",")
			return strings.Trim(value, `" `)
		}
		ha1, ha2 := sum("admin:shellyplugsg3-x:"+testPassword), sum(r.Method+":"+r.URL.RequestURI())
		want := sum(strings.Join([]string{ha1, "60dc2c69", field("nc"), field(" cnonce"), "auth", ha2}, ":"))
		if field("response") != want || field("uri") != r.URL.RequestURI() {
			w.Header().Set("WWW-Authenticate", `Digest qop="auth", realm="shellyplugsg3-x", nonce="60dc2c69", algorithm=SHA-256`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

// https://shelly-api-docs.shelly.cloud/gen1/#shelly-plug-plugs-relay-index
func shelly1Rig(t *testing.T) *rig {
	d := &webDevice{}
	mux := http.NewServeMux()
	mux.HandleFunc("/shelly", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, object{"type": "SHPLG-S", "mac": "5ECF7F1632E8", "auth": true, "fw": "20161223-111304/master@2bc16496", "longid": 1})
	})
	mux.HandleFunc("/relay/0", basicAuth(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("turn") {
		case "on":
			d.turn(true)
		case "off":
			d.turn(false)
		}
		answer(w, object{"ison": d.on, "has_timer": false, "timer_started": 0, "overpower": false, "source": "http"})
	}))
	mux.HandleFunc("/meter/0", basicAuth(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, object{"power": 2.75, "overpower": 0.0, "is_valid": true, "timestamp": 1, "counters": []float64{1, 2, 3}, "total": 4})
	}))
	r, host := d.rig(t, mux)
	r.spec = Spec{Shelly: &Shelly{Host: host, User: "admin", Password: testPassword}}
	r.wrong = &Spec{Shelly: &Shelly{Host: host, User: "admin", Password: "not " + testPassword}}
	return r
}

// https://shelly-api-docs.shelly.cloud/gen2/ComponentsAndServices/Switch
func shelly2Rig(t *testing.T) *rig {
	d := &webDevice{}
	mux := http.NewServeMux()
	mux.HandleFunc("/shelly", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, object{"name": nil, "id": "shellyplugsg3-x", "mac": "A8032ABE54DC", "model": "S3PL-00112EU", "gen": 3, "app": "PlugSG3", "auth_en": true})
	})
	mux.HandleFunc("/rpc/Switch.Set", digestAuth(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("id") != "0" {
			w.WriteHeader(http.StatusInternalServerError)
			answer(w, object{"code": -105, "message": "Argument 'id', value 1 not found!"})
			return
		}
		was := d.on
		d.turn(r.URL.Query().Get("on") == "true")
		answer(w, object{"was_on": was})
	}))
	mux.HandleFunc("/rpc/Switch.GetStatus", digestAuth(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, object{
			"id": 0, "source": "HTTP_in", "output": d.on, "apower": 8.9, "voltage": 237.5, "current": 0.101,
			"aenergy": object{"total": 6.532, "by_minute": []float64{45.1, 47.1, 88.4}, "minute_ts": 1626935779},
		})
	}))
	r, host := d.rig(t, mux)
	r.spec = Spec{Shelly: &Shelly{Host: host, Password: testPassword}}
	r.wrong = &Spec{Shelly: &Shelly{Host: host, Password: "not " + testPassword}}
	return r
}

// https://tasmota.github.io/docs/Commands/
func tasmotaRig(t *testing.T) *rig {
	d := &webDevice{}
	mux := http.NewServeMux()
	mux.HandleFunc("/cm", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if query.Get("user") != "admin" || query.Get("password") != testPassword {
			answer(w, object{"WARNING": "Need user=<username>&password=<password>"})
			return
		}
		switch command := query.Get("cmnd"); command {
		case "Status 10":
			answer(w, object{"StatusSNS": object{"Time": "2026-01-01T00:00:00", "ENERGY": object{
				"TotalStartTime": "2025-01-01T00:00:00", "Total": 0.5, "Power": 3, "Voltage": 230, "Current": 0.02,
			}}})
		case "Power2", "Power2 on", "Power2 off":
			if command != "Power2" {
				d.turn(command == "Power2 on")
			}
			answer(w, object{"POWER2": map[bool]string{true: "ON", false: "OFF"}[d.on]})
		default:
			answer(w, object{"Command": "Unknown"})
		}
	})
	r, host := d.rig(t, mux)
	r.spec = Spec{Tasmota: &Tasmota{Host: host, Relay: 2, Password: testPassword}}
	r.wrong = &Spec{Tasmota: &Tasmota{Host: host, Relay: 2, Password: "not " + testPassword}}
	return r
}

// A PDU with a web page, as they were before there were APIs.
func httpRig(t *testing.T) *rig {
	d := &webDevice{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /outlet", basicAuth(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d.turn(string(body) == "3=on")
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "outlet 3 done")
	}))
	mux.HandleFunc("GET /status.xml", basicAuth(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "<o2>off</o2><o3>%s</o3>", stateOf(d.on))
	}))
	r, host := d.rig(t, mux)
	build := func(password Secret) Spec {
		return Spec{HTTP: &HTTP{
			On:    &Request{URL: "http://" + host + "/outlet", Body: "3=on", Status: []int{202}, Answer: "done"},
			Off:   &Request{URL: "http://" + host + "/outlet", Body: "3=off", Status: []int{202}, Answer: "done"},
			State: &StateRequest{Request: Request{URL: "http://" + host + "/status.xml"}, On: "<o3>on</o3>", Off: "<o3>off</o3>"},
			User:  "admin", Password: password,
		}}
	}
	wrong := build("not " + testPassword)
	r.spec, r.wrong = build(testPassword), &wrong
	return r
}

// What httplistener.py of pdudaemon answers; the real one has a rig of its own.
func pdudaemonRig(t *testing.T) *rig {
	d := &webDevice{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /power/control/{command}", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("hostname") != "pdu" || r.URL.Query().Get("port") != "3" {
			http.Error(w, "Invalid request", http.StatusInternalServerError)
			return
		}
		d.turn(r.PathValue("command") == "on")
		io.WriteString(w, "OK - accepted request\n")
	})
	r, host := d.rig(t, mux)
	delete(r.faults, stuck) // it cannot be told
	r.blind, r.spec = true, Spec{PDUDaemon: &PDUDaemon{URL: "http://" + host, Hostname: "pdu", Port: "3"}}
	r.wrong = &Spec{PDUDaemon: &PDUDaemon{URL: "http://" + host, Hostname: "upd", Port: "3"}}
	return r
}

// https://developers.home-assistant.io/docs/api/rest/
func homeAssistantRig(t *testing.T) *rig {
	d := &webDevice{}
	bearer := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+testPassword {
				http.Error(w, "401: Unauthorized", http.StatusUnauthorized)
				return
			}
			next(w, r)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/services/switch/{service}", bearer(func(w http.ResponseWriter, r *http.Request) {
		var call struct {
			Entity string `json:"entity_id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil || call.Entity != "switch.desk_3" {
			http.Error(w, "400: Bad Request", http.StatusBadRequest)
			return
		}
		d.turn(r.PathValue("service") == "turn_on")
		answer(w, []any{object{"entity_id": call.Entity, "state": string(stateOf(d.on)), "attributes": object{}}})
	}))
	mux.HandleFunc("GET /api/states/switch.desk_3", bearer(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, object{"entity_id": "switch.desk_3", "state": string(stateOf(d.on)), "attributes": object{"friendly_name": "Desk 3"}})
	}))
	mux.HandleFunc("GET /api/states/sensor.desk_3_power", bearer(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, object{"entity_id": "sensor.desk_3_power", "state": "0.0031", "attributes": object{"unit_of_measurement": "kW"}})
	}))
	r, host := d.rig(t, mux)
	r.spec = Spec{HomeAssistant: &HomeAssistant{URL: "http://" + host, Token: testPassword, Entity: "switch.desk_3", Watts: "sensor.desk_3_power"}}
	r.wrong = &Spec{HomeAssistant: &HomeAssistant{URL: "http://" + host, Token: "not " + testPassword, Entity: "switch.desk_3"}}
	return r
}

func redfishRig(t *testing.T) *rig      { return redfishService(t, false) }
func redfishBasicRig(t *testing.T) *rig { return redfishService(t, true) }

// redfishService is as small as DMTF DSP0266 lets one be. It refuses ForceOff of
// a system that is off, as some do.
func redfishService(t *testing.T, basic bool) *rig {
	d := &webDevice{}
	const token = "t0ken"
	sessions := 0
	auth := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			if basic && (user != "admin" || password != testPassword) || !basic && (r.Header.Get("X-Auth-Token") != token || sessions != 1) {
				w.WriteHeader(http.StatusUnauthorized)
				answer(w, object{"error": object{"code": "Base.1.8.NoValidSession", "message": "There is no valid session"}})
				return
			}
			next(w, r)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /redfish/v1/{$}", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, object{
			"@odata.id": "/redfish/v1/", "Id": "RootService", "RedfishVersion": "1.15.0",
			"Systems":        object{"@odata.id": "/redfish/v1/Systems"},
			"SessionService": object{"@odata.id": "/redfish/v1/SessionService"},
			"Links":          object{"Sessions": object{"@odata.id": "/redfish/v1/SessionService/Sessions"}},
		})
	})
	mux.HandleFunc("POST /redfish/v1/SessionService/Sessions", func(w http.ResponseWriter, r *http.Request) {
		var login struct{ UserName, Password string }
		json.NewDecoder(r.Body).Decode(&login)
		if login.UserName != "admin" || login.Password != testPassword {
			w.WriteHeader(http.StatusUnauthorized)
			answer(w, object{"error": object{"code": "Base.1.8.ResourceAtUriUnauthorized", "message": "no access for " + login.UserName + ":" + login.Password}})
			return
		}
		sessions++
		w.Header().Set("X-Auth-Token", token)
		w.Header().Set("Location", "/redfish/v1/SessionService/Sessions/1")
		w.WriteHeader(http.StatusCreated)
		answer(w, object{"@odata.id": "/redfish/v1/SessionService/Sessions/1", "Id": "1"})
	})
	mux.HandleFunc("DELETE /redfish/v1/SessionService/Sessions/1", func(w http.ResponseWriter, _ *http.Request) {
		sessions--
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /redfish/v1/Systems", auth(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, object{"@odata.id": "/redfish/v1/Systems", "Members@odata.count": 1, "Members": []any{object{"@odata.id": "/redfish/v1/Systems/437XR"}}})
	}))
	mux.HandleFunc("GET /redfish/v1/Systems/437XR", auth(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, object{
			"@odata.id": "/redfish/v1/Systems/437XR", "Id": "437XR", "PowerState": map[bool]string{true: "On", false: "Off"}[d.on],
			"Actions": object{"#ComputerSystem.Reset": object{
				"target":                            "/redfish/v1/Systems/437XR/Actions/ComputerSystem.Reset",
				"ResetType@Redfish.AllowableValues": []string{"On", "ForceOff", "GracefulShutdown"},
			}},
		})
	}))
	mux.HandleFunc("POST /redfish/v1/Systems/437XR/Actions/ComputerSystem.Reset", auth(func(w http.ResponseWriter, r *http.Request) {
		var reset struct{ ResetType string }
		json.NewDecoder(r.Body).Decode(&reset)
		if reset.ResetType == "ForceOff" && !d.on || reset.ResetType != "On" && reset.ResetType != "ForceOff" {
			w.WriteHeader(http.StatusConflict)
			return
		}
		d.turn(reset.ResetType == "On")
		w.WriteHeader(http.StatusNoContent)
	}))
	r, host := d.rig(t, mux)
	r.spec = Spec{Redfish: &Redfish{URL: "http://" + host, User: "admin", Password: testPassword, Basic: basic}}
	r.wrong = &Spec{Redfish: &Redfish{URL: "http://" + host, User: "admin", Password: "not " + testPassword, Basic: basic}}
	t.Cleanup(func() {
		if sessions < 0 || sessions > 2 { // a session whose end the device could not be told, for each fault
			t.Errorf("%d sessions are left open", sessions)
		}
	})
	return r
}
