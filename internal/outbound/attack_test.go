package outbound_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"mcpsidecar/internal/outbound"
)

// canary counts the connections that it accepts, all of which are a defeat.
type canary struct {
	net.Listener
	accepted atomic.Int32
	ended    chan struct{}
}

func listen(t *testing.T, address string) *canary {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("this machine has no %s: %v", address, err)
	}
	c := &canary{Listener: listener, ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			c.accepted.Add(1)
			conn.Close()
		}
	}()
	t.Cleanup(c.stop)
	return c
}

func (c *canary) stop() {
	c.Close()
	<-c.ended
}

func (c *canary) port() string {
	_, port, _ := net.SplitHostPort(c.Addr().String())
	return port
}

// S-01: whatever spells an address of this machine or its network reaches nothing.
func TestNothingPrivateIsReached(t *testing.T) {
	lies := resolver(t, map[string][][]string{
		"four.example":   {{"127.0.0.1"}},
		"six.example":    {{"::1"}},
		"mapped.example": {{"::ffff:127.0.0.1"}},
		"zero.example":   {{"0.0.0.0", "::"}},
		"both.example":   {{"127.0.0.1", "::1", "169.254.169.254", "10.0.0.1"}},
		"nat64.example":  {{"64:ff9b::7f00:1"}},
	})
	c := client(t, outbound.WithResolver(outbound.Config{}, lies))
	hosts := []string{
		"127.0.0.1", "127.0.0.2", "[::1]", "[::ffff:127.0.0.1]", "[::]", "0.0.0.0", "localhost", "[64:ff9b::7f00:1]", "[2002:7f00:1::1]",
		"four.example", "six.example", "mapped.example", "zero.example", "both.example", "nat64.example",
	}
	canaries := []*canary{listen(t, "127.0.0.1:0")}
	if own, ok := privateAddress(t); ok {
		canaries = append(canaries, listen(t, net.JoinHostPort(own, "0")))
		hosts = append(hosts, own)
	}
	if six, err := net.Listen("tcp", "[::1]:0"); err == nil {
		six.Close()
		canaries = append(canaries, listen(t, "[::1]:0"))
	}
	for _, trap := range canaries {
		for _, host := range hosts {
			for _, scheme := range []string{"http", "https"} {
				_, err := get(t, c, scheme+"://"+host+":"+trap.port()+"/")
				if !errors.Is(err, outbound.ErrForbiddenAddress) {
					t.Errorf("%s %s: %v, want ErrForbiddenAddress", scheme, host, err)
				}
			}
		}
	}
	for _, trap := range canaries {
		trap.stop()
		if n := trap.accepted.Load(); n > 0 {
			t.Errorf("%s was connected to %d times", trap.Addr(), n)
		}
	}
}

// privateAddress is an address of this machine beyond loopback that a stranger must not lead to.
func privateAddress(t *testing.T) (string, bool) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		prefix, err := netip.ParsePrefix(address.String())
		if err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() && outbound.NewGuard(nil).Check(prefix.Addr()) != nil {
			return prefix.Addr().String(), true
		}
	}
	return "", false
}

// A name that was harmless when it was judged and is not when it is dialled: the first answer leads to where the operator allows, the second elsewhere.
func TestRebindingGainsNothing(t *testing.T) {
	good, trap := pair(t)
	lies := resolver(t, map[string][][]string{"rebind.example": {{"127.0.0.2"}, {"127.0.0.1"}}})
	only := []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	c := client(t, outbound.WithResolver(outbound.Config{AllowPrivate: only}, lies))
	target := "http://rebind.example:" + trap.port() + "/"

	if err := outbound.NewGuard(only).CheckURL(target); err != nil {
		t.Fatalf("the name itself is refused: %v", err)
	}
	answer, err := get(t, c, target)
	if err != nil {
		t.Fatalf("first look-up: %v", err)
	}
	io.Copy(io.Discard, answer.Body)
	c.CloseIdleConnections()
	if _, err = get(t, c, target); !errors.Is(err, outbound.ErrForbiddenAddress) {
		t.Errorf("second look-up: %v, want ErrForbiddenAddress", err)
	}
	trap.stop()
	if good.Load() != 1 || trap.accepted.Load() != 0 {
		t.Errorf("requests where allowed: %d, want 1; connections elsewhere: %d, want 0", good.Load(), trap.accepted.Load())
	}
}

// Of an answer that mixes both, only what is allowed is dialled.
func TestMixedAnswersReachOnlyWhatIsAllowed(t *testing.T) {
	good, trap := pair(t)
	lies := resolver(t, map[string][][]string{"mixed.example": {{"127.0.0.1", "127.0.0.2"}}})
	c := client(t, outbound.WithResolver(outbound.Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}}, lies))
	if _, err := get(t, c, "http://mixed.example:"+trap.port()+"/"); err != nil {
		t.Error(err)
	}
	trap.stop()
	if good.Load() != 1 || trap.accepted.Load() != 0 {
		t.Errorf("requests where allowed: %d, want 1; connections elsewhere: %d, want 0", good.Load(), trap.accepted.Load())
	}
}

// pair is a server on 127.0.0.2 and a canary on 127.0.0.1 with the same port.
func pair(t *testing.T) (*atomic.Int32, *canary) {
	t.Helper()
	trap := listen(t, "127.0.0.1:0")
	listener, err := net.Listen("tcp", "127.0.0.2:"+trap.port())
	if err != nil {
		t.Skipf("this machine has no 127.0.0.2: %v", err)
	}
	var requests atomic.Int32
	good := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	good.Listener.Close()
	good.Listener = listener
	good.Start()
	t.Cleanup(good.Close)
	return &requests, trap
}

// S-04
func TestRedirectsAreAnswersLikeOthers(t *testing.T) {
	trap := listen(t, "127.0.0.1:0")
	c := client(t, outbound.Config{AllowPrivate: loopback})
	for _, status := range []int{300, 301, 302, 303, 307, 308} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			s := server(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "http://127.0.0.1:"+trap.port()+"/")
				w.WriteHeader(status)
			})
			request, _ := http.NewRequestWithContext(t.Context(), method, s.URL, strings.NewReader("{}"))
			answer, err := c.Do(request)
			if err != nil {
				t.Errorf("%s %d: %v", method, status, err)
				continue
			}
			answer.Body.Close()
			if answer.StatusCode != status {
				t.Errorf("%s %d: got %d", method, status, answer.StatusCode)
			}
		}
	}
	trap.stop()
	if n := trap.accepted.Load(); n > 0 {
		t.Errorf("a redirect was followed %d times", n)
	}
}

// S-08: a control client shows that the environment would lead to the canary.
func TestProxiesOfTheEnvironmentAreIgnored(t *testing.T) {
	trap := listen(t, "127.0.0.1:0")
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, "http://127.0.0.1:"+trap.port())
	}
	t.Setenv("NO_PROXY", "")
	t.Setenv("no_proxy", "")
	s := server(t, func(http.ResponseWriter, *http.Request) {})
	port := s.URL[strings.LastIndexByte(s.URL, ':')+1:]
	lies := resolver(t, map[string][][]string{"server.example": {{"127.0.0.1"}}})

	if _, err := get(t, client(t, outbound.WithResolver(outbound.Config{AllowPrivate: loopback}, lies)), "http://server.example:"+port); err != nil {
		t.Errorf("with proxies in the environment: %v", err)
	}
	if n := trap.accepted.Load(); n > 0 {
		t.Errorf("the environment's proxy was connected to %d times", n)
	}
	control := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}}
	defer control.CloseIdleConnections()
	get(t, control, "http://server.example:"+port)
	trap.stop()
	if trap.accepted.Load() == 0 {
		t.Error("the control client did not use the environment's proxy either: this test shows nothing")
	}
}
