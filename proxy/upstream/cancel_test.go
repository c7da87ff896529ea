package upstream_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// U-07: however a call is given up, its server learns of it at once: by the closed stream, and a legacy one by a notification too.
func TestCancellation(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server *mcpServer
		says   handler
		giveUp func(e *upstream.Exchange, leave func(), s setup)
		told   bool
	}{
		{"legacy, closed on a stream", legacyServer(nil), then(events(progress), 0, hang), closeIt, true},
		{"modern, closed on a stream", modernServer(nil), then(events(progress), 0, hang), closeIt, false},
		{"legacy, its caller leaves", legacyServer(nil), then(events(progress), 0, hang), leaveIt, true},
		{"modern, its caller leaves", modernServer(nil), then(events(progress), 0, hang), leaveIt, false},
		{"modern, its Conn ends", modernServer(nil), then(events(progress), 0, hang), endConn, false},
		{"modern, its Server ends", modernServer(nil), then(events(progress), 0, hang), endServer, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gone := make(chan string, 1)
				tt.server.other = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
					tt.says(w, r, m)
					gone <- string(m.ID)
				}
				cancelled := make(chan string, 1)
				tt.server.on["notifications/cancelled"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
					cancelled <- string(rpc.Find(m.Params, "requestId"))
					w.WriteHeader(http.StatusAccepted)
				}
				s := connect(t, "", inMemory(t, tt.server))
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				e, err := s.Do(ctx, toolCall)
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				if _, err := e.Next(); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				tt.giveUp(e, leave, s)
				id := <-gone
				if took := time.Since(began); took > 500*time.Millisecond {
					t.Errorf("the server learnt of it after %v", took)
				}
				_, err = e.Next()
				wantFailure(t, asFailure(t, err), upstream.Canceled, true)
				e.Close()
				synctest.Wait()
				if !tt.told {
					if n := tt.server.count("notifications/cancelled"); n > 0 {
						t.Error("a modern server was sent notifications/cancelled")
					}
					return
				}
				if got := <-cancelled; got != id {
					t.Errorf("the request %s was taken back, not %s", got, id)
				}
			})
		})
	}
}

func closeIt(e *upstream.Exchange, _ func(), _ setup)     { e.Close() }
func leaveIt(_ *upstream.Exchange, leave func(), _ setup) { leave() }
func endConn(_ *upstream.Exchange, _ func(), s setup)     { s.Conn.Close(context.Background()) }
func endServer(_ *upstream.Exchange, _ func(), s setup)   { s.Server.Close() }

// A call that is given up before the server has said anything returns at once.
func TestCallerLeavesBeforeTheHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := legacyServer(hang)
		s := connect(t, "", inMemory(t, server))
		mustInfo(t, s.Conn)
		ctx, leave := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() { _, err := s.Do(ctx, toolCall); failed <- err }()
		synctest.Wait()
		leave()
		wantFailure(t, asFailure(t, <-failed), upstream.Canceled, true)
		synctest.Wait()
		if server.count("notifications/cancelled") != 1 {
			t.Error("the server was not told")
		}
	})
}

// What is not there any more need not be taken back: an answer, or a server that broke the connection.
func TestNothingIsTakenBackThatIsOver(t *testing.T) {
	for name, says := range map[string]handler{
		"answered":          events(answer),
		"answered with 500": status(500, ""),
		"broken":            func(http.ResponseWriter, *http.Request, rpc.Message) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			server := legacyServer(says)
			s := connect(t, serve(t, server))
			finish(t, s.Conn, toolCall)
			s.Server.Close()
			if n := server.count("notifications/cancelled"); n != 0 {
				t.Error("it was taken back")
			}
		})
	}
}

// A connection serves again after a streamed answer, although the end of the stream comes later and the caller has left by then.
func TestConnectionsAreKeptAfterStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := modernServer(then(events(answer), 100*time.Millisecond, func(http.ResponseWriter, *http.Request, rpc.Message) {}))
		dials := 0
		s := connect(t, "", inMemory(t, server), func(c *upstream.Config) {
			transport := c.Client.Transport.(*http.Transport)
			dial := transport.DialContext
			transport.DialContext = counted(&dials, dial)
		})
		for range 10 {
			ctx, leave := context.WithCancel(t.Context())
			if err := read(s.Conn, ctx, toolCall); err != nil {
				t.Fatal(err)
			}
			leave()
			time.Sleep(time.Second)
		}
		if dials != 1 {
			t.Errorf("%d connections were made", dials)
		}
	})
}

// A stream that goes on after its answer is left.
func TestStreamThatGoesOnAfterTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		server := modernServer(func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			events(answer)(w, r, m)
			hang(w, r, m)
			close(gone)
		})
		s := connect(t, "", inMemory(t, server))
		began := time.Now()
		mustAnswer(t, s.Conn)
		<-gone
		if took := time.Since(began); took > time.Second {
			t.Errorf("it was left after %v", took)
		}
	})
}
