package outbound_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// names is a name server in memory. Each look-up of a name takes the next of its answers; the last one stays.
type names struct {
	mu      sync.Mutex
	answers map[string][][]string
	asked   map[string]int
}

func resolver(t *testing.T, answers map[string][][]string) *net.Resolver {
	n := &names{answers: answers, asked: map[string]int{}}
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		t.Cleanup(func() { server.Close() })
		go n.serve(server)
		return client, nil
	}}
}

// serve answers questions framed as over TCP: a length of two bytes, then the message.
func (n *names) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		answer := n.answer(question)
		binary.BigEndian.PutUint16(length[:], uint16(len(answer)))
		conn.Write(append(length[:], answer...))
	}
}

const (
	headerSize = 12
	typeA      = 1
)

func (n *names) answer(question []byte) []byte {
	name, end := readName(question)
	kind := binary.BigEndian.Uint16(question[end:])
	reply := append([]byte{}, question[:end+4]...)
	clear(reply[4:headerSize])
	reply[2], reply[3] = 0x84, 0
	reply[5] = 1
	addresses, known := n.next(name, kind)
	if !known {
		reply[3] = 3 // NXDOMAIN
		return reply
	}
	for _, address := range addresses {
		raw := netip.MustParseAddr(address).AsSlice()
		if (len(raw) == 4) != (kind == typeA) {
			continue
		}
		reply[7]++
		reply = append(reply, 0xc0, headerSize, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(raw)))
		reply = append(reply, raw...)
	}
	return reply
}

// next counts look-ups by the questions for A, each of which comes with one for AAAA.
func (n *names) next(name string, kind uint16) ([]string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	answers, known := n.answers[name]
	if !known {
		return nil, false
	}
	i := min(n.asked[name], len(answers)-1)
	if kind == typeA {
		n.asked[name]++
	}
	return answers[i], true
}

func readName(message []byte) (name string, end int) {
	var labels []string
	at := headerSize
	for message[at] != 0 {
		length := int(message[at])
		labels = append(labels, string(message[at+1:at+1+length]))
		at += 1 + length
	}
	return strings.ToLower(strings.Join(labels, ".")), at + 1
}
