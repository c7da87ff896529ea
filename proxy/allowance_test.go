package proxy_test

import (
	"testing"
	"time"

	"mcpsidecar/configstore"
)

// TestStreamsEndWithWhatTheyWereLetInBy: the token is revoked, is another one's now, or its user is ended. The configuration is otherwise as before, and so nothing else wakes the stream.
func TestStreamsEndWithWhatTheyWereLetInBy(t *testing.T) {
	for name, row := range map[string]struct {
		role, pinned string
		change       func(*rig)
	}{
		"the token is revoked":       {"user", "alice", func(r *rig) { r.callers.Reload(nil) }},
		"it has another role":        {"user", "alice", func(r *rig) { r.tokens[0].Role = "admin"; r.callers.Reload(r.tokens) }},
		"it is in plan mode":         {"user", "alice", func(r *rig) { r.tokens[0].Mode = "plan"; r.callers.Reload(r.tokens) }},
		"it has other servers":       {"user", "alice", func(r *rig) { r.tokens[0].Servers = []string{"two"}; r.callers.Reload(r.tokens) }},
		"an agent's user is ended":   {"agent", "", func(r *rig) { r.users() }},
		"and has come back as a new": {"agent", "", func(r *rig) { r.users(configstore.User{Name: "alice", FirstSeen: time.Unix(2, 0)}) }},
	} {
		for _, era := range eras {
			t.Run(name+", "+era, func(t *testing.T) {
				f := startFake(t, "legacy", tool("x"))
				r := newRig(t, f.record("one"))
				r.users(configstore.User{Name: "alice", FirstSeen: time.Unix(1, 0)})
				var header []string
				if row.role == "agent" {
					header = []string{"Sidecar-User", "alice"}
				}
				c := r.client(era, "/mcp", r.token(row.role, row.pinned), header...)
				events := c.listen(t.Context())
				if era == "modern" {
					<-events // the acknowledgement
				}
				row.change(r)
				r.load(f.record("one"))
				for event := range events {
					if era == "legacy" || event == "" {
						t.Errorf("it still hears %s", event)
					}
				}
			})
		}
	}
}

// users stores who is known.
func (r *rig) users(known ...configstore.User) {
	r.mu.Lock()
	r.stored.Users = known
	r.mu.Unlock()
	r.load(r.stored.Servers...)
}

// TestNothingIsSaidToARevokedToken, even before its streams have heard that it is: what a server says of its own accord, and what it says in a call that the client has come back for.
func TestNothingIsSaidToARevokedToken(t *testing.T) {
	t.Run("on a standing stream", func(t *testing.T) {
		a := startAsker(t, "legacy")
		streams := standOn(a.fakeServer)
		r := newRig(t, a.record("one"))
		c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), ableToAll)
		c.list()
		heard := c.listenTo(t.Context(), "")
		c.again(`{"ask":[]}`, "")
		session := <-streams.opened
		r.callers.Reload(nil)
		streams.say(session, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"secret"}}`)
		for event := range heard {
			t.Errorf("it still hears %s", event)
		}
	})
	t.Run("in a call", func(t *testing.T) {
		l := startLaster(t)
		r := newRig(t, l.record("one"))
		c := r.client("legacy", "/mcp", r.token("user", "alice"))
		first := c.lasting(l, "r1")
		prime := first.must()
		first.drop()
		back := c.resume(prime.id)
		wantData(t, "back again", []event{back.must()}, `"r1"`)
		r.callers.Reload(nil)
		l.say <- "r2"
		wantData(t, "after that", back.rest())
		l.say <- "!done"
	})
}
