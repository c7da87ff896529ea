package e2e_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"mcpsidecar/internal/e2e/rig"
)

// cutter stands between clients and the sidecar, and ends the answer to each call after its first event, as something on the way does that has no patience.
type cutter struct {
	base string
	cuts atomic.Int64
	back atomic.Int64 // how often a client came back
}

func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request, err := http.NewRequestWithContext(r.Context(), r.Method, c.base+r.URL.Path, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	request.Header = r.Header.Clone()
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	for name, values := range response.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(response.StatusCode)
	stream := strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream")
	if r.Header.Get("Last-Event-ID") != "" {
		c.back.Add(1)
	}
	lines := bufio.NewReader(response.Body)
	for {
		line, err := lines.ReadString('\n')
		if _, failed := io.WriteString(w, line); err != nil || failed != nil {
			return
		}
		if line == "\n" && stream {
			w.(http.Flusher).Flush()
			if r.Method == http.MethodPost {
				c.cuts.Add(1)
				return
			}
		}
	}
}

// TestClientsComeBack: the clients of others, of the older era, have the whole answer of a server of others though each connection ends after its first event.
func TestClientsComeBack(t *testing.T) {
	s := start(t)
	s.register("npm", npmEverything(t, "streamableHttp", "/mcp"))
	long := call{Name: "trigger-long-running-operation", Arguments: arguments{"duration": 0.4, "steps": 4}, Progress: true}
	for _, client := range clients {
		if !strings.Contains(client.name, "legacy") && client.name != "npm sdk" {
			continue
		}
		t.Run(client.name, func(t *testing.T) {
			between := &cutter{base: s.Base}
			web := httptest.NewServer(between)
			defer web.Close()
			got := client.visit(t, s.token("alice"), []visit{{URL: web.URL + "/mcp/npm", Calls: []call{long}}})
			if got[0].Error != "" || len(got[0].Calls) != 1 || got[0].Calls[0].Error != "" || !strings.Contains(got[0].Calls[0].Text, "Long running operation completed") {
				t.Errorf("the outcome is %+v", got[0])
			}
			if between.cuts.Load() == 0 || between.back.Load() == 0 {
				t.Errorf("%d connections were cut, and clients came back %d times", between.cuts.Load(), between.back.Load())
			}
		})
	}
}

// TestAServerStartedAnewIsInitialisedAlone: a server of others forgets its sessions, and clients, whose sessions stay, notice nothing; nor do they when the sidecar is started anew after that.
func TestAServerStartedAnewIsInitialisedAlone(t *testing.T) {
	binary := must[string](t)(everythingBinary())
	address := takePort(t)
	server := func() *rig.Process {
		p := must[*rig.Process](t)(rig.Start(context.WithoutCancel(t.Context()), rig.Command{Path: binary, Args: []string{"-http=" + address, "-stateless=false"}}))
		t.Cleanup(p.Kill)
		eventually(t, "the server is there", func() bool {
			response, err := http.Get("http://" + address + "/")
			if err == nil {
				response.Body.Close()
			}
			return err == nil
		})
		return p
	}
	first := server()
	other := startFake(t, legacyOnly)
	s := start(t)
	s.register("sdk", "http://"+address+"/")
	s.register("other", other.URL)
	a := s.legacy("/mcp", s.token("alice"))
	ask := func(when string) {
		t.Helper()
		if got := a.call("sdk__test_simple_text", `{}`); got.Text != sdkAnswer {
			t.Errorf("%s: %+v", when, got)
		}
		if got := a.call("other__echo", `{"text":"x"}`); got.Text != `{"text":"x"}` {
			t.Errorf("%s, the other server: %+v", when, got)
		}
	}
	ask("before")
	opened := len(other.of("initialize"))
	first.Kill()
	server()
	ask("after the server was started anew")
	if n := len(other.of("initialize")); n != opened {
		t.Errorf("the other server was initialised %d times more", n-opened)
	}
	s.stop()
	again := s.again()
	a.url = again.Base + "/mcp"
	ask("after the sidecar was started anew")
}
