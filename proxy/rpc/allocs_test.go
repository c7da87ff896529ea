//go:build !race

package rpc_test

import (
	"bytes"
	"testing"

	"mcpsidecar/proxy/rpc"
)

// The hot path allocates for no byte of a message. (The race detector makes pools forget, so this is not tested under it.)
func TestHotPathDoesNotAllocate(t *testing.T) {
	call := []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"github__search","arguments":{"q":"a\nb","deep":{"a":[1,2,{"b":null}]}},"_meta":{"progressToken":1}}}`)
	var members [8]rpc.Member
	room := make([]byte, 0, 1<<10)
	stream := rpc.NewEventReader(&endless{text: rpc.AppendEvent(nil, "", call)}, 1<<20)
	defer stream.Release()
	for name, step := range map[string]func() error{
		"Read":  func() error { _, err := rpc.Read(call); return err },
		"Valid": func() error { return rpc.Valid(call) },
		"Members": func() error {
			_, err := rpc.Members(members[:0], call)
			return err
		},
		"Find":          func() error { rpc.Find(rpc.Find(call, "params"), "name"); return nil },
		"Next":          func() error { _, err := stream.Next(); return err },
		"AppendRequest": func() error { rpc.AppendRequest(room, []byte("1"), "tools/call", nil); return nil },
	} {
		var err error
		if n := testing.AllocsPerRun(200, func() { err = step() }); n >= 1 || err != nil {
			t.Errorf("%s: %v allocations, %v", name, n, err)
		}
	}
	body := bytes.Repeat([]byte("x"), 100_000)
	r := bytes.NewReader(nil)
	if n := testing.AllocsPerRun(200, func() {
		r.Reset(body)
		b, err := rpc.ReadAll(r, int64(len(body)), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		b.Release()
	}); n > 1 {
		t.Errorf("ReadAll: %v allocations, one is the handle", n)
	}
}
