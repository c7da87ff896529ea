package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"mcpsidecar/internal/e2e/rig"
)

// canary is a listener that nobody may come to.
type canary struct {
	address string
	visits  atomic.Int32
}

func startCanary(t testing.TB) *canary {
	listener := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	c := &canary{address: listener.Addr().String()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			c.visits.Add(1)
			connection.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return c
}

func (c *canary) check(t testing.TB) {
	t.Helper()
	if n := c.visits.Load(); n != 0 {
		t.Errorf("the canary was visited %d times", n)
	}
}

// TestRedirectsAreNotFollowed is S-04: neither when a server is asked who it is, nor when it is called; and nobody is told where it pointed.
func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			c := startCanary(t)
			redirect := func(w http.ResponseWriter) {
				w.Header().Set("Location", "http://"+c.address+"/secret-place")
				w.WriteHeader(status)
			}
			always := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { redirect(w) }))
			t.Cleanup(always.Close)
			called := startFake(t, legacyOnly)
			called.onCall(func(w http.ResponseWriter, _ *http.Request, _ heard) { redirect(w) })
			s := start(t)
			id := s.register("always", always.URL)
			s.register("called", called.URL)
			a := s.modern("/mcp", s.token("alice"))
			if tools := a.list(); len(tools) != 3 {
				t.Errorf("listed %v", tools)
			}
			got := a.call("called__echo", `{}`)
			if !strings.Contains(got.Error, "called") || strings.Contains(got.Error, "secret-place") || strings.Contains(got.Error, c.address) {
				t.Errorf("calling it: %+v", got)
			}
			var tested struct {
				Reachable bool
				Reason    string
			}
			if err := s.API(t.Context(), http.MethodPost, "/servers/"+id+"/test", nil, &tested); err != nil || tested.Reachable || tested.Reason == "" {
				t.Errorf("testing it: %+v, %v", tested, err)
			}
			c.check(t)
		})
	}
}

// TestTheMessageEndpointStaysAtHome is S-06: the old transport's server says where messages go, and may only say a place of its own, once.
func TestTheMessageEndpointStaysAtHome(t *testing.T) {
	c := startCanary(t)
	for what, endpoints := range map[string][]string{
		"another port":     {"http://" + c.address + "/message"},
		"no scheme":        {"//" + c.address + "/message"},
		"another scheme":   {"file:///etc/passwd"},
		"good, then evil":  {"/message", "http://" + c.address + "/message"},
		"evil, then good":  {"http://" + c.address + "/message", "/message"},
		"a hundred of one": strings.Split(strings.Repeat("http://"+c.address+"/message ", 100), " "),
	} {
		t.Run(what, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet {
					w.WriteHeader(http.StatusAccepted) // and never answers
					return
				}
				w.Header().Set("Content-Type", "text/event-stream")
				for _, endpoint := range endpoints {
					fmt.Fprintf(w, "event: endpoint\ndata: %s\n\n", endpoint)
				}
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}))
			t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
			s := start(t)
			s.register("old", server.URL+"/sse", "transport", "sse", "timeout_ms", 1000)
			s.register("up", startFake(t, modernOnly).URL)
			a := s.modern("/mcp", s.token("alice"))
			if got := a.call("old__echo", `{}`); got.Text != "" {
				t.Errorf("calling it: %+v", got)
			}
			if got := a.call("up__echo", `{}`); got.Text != `{}` {
				t.Errorf("the other server: %+v", got)
			}
			c.check(t)
		})
	}
}

// TestNoProxyOfTheEnvironment is S-08: an address that a proxy would resolve is not judged, so that there is none.
func TestNoProxyOfTheEnvironment(t *testing.T) {
	c := startCanary(t)
	proxy := "http://" + c.address
	s := startWith(t, rig.SidecarConfig{Dir: filepath.Join(t.TempDir(), "data"), Env: []string{
		"HTTP_PROXY=" + proxy, "HTTPS_PROXY=" + proxy, "ALL_PROXY=" + proxy, "http_proxy=" + proxy, "https_proxy=" + proxy, "all_proxy=" + proxy, "NO_PROXY=", "no_proxy=",
	}})
	s.register("named", "http://stranger.invalid/mcp") // loopback would never be asked of a proxy
	s.register("secure", "https://stranger.invalid/mcp")
	s.register("up", startFake(t, modernOnly).URL)
	a := s.modern("/mcp", s.token("alice"))
	if tools := a.list(); len(tools) != 3 {
		t.Errorf("listed %v", tools)
	}
	for _, slug := range []string{"named", "secure"} {
		if got := a.call(slug+"__echo", `{}`); got.Text != "" {
			t.Errorf("%s answers %+v", slug, got)
		}
	}
	c.check(t)
}

// TestPrivateAddressesNeedLeave is S-01 as far as there is no OAuth: without the flag nothing on this machine is reached, however it is written.
func TestPrivateAddressesNeedLeave(t *testing.T) {
	c := startCanary(t)
	_, port, _ := net.SplitHostPort(c.address)
	s := start(t, "--allow-private-cidrs", "192.0.2.0/24") // the last one of a flag counts
	for n, host := range []string{"127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::]", "127.0.0.1.", "localhost."} {
		slug := fmt.Sprintf("s%d", n)
		_, err := s.Register(t.Context(), slug, "http://"+host+":"+port+"/mcp", nil)
		if err != nil {
			continue // refused at once is as good
		}
		if got := s.modern("/mcp/"+slug, s.token("alice")).call("echo", `{}`); got.Text != "" {
			t.Errorf("%s: %+v", host, got)
		}
	}
	c.check(t)
}

// TestNothingOfTheAgentReachesTheServer is M-10: what an agent sends to us is for us.
func TestNothingOfTheAgentReachesTheServer(t *testing.T) {
	f := startFake(t, legacyOnly)
	s := start(t)
	s.register("one", f.URL)
	body, header := s.modern("/mcp", "").request(1, "tools/call", "one__echo", `"name":"one__echo","arguments":{}`)
	header = append(header, "Accept", acceptBoth, "Cookie", "session=canary", "X-Api-Key", "canary", "Proxy-Authorization", "Basic canary", "X-Forwarded-For", "10.0.0.1", "X-Forwarded-User", "canary",
		"Forwarded", "for=canary", "X-User-Id", "canary", "X-Real-Ip", "canary", "Connection", "X-User-Id", "User-Agent", "canary", "Referer", "http://canary/", "Via", "canary")
	if got := send(t, web(t), http.MethodPost, s.Base+"/mcp", s.token("alice"), body, header...); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	calls := f.of("tools/call")
	if len(calls) != 1 {
		t.Fatalf("it was called %d times", len(calls))
	}
	for name, values := range calls[0].Header {
		if text := strings.Join(values, " "); strings.Contains(text, "canary") || strings.Contains(text, "mcps_") || strings.HasPrefix(name, "X-Forwarded") || name == "Authorization" {
			t.Errorf("the server got %s: %s", name, text)
		}
	}
}
