package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// A machine that does something else as well makes everything slower. So what a test of load judges is set against what the machine was good for in the same moments: the same calls without the sidecar.

// comparison is how long calls take: the slowest of a hundred, or the middle one.
type comparison struct {
	through, middle time.Duration // by way of the sidecar
	direct          time.Duration // straight at the server
	calls           int
}

func (c comparison) String() string {
	return fmt.Sprintf("%d calls, p50 %s, p99 %s, straight at the server %s", c.calls, c.middle, c.through, c.direct)
}

// later is by how much calls may be slower than before because the machine is. By way of the sidecar each waits twice as often for its turn as straight.
func (c comparison) later(before comparison) time.Duration { return 2 * max(0, c.direct-before.direct) }

// straight is an agent that does without the sidecar.
func straight(t testing.TB, url string) *agent {
	return &agent{t: t, client: web(t), url: url, token: "none"}
}

// compared is visited, with some calls straight at the server beside it.
func compared(t *testing.T, a *agent, tool string, f *fake, rate int, during func()) comparison {
	t.Helper()
	var direct []time.Duration
	took := visited(t, a, tool, rate, func() {
		direct = visited(t, straight(t, f.URL), "echo", rate/4, during)
	})
	return comparison{through: portion(took, .99), middle: portion(took, .5), direct: portion(direct, .99), calls: len(took)}
}

// fetchedStraight is how long it takes to have the lists of servers side by side.
func fetchedStraight(t *testing.T, fakes []*fake) time.Duration {
	t.Helper()
	began := time.Now()
	var all sync.WaitGroup
	for _, f := range fakes {
		if f.kind == modernOnly {
			a := straight(t, f.URL)
			all.Go(func() { a.list() })
		}
	}
	all.Wait()
	return time.Since(began)
}

// bare is a server that has nothing to do but send this, as an agent asks for it.
func bare(t *testing.T, body string) *agent {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return straight(t, server.URL)
}
