package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestManyCallsAtExpiryAreOneRequest: everybody waits for the one refresh, at a provider that takes half a second for it. With E2E_LOAD=full there are a thousand calls.
func TestManyCallsAtExpiryAreOneRequest(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.r.set(func(r *recorder) { r.life = "0" }) // over at once
	alice := a.connects("alice")
	a.r.set(func(r *recorder) {
		r.life = "3600"
		r.on = func(step string, _ http.ResponseWriter, _ url.Values) bool {
			if step == stepAsked {
				time.Sleep(500 * time.Millisecond)
			}
			return false
		}
	})
	n := sized(100, 1000)
	body, header := alice.request(1, "tools/call", "echo", `"name":"echo","arguments":{}`)
	var calls sync.WaitGroup
	var good atomic.Int32
	var bad atomic.Value
	for range n {
		calls.Go(func() {
			got, err := try(t, alice.client, http.MethodPost, alice.url, alice.token, body, alice.with(header)...)
			if err == nil && got.status == http.StatusOK && strings.Contains(got.body, "for alice-there") {
				good.Add(1)
				return
			}
			bad.Store(fmt.Sprintf("%d %s %v", got.status, got.body, err))
		})
	}
	calls.Wait()
	if asked := a.r.refreshes(); int(good.Load()) != n || asked != 1 {
		t.Errorf("%d of %d calls succeeded with %d token requests; one said %v", good.Load(), n, asked, bad.Load())
	}
}

// TestKilledDuringARotation: whatever step a refresh has come to when the process is killed, the account can be used afterwards; or, where the provider has changed the refresh token and nobody got to know
// the new one, the user is asked to connect it again, once. It never comes to a loop.
func TestKilledDuringARotation(t *testing.T) {
	for _, c := range []struct {
		step           string
		mayLive, mayDo bool // whether the connection may be alive, or lost, afterwards
	}{
		{stepAsked, true, false},
		{stepCommitted, false, true},
		{stepAnswered, true, true}, // whether it was stored in time is a race
		{"used", true, false},      // the server was sent the new token: that is stored
	} {
		t.Run(c.step, func(t *testing.T) {
			t.Parallel()
			for range sized(1, 10) {
				killDuring(t, c.step, c.mayLive, c.mayDo)
			}
		})
	}
}

func killDuring(t *testing.T, step string, mayLive, mayBeLost bool) {
	t.Helper()
	a := newAccount(t)
	a.r.set(func(r *recorder) { r.life = "0" })
	alice := a.connects("alice")
	process := a.Sidecar
	a.r.set(func(r *recorder) {
		r.life = "3600"
		r.on = func(at string, w http.ResponseWriter, _ url.Values) bool {
			if at != step {
				return false
			}
			process.Kill()
			return true
		}
	})
	if step == "used" {
		a.mcp.set(func(b *behind) { b.called = func(*http.Request) { process.Kill() } })
	}
	body, header := alice.request(1, "tools/call", "echo", `"name":"echo","arguments":{}`)
	if got, err := try(t, alice.client, http.MethodPost, alice.url, alice.token, body, alice.with(header)...); err == nil && got.status == http.StatusOK && strings.Contains(got.body, "for alice") {
		t.Fatal("the call succeeded, so nothing was killed")
	}
	<-process.Ended()
	a.r.set(func(r *recorder) { r.on = func(string, http.ResponseWriter, url.Values) bool { return false } })
	a.mcp.set(func(b *behind) { b.called = func(*http.Request) {} })
	a.restarted()

	before := a.r.refreshes()
	alice = a.agentOf("alice")
	said := alice.call("echo", "{}")
	for range 5 {
		if again := alice.call("echo", "{}"); again != said {
			t.Errorf("first it said %+v, then %+v", said, again)
		}
	}
	asked := a.r.refreshes() - before
	switch state, trouble := a.stateOf("alice"); {
	case said.Text == "for alice-there" && state == "connected":
		if !mayLive || asked > 1 {
			t.Errorf("the connection is alive, after %d requests", asked)
		}
	case state == "needs_reauth":
		a.linkIn(said)
		if !mayBeLost || asked != 1 || !strings.Contains(trouble, "must be connected again") {
			t.Errorf("the connection is lost (%s), after %d requests", trouble, asked)
		}
		a.connects("alice")
		if said := alice.call("echo", "{}"); said.Text != "for alice-there" {
			t.Errorf("after another sign-in it says %+v", said)
		}
	default:
		t.Errorf("%s, and it says %+v", state, said)
	}
}

// TestDisconnectDuringARefreshOfTheProgram: nothing that comes late is used or kept, and it is revoked like what was there.
func TestDisconnectDuringARefreshOfTheProgram(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.r.set(func(r *recorder) { r.life = "0" })
	alice := a.connects("alice")
	came, goOn := make(chan struct{}), make(chan struct{})
	a.r.set(func(r *recorder) {
		r.life = "3600"
		r.on = func(step string, _ http.ResponseWriter, _ url.Values) bool {
			if step == stepCommitted {
				close(came)
				<-goOn
			}
			return false
		}
	})
	var call sync.WaitGroup
	call.Go(func() { a.linkIn(alice.call("echo", "{}")) })
	<-came
	got := send(t, web(t), http.MethodDelete, a.Base+"/api/v1/servers/"+a.id+"/oauth2/disconnect", a.made["alice"], "")
	if got.status != http.StatusOK {
		t.Errorf("disconnect: %d %s", got.status, got.body)
	}
	close(goOn)
	call.Wait()
	for range 20 {
		a.linkIn(alice.call("echo", "{}"))
	}
	if n := a.mcp.letIn(); n != 0 {
		t.Errorf("%d requests had a token", n)
	}
	eventually(t, "both are revoked", func() bool { return a.r.times("/revoke", "") == 4 }) // the refresh token and the access token
	if state, _ := a.stateOf("alice"); state != "needs_auth" || a.r.refreshes() != 1 {
		t.Errorf("%s, after %d refreshes", state, a.r.refreshes())
	}
}
