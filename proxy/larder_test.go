package proxy_test

import (
	"strings"
	"testing"

	"mcpsidecar/proxy"
)

// TestTheOldestIsGivenUpForOthers: what a user's chats have left lying about makes room for the newest of the same user first, and only where all together have too much, that of another user.
func TestTheOldestIsGivenUpForOthers(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*proxy.Resuming)
		users  [3]string
		kept   [3]bool
	}{
		"of one user":                {func(r *proxy.Resuming) { r.UserBytes = 5000 }, [3]string{"alice", "alice", "alice"}, [3]bool{false, true, true}},
		"of others nothing":          {func(r *proxy.Resuming) { r.UserBytes = 5000 }, [3]string{"bob", "alice", "alice"}, [3]bool{true, true, true}},
		"of all":                     {func(r *proxy.Resuming) { r.Overall = 5000 }, [3]string{"alice", "bob", "carol"}, [3]bool{false, true, true}},
		"of all, one's own is first": {func(r *proxy.Resuming) { r.Overall = 5000 }, [3]string{"alice", "bob", "bob"}, [3]bool{true, false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			l := startLaster(t)
			r := newRigWith(t, func(c *proxy.Config) { row.change(&c.Resuming) }, l.record("one"))
			var chats [3]*client
			var primes [3]event
			for n, user := range row.users {
				chats[n] = r.client("legacy", "/mcp", r.token("user", user))
				call := chats[n].lasting(l, "r1")
				primes[n] = call.must()
				l.say <- "!" + strings.Repeat("x", 1500)
				call.rest()
			}
			for n, c := range chats {
				got := c.resume(primes[n].id).rest()
				if kept := len(got) == 2 && strings.Contains(got[1].data, "xxx"); kept != row.kept[n] {
					t.Errorf("chat %d of %s: kept %v, want %v: %.300q", n, row.users[n], kept, row.kept[n], got)
				}
			}
		})
	}
}
