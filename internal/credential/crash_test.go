package credential_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"mcpsidecar/configstore"
	"mcpsidecar/configstore/kv/boltkv"
	"mcpsidecar/discovery"
	"mcpsidecar/internal/credential"
	"mcpsidecar/internal/secret"
)

// childEnv turns the test binary into a process that asks for a token of the store it describes, and is killed on the way.
const childEnv = "CREDENTIAL_TEST_CHILD"

// crashSite is where a child finds its store and its provider.
type crashSite struct {
	Dir, Provider, ServerID string
}

// brokerAt opens a site.
func brokerAt(site crashSite) (*configstore.Store, *credential.Broker, error) {
	keyring, _, err := secret.LoadKeyring(filepath.Join(site.Dir, "key"), true)
	if err != nil {
		return nil, nil, err
	}
	engine, err := boltkv.Open(filepath.Join(site.Dir, "store.db"))
	if err != nil {
		return nil, nil, err
	}
	store, err := configstore.Open(context.Background(), configstore.Config{Engine: engine, Keyring: keyring})
	if err != nil {
		return nil, nil, err
	}
	known := &directory{metadata: discovery.Metadata{Issuer: issuer, AuthorizationEndpoint: issuer + "/authorize", TokenEndpoint: site.Provider + "/token"}}
	broker, err := credential.New(credential.Config{Store: store, Discovery: known, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, PublicURL: public})
	return store, broker, err
}

func runChild(text string) {
	var site crashSite
	if err := json.Unmarshal([]byte(text), &site); err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	store, broker, err := brokerAt(site)
	if err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	server, err := store.Server(context.Background(), site.ServerID)
	if err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	token, err := broker.Token(context.Background(), &server, "alice", secret.Value{})
	fmt.Println("token", token.Reveal(), err)
	io.Copy(io.Discard, os.Stdin) // until the kill, or the end of who should have killed
}

// crashing serves a provider whose token requests can kill the process that asks.
type crashing struct {
	provider *provider
	child    atomic.Pointer[os.Process]
	step     string // at which to kill: before, committed, answered, or empty
}

func (c *crashing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	child := c.child.Load()
	if child != nil && c.step == "before" {
		child.Kill()
		return
	}
	response, err := c.provider.RoundTrip(r)
	if err != nil {
		w.WriteHeader(500)
		return
	}
	if child != nil && c.step == "committed" {
		child.Kill()
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(response.StatusCode)
	body := make([]byte, 4096)
	n, _ := response.Body.Read(body)
	w.Write(body[:n])
	if child != nil && c.step == "answered" {
		w.(http.Flusher).Flush() // the whole answer is on its way
		child.Kill()
	}
}

// Kill -9 around a rotation, at each of its steps. What the provider did not hear of is done again; what it did and we did not get is lost, which nobody can help, and ends without a loop; what was
// handed out is stored.
func TestKilledAroundARotation(t *testing.T) {
	for _, c := range []struct {
		step          string
		alive, asLost bool // the grant may be alive, or lost, afterwards
	}{
		{"before", true, false},
		{"committed", false, true},
		{"answered", true, true}, // whether it was stored before the kill is a race
		{"handed out", true, false},
	} {
		t.Run(c.step, func(t *testing.T) {
			for range 3 {
				killAt(t, c.step, c.alive, c.asLost)
			}
		})
	}
}

func killAt(t *testing.T, step string, mayLive, mayBeLost bool) {
	c := &crashing{provider: &provider{life: "1", rotate: true, refresh: map[string]bool{}, resource: place}, step: step}
	as := httptest.NewServer(c)
	defer as.Close()
	site := crashSite{Dir: t.TempDir(), Provider: as.URL}
	site.ServerID = connectAt(t, &site, c.provider)

	text, err := json.Marshal(site)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+string(text))
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	ready := make(chan struct{})
	c.provider.set(func(p *provider) {
		p.always = func(*http.Request, url.Values) (*http.Response, error) { <-ready; return nil, nil }
	})
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	c.child.Store(child.Process)
	close(ready)
	handed := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if said, found := strings.CutPrefix(lines.Text(), "token "); found {
			handed = strings.TrimSuffix(said, " <nil>")
			child.Process.Kill()
		}
	}
	child.Wait()
	c.child.Store(nil)
	if step == "handed out" && handed != "Bearer access-2" {
		t.Fatalf("the child got %q", handed)
	}

	before := c.provider.asked()
	store, broker, err := brokerAt(site)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	defer broker.Close()
	server, err := store.Server(t.Context(), site.ServerID)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		_, err = broker.Token(t.Context(), &server, "alice", none)
	}
	status, statusErr := broker.Status(t.Context(), &server, "alice")
	alive := err == nil && statusErr == nil && status.State == credential.StateConnected
	lost := status.State == credential.StateNeedsReauth
	if !alive && !lost || alive && !mayLive || lost && !mayBeLost {
		t.Errorf("after a kill: %v, %s (%v)", err, status.State, statusErr)
	}
	if handed == "Bearer access-2" && !alive {
		t.Error("a token was handed out that was not stored")
	}
	if lost && c.provider.asked() != before+1 {
		t.Errorf("a lost grant was asked for %d times", c.provider.asked()-before)
	}
}

// connectAt makes a site with alice's account, whose token is over.
func connectAt(t *testing.T, site *crashSite, p *provider) string {
	store, broker, err := brokerAt(*site)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	defer broker.Close()
	w := &world{t: t, provider: p, store: store, broker: broker}
	w.server = w.create("one", place)
	life := p.life
	p.life = "0"
	w.connect("alice")
	p.life = life
	return w.server.ID
}
