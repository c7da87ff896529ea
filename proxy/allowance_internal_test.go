package proxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/internal/caller"
)

// door lets one identity in until its token expires.
type door struct{ identity *caller.Identity }

func (d door) Authenticate(*http.Request) (*caller.Identity, error) {
	if !time.Now().Before(d.identity.Expires) {
		return nil, caller.ErrBadCredential
	}
	return d.identity, nil
}

// TestAStreamHearsThatItsTokenExpires when that happens, and not with the next sign of life. From outside only the clock could tell the two apart.
func TestAStreamHearsThatItsTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, life := time.Now(), time.Hour
		identity := &caller.Identity{Role: caller.User, User: "alice", TokenID: "t", Expires: began.Add(life)}
		p := &Proxy{config: Config{Callers: door{identity}}, now: time.Now, hub: newHub()}
		turn := &turn{proxy: p, ctx: t.Context(), r: httptest.NewRequest(http.MethodGet, "/mcp", nil), scope: scope{identity: identity}}
		allowed := turn.stayAllowed()
		defer allowed.leave()
		if !allowed.holds() {
			t.Error("a token that lives is not let in")
		}
		if <-allowed.expired; time.Since(began) != life || allowed.holds() {
			t.Errorf("after %s; it still holds: %v", time.Since(began), allowed.holds())
		}
	})
}

// TestAStreamThatIsLateHearsOfItToo: what ended a token after its request was let in, and before its stream had a place, wakes the stream.
func TestAStreamThatIsLateHearsOfItToo(t *testing.T) {
	identity := &caller.Identity{Role: caller.User, User: "alice", TokenID: "t", Expires: time.Now().Add(-time.Hour)}
	p := &Proxy{config: Config{Callers: door{identity}}, now: time.Now, hub: newHub()}
	turn := &turn{proxy: p, ctx: t.Context(), r: httptest.NewRequest(http.MethodGet, "/mcp", nil), scope: scope{identity: identity}}
	allowed := turn.stayAllowed()
	defer allowed.leave()
	if len(allowed.place.woken) != 1 {
		t.Error("it is not woken")
	}
}

// watched is a connection on which something happens with each batch that is sent.
type watched struct {
	*httptest.ResponseRecorder
	sent func()
}

func (w watched) Flush() { w.sent() }

// TestAStreamAsksBeforeEachBatch: while the client is sent one thing its token ends, and then the server says another. From outside the moment could not be met.
func TestAStreamAsksBeforeEachBatch(t *testing.T) {
	identity := &caller.Identity{Role: caller.User, User: "alice", TokenID: "t", Expires: time.Now().Add(time.Hour)}
	limits := Resuming{}.orDefaults()
	shelf := &shelf{ids: new(eventIDs), session: "s", limits: &limits, shares: shares{{limit: limits.UserBytes}, {limit: limits.Overall}}, now: time.Now}
	feed := shelf.open(answerStream, "1", true)
	shelf.add(feed, []byte("before"))
	out := watched{httptest.NewRecorder(), sync.OnceFunc(func() {
		identity.Expires = time.Now()
		shelf.add(feed, []byte("after"))
	})}
	p := &Proxy{config: Config{Callers: door{identity}}, now: time.Now, hub: newHub()}
	turn := &turn{proxy: p, ctx: t.Context(), w: out, r: httptest.NewRequest(http.MethodGet, "/mcp", nil), scope: scope{identity: identity}, session: &session{shelf: shelf}}
	c := newCarrier(turn, feed, 0)
	c.allowed = turn.stayAllowed()
	defer c.allowed.leave()
	if err := c.pump(); err != errNotAllowed {
		t.Errorf("it ends with %v", err)
	}
	if text := out.Body.String(); !strings.Contains(text, "before") || strings.Contains(text, "after") {
		t.Errorf("the client was sent %q", text)
	}
}
