package upstream_test

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// TestThoseWhoComeTogetherShareASession, also whoever comes in the moment in which it is there: a call in another session than the one that is listened to is never asked anything.
func TestThoseWhoComeTogetherShareASession(t *testing.T) {
	var probes, sessions atomic.Int32
	s := connect(t, "http://fake.test", func(c *upstream.Config) {
		c.Client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			text, _ := io.ReadAll(bodyOf(r))
			switch m, _ := rpc.Read(text); m.Method {
			case "server/discover":
				probes.Add(1)
				return respond(404, "", ""), nil
			case "initialize":
				sessions.Add(1)
				return respond(200, "application/json", answerTo(m, `{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{}}`)), nil
			case "tools/call":
				return respond(200, "application/json", answerTo(m, `{}`)), nil
			}
			return respond(202, "", ""), nil
		})}
	})
	const conns = 200
	for range conns {
		c := s.Server.Conn(upstream.ConnConfig{Header: noHeaders})
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() { mustAnswer(t, c) })
		}
		all.Wait()
		c.Close(t.Context())
	}
	if n, asked := sessions.Load(), probes.Load(); n != conns || asked != 1 {
		t.Errorf("%d sessions for %d, and the server was asked %d times for its era", n, conns, asked)
	}
}
