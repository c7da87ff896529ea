package proxy

import (
	"net/http"
	"net/http/httptest"
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
