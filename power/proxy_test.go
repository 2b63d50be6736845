package power

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between a driver and a device and gives it faults.
type proxy struct {
	address string
	mode    atomic.Value // fault; "" passes
	close   func()
}

func (p *proxy) is(f fault) bool { got, _ := p.mode.Load().(fault); return got == f }

// faults that a proxy can give to any device of the network.
func (p *proxy) faults() map[fault]func() {
	return map[fault]func(){
		mute:    func() { p.mode.Store(mute) },
		garbage: func() { p.mode.Store(garbage) },
		gone:    func() { p.mode.Store(gone); p.close() },
	}
}

// junk is what a device says that is not what it seems.
const junk = "\x30\x82\xff\xff\x00SSH-2.0-OpenSSH\r\n\x00\xff\x06{]\r\n\r\n"

func tcpProxy(t *testing.T, device string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{address: listener.Addr().String()}
	var mu sync.Mutex
	var group sync.WaitGroup
	conns := map[net.Conn]bool{}
	p.close = sync.OnceFunc(func() {
		listener.Close()
		mu.Lock()
		defer mu.Unlock()
		for c := range conns {
			c.Close()
		}
		conns = nil
	})
	own := func(c net.Conn) bool {
		mu.Lock()
		defer mu.Unlock()
		if conns == nil {
			c.Close()
			return false
		}
		conns[c] = true
		return true
	}
	serve := func(client net.Conn) {
		defer client.Close()
		switch {
		case p.is(mute):
			io.Copy(io.Discard, client)
		case p.is(garbage):
			io.WriteString(client, junk)
			io.Copy(io.Discard, client)
		default:
			server, err := net.Dial("tcp", device)
			if err != nil || !own(server) {
				return
			}
			defer server.Close()
			group.Go(func() { io.Copy(server, client); server.Close() })
			io.Copy(client, server)
		}
	}
	group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			if own(client) {
				group.Go(func() { serve(client) })
			}
		}
	})
	t.Cleanup(func() { p.close(); group.Wait() })
	return p
}

// udpProxy has one client at a time.
func udpProxy(t *testing.T, device string) *proxy {
	t.Helper()
	front, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	back, err := net.Dial("udp", device)
	must(t, err)
	p := &proxy{address: front.LocalAddr().String()}
	p.close = sync.OnceFunc(func() { front.Close(); back.Close() })
	var client atomic.Pointer[net.Addr]
	var group sync.WaitGroup
	group.Go(func() {
		for packet := make([]byte, 4096); ; {
			n, err := back.Read(packet)
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err == nil:
				front.WriteTo(packet[:n], *client.Load())
			}
		}
	})
	group.Go(func() {
		for packet := make([]byte, 4096); ; {
			n, from, err := front.ReadFrom(packet)
			if err != nil {
				return
			}
			switch {
			case p.is(mute):
			case p.is(garbage):
				front.WriteTo([]byte(junk), from)
			default:
				client.Store(&from)
				back.Write(packet[:n])
			}
		}
	})
	t.Cleanup(func() { p.close(); group.Wait() })
	return p
}
