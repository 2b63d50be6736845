package netboot_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pin/tftp/v3"

	"b2c-runner/boards/netboot"
	"b2c-runner/boards/netboot/netboottest"
)

func TestTFTP(t *testing.T) {
	b := startBench(t)
	for name, want := range b.files {
		if name == "kernel" {
			continue // 3 MB, one block at a time
		}
		size := strconv.Itoa(len(want))
		for _, tc := range []struct{ options, agreed map[string]string }{
			{nil, nil},
			{map[string]string{"blksize": "1432", "tsize": "0"}, map[string]string{"blksize": "1432", "tsize": size}},
			{map[string]string{"blksize": "8192", "windowsize": "4", "timeout": "5"}, map[string]string{"blksize": "1468"}},
			{map[string]string{"blksize": "8"}, nil},
		} {
			b.seen.clear()
			options := maps.Clone(tc.options)
			got, err := fetchTFTP(b.board.ListenUDP(), "/"+name, options)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s with %v: %d bytes, want %d; error %v", name, tc.options, len(got), len(want), err)
			}
			if diff := cmp.Diff(tc.agreed, options, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s with %v: options (-want +got):\n%s", name, tc.options, diff)
			}
			kind := netboot.TFTP
			if name == "boot.ipxe" {
				kind = netboot.ScriptSent
			}
			if e := b.seen.wait(t, kind); e.Bytes != int64(len(want)) || e.Err != "" {
				t.Errorf("%s is told as %+v", name, e)
			}
		}
	}
	for _, name := range names {
		if strings.ContainsRune(name, 0) {
			continue // ends the name on the wire: it is another one
		}
		if got, err := fetchTFTP(b.board.ListenUDP(), name, nil); err == nil {
			t.Errorf("%q gets %d bytes", name, len(got))
		} else if !strings.Contains(err.Error(), "file not found") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// fetchTFTP reads a file, and leaves in options what the server agreed to; with "abort" among the options it gives up once it
// knows the size, as edk2 does.
func fetchTFTP(c net.PacketConn, name string, options map[string]string) ([]byte, error) {
	server := net.Addr(net.UDPAddrFromAddrPort(netip.AddrPortFrom(gateway, 69)))
	request := []byte("\x00\x01" + name + "\x00octet\x00")
	block := 512
	for k, v := range options {
		if k != "abort" {
			request = append(request, k+"\x00"+v+"\x00"...)
		}
	}
	send := func(p []byte) { _, _ = c.WriteTo(p, server) }
	send(request)
	_, abort := options["abort"]
	clear(options)
	var data []byte
	buf := make([]byte, 64<<10)
	for next := uint16(1); ; {
		_ = c.SetReadDeadline(time.Now().Add(netboottest.Patience))
		n, from, err := c.ReadFrom(buf)
		if err != nil || n < 4 {
			return data, fmt.Errorf("no packet: %d bytes, %w", n, err)
		}
		server = from
		switch opcode := binary.BigEndian.Uint16(buf); opcode {
		case 6:
			fields := strings.Split(string(buf[2:n]), "\x00")
			for i := 0; i+1 < len(fields); i += 2 {
				options[fields[i]] = fields[i+1]
			}
			if size, ok := options["blksize"]; ok {
				block, _ = strconv.Atoi(size)
			}
			if abort {
				send([]byte("\x00\x05\x00\x08aborted\x00"))
				return nil, errors.New("aborted")
			}
			send([]byte{0, 4, 0, 0})
		case 3:
			if binary.BigEndian.Uint16(buf[2:]) == next {
				data = append(data, buf[4:n]...)
				next++
			}
			send([]byte{0, 4, buf[2], buf[3]})
			if n-4 < block {
				return data, nil
			}
		case 5:
			return data, fmt.Errorf("error %d: %s", binary.BigEndian.Uint16(buf[2:]), bytes.Trim(buf[4:n], "\x00"))
		default:
			return data, fmt.Errorf("opcode %d", opcode)
		}
	}
}

// TestTFTPOnHostSockets is the other way pin/tftp serves: a socket per transfer.
func TestTFTPOnHostSockets(t *testing.T) {
	loop := &netboottest.Loopback{}
	s := netboot.New(netboot.Config{Network: loop})
	data := bytes.Repeat([]byte("0123456789"), 30_000)
	err := s.Add(netboot.Offer{MAC: macA, Addr: netip.MustParseAddr("127.0.0.1"), Boot: netboot.Boot{Kernel: netboot.File{Data: data}}})
	if err != nil {
		t.Fatal(err)
	}
	runServer(t, s)
	for _, size := range []int{512, 1428, 1468, 8192} {
		client, err := tftp.NewClient(loop.At(69).String())
		if err != nil {
			t.Fatal(err)
		}
		client.SetBlockSize(size)
		from, err := client.Receive("kernel", "octet")
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := from.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), data) {
			t.Errorf("blocks of %d: %d bytes, want %d; error %v", size, got.Len(), len(data), err)
		}
		if _, err := client.Send("kernel", "octet"); err == nil {
			t.Error("a board may write")
		}
	}
}
