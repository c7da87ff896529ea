package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpsidecar/admin"
	"mcpsidecar/configstore"
	"mcpsidecar/configstore/kv"
	"mcpsidecar/configstore/kv/boltkv"
	"mcpsidecar/discovery"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/caller"
	"mcpsidecar/internal/credential"
	"mcpsidecar/internal/front"
	"mcpsidecar/internal/outbound"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

// canary is in every secret that a test sends, and must be in no answer, log line or audit record.
const canary = "canary"

// rootToken is the bootstrap admin's.
const rootToken = "q8Zr-2vXk-7LmP-9wTe-4cYb-1hNu-6dGs"

// fixture is a management API over the real store, with servers that are not there.
type fixture struct {
	store   *configstore.Store
	callers *caller.Authenticator
	servers *fakeServers
	audit   *fakeAudit
	keys    *fakeKeys
	sealer  admin.Sealer
	api     *admin.API
	handler http.Handler
	log     *bytes.Buffer
	broker  *credential.Broker
	allowed netip.Prefix // where servers may be, besides what is public
	schemas *answerSchemas

	mu      sync.Mutex
	refused []string
	reload  error // what the next reloads say
}

func open(t testing.TB) *fixture {
	t.Helper()
	engine, err := boltkv.Open(filepath.Join(t.TempDir(), "data", "sidecar.db"))
	must(t, err)
	return openOn(t, engine)
}

func openOn(t testing.TB, engine kv.Engine) *fixture {
	t.Helper()
	return openAt(t, engine, ourselves, netip.MustParsePrefix("10.1.0.0/16"))
}

// ourselves is where the fixture's sidecar is.
const ourselves = "http://127.0.0.1:8080"

func openAt(t testing.TB, engine kv.Engine, public string, allowed netip.Prefix) *fixture {
	t.Helper()
	f := &fixture{servers: &fakeServers{}, audit: &fakeAudit{}, keys: &fakeKeys{state: admin.KeyState{Keys: 1}}, log: &bytes.Buffer{}, allowed: allowed}
	keyring, err := secret.NewKeyring()
	must(t, err)
	f.sealer = keyring
	f.store, err = configstore.Open(t.Context(), configstore.Config{Engine: engine, Keyring: keyring, Ended: func(ended []configstore.Grant) { f.broker.Ended(ended) }})
	must(t, err)
	t.Cleanup(func() { f.store.Close() })
	f.callers, err = caller.New(caller.Config{Bootstrap: rootToken, Users: f.store})
	must(t, err)
	f.openBroker(t, public)
	f.api = newAPI(t, f.config())
	f.handler = front.Wrap(front.Config{Listen: "127.0.0.1:8080"}, f.api)
	f.schemas = newAnswerSchemas(t, f)
	t.Cleanup(func() { f.sweepBehindTheScenes(t) })
	return f
}

// openBroker makes the real thing, towards the real network as far as it is allowed.
func (f *fixture) openBroker(t testing.TB, public string) {
	t.Helper()
	client, err := outbound.New(outbound.Config{AllowPrivate: []netip.Prefix{f.allowed}})
	must(t, err)
	t.Cleanup(client.CloseIdleConnections)
	found, err := discovery.New(discovery.Config{HTTP: client, FailureTTL: time.Nanosecond})
	must(t, err)
	t.Cleanup(found.Close)
	f.broker, err = credential.New(credential.Config{Store: f.store, Discovery: found, HTTP: client, PublicURL: public})
	must(t, err)
	t.Cleanup(func() { f.broker.Close() })
}

func (f *fixture) config() admin.Config {
	guard := outbound.NewGuard([]netip.Prefix{f.allowed})
	return admin.Config{
		Store: f.store, Callers: f.callers, Servers: f.servers, Accounts: f.broker, Keys: f.keys, Sealer: f.sealer, Reload: f.reloaded, CheckURL: guard.CheckURL, Audit: f.audit,
		Refused: f.refuse, Version: "test", Logger: slog.New(slog.NewTextHandler(&lockedWriter{to: f.log, mu: &f.mu}, nil)),
	}
}

// fakeKeys has keys and seals nothing.
type fakeKeys struct {
	mu    sync.Mutex // guards what follows
	state admin.KeyState
	err   error
}

func (k *fakeKeys) RotateKey(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.state = admin.KeyState{Keys: k.state.Keys + 1, Resealing: true, Total: 7}
	}
	return k.err
}

func (k *fakeKeys) KeyState() admin.KeyState {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

// reloaded does what the program does: it hands the tokens to the authenticator.
func (f *fixture) reloaded(ctx context.Context) error {
	f.mu.Lock()
	err := f.reload
	f.mu.Unlock()
	if err != nil {
		return err
	}
	tokens, err := f.store.Tokens(ctx)
	if err != nil {
		return err
	}
	users, err := f.store.Users(ctx)
	if err != nil {
		return err
	}
	f.callers.Reload(tokens, users...)
	return nil
}

func (f *fixture) refuse(reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused = append(f.refused, reason)
}

// sweepBehindTheScenes holds what was logged and recorded during the test against the canary. Answers are held against it as they come.
func (f *fixture) sweepBehindTheScenes(t testing.TB) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.Contains(f.log.String(), canary) {
		t.Errorf("a secret is in the log:\n%s", f.log)
	}
	for _, change := range f.audit.all() {
		if text, _ := json.Marshal(change); bytes.Contains(text, []byte(canary)) {
			t.Errorf("a secret is in the audit record: %s", text)
		}
	}
}

type lockedWriter struct {
	to io.Writer
	mu *sync.Mutex
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

// fakeAudit keeps what it is told, unless it is broken.
type fakeAudit struct {
	mu      sync.Mutex
	changes []audit.Change
	broken  bool
}

func (a *fakeAudit) Changed(change audit.Change) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken {
		return errors.New("no space for records")
	}
	a.changes = append(a.changes, change)
	return nil
}

func (a *fakeAudit) all() []audit.Change {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]audit.Change{}, a.changes...)
}

func (a *fakeAudit) setBroken(broken bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.broken = broken
}

// fakeServers are all the external servers: each lists the same tools, unless it is down.
type fakeServers struct {
	mu     sync.Mutex
	tools  []admin.PresentTool
	down   error
	stale  bool
	probed []configstore.Server
	shown  []string // the users to whom tools were shown
	probe  admin.Probe
}

func (s *fakeServers) Probe(_ context.Context, server configstore.Server) admin.Probe {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probed = append(s.probed, server)
	return s.probe
}

func (s *fakeServers) Present(_ context.Context, _, user string) (admin.Present, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = append(s.shown, user)
	if s.down != nil {
		return admin.Present{}, s.down
	}
	baseline := policy.Baseline{}
	for _, tool := range s.tools {
		baseline[tool.Name] = policy.Approval{Print: tool.Print, ReadOnly: tool.ReadOnly}
	}
	return admin.Present{
		Tools: append([]admin.PresentTool{}, s.tools...), Baseline: baseline, Stale: s.stale, FetchedAt: time.Unix(1_700_000_000, 0),
	}, nil
}

// list says what the servers list from now on. Names that begin with read_ are read-only.
func (s *fakeServers) list(slug string, names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tools, s.down = nil, nil
	exposed := policy.ExposedNames(slug, names)
	for _, name := range names {
		s.tools = append(s.tools, admin.PresentTool{
			Name: name, Exposed: exposed[name], Description: "does " + name,
			ReadOnly: strings.HasPrefix(name, "read_"), Print: policy.Print{Description: name},
		})
	}
}

func (s *fakeServers) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

// redefine changes the definition of a tool.
func (s *fakeServers) redefine(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.tools {
		if s.tools[i].Name == name {
			s.tools[i].Print.InputSchema = "another"
		}
	}
}

// client is somebody who asks.
type client struct {
	t     testing.TB
	f     *fixture
	token string
	more  http.Header
}

func (f *fixture) root(t testing.TB) *client { return &client{t: t, f: f, token: rootToken} }

// mint returns a client with a token of its own.
func (f *fixture) mint(t testing.TB, body string) *client {
	t.Helper()
	minted := f.root(t).post("/api/v1/tokens", body).want(http.StatusCreated).object()
	return &client{t: t, f: f, token: minted["token"].(string)}
}

// with returns the client with another header in each of its requests.
func (c *client) with(name, value string) *client {
	copied := *c
	copied.more = c.more.Clone()
	if copied.more == nil {
		copied.more = http.Header{}
	}
	copied.more.Set(name, value)
	return &copied
}

func (c *client) get(path string) *answer         { return c.do("GET", path, "") }
func (c *client) delete(path string) *answer      { return c.do("DELETE", path, "") }
func (c *client) post(path, body string) *answer  { return c.do("POST", path, body) }
func (c *client) patch(path, body string) *answer { return c.do("PATCH", path, body) }
func (c *client) server(id string) map[string]any {
	return c.get(servers + "/" + id).want(200).object()
}
func (c *client) create(body string) (id string)  { return c.created(body).object()["id"].(string) }
func (c *client) created(body string) *answer     { return c.post(servers, body).want(http.StatusCreated) }
func (c *client) listed() (list []map[string]any) { c.get(servers).want(200).into(&list); return list }

// do sends a request. Whatever the answer is, it must hold no secret and be as the OpenAPI document says.
func (c *client) do(method, path, body string) *answer {
	c.t.Helper()
	r := newRequest(c.t.Context(), method, path, body)
	r.Header.Del("Authorization")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	for name, values := range c.more {
		r.Header[name] = values
	}
	w := newRecorder(r, c.f.handler)
	got := &answer{t: c.t, status: w.Code, header: w.Header(), body: w.Body.Bytes(), what: method + " " + path}
	if bytes.Contains(bytes.ToLower(got.body), []byte(canary)) {
		c.t.Errorf("%s %s: a secret is in the answer: %s", method, path, got.body)
	}
	c.f.schemas.check(c.t, method, r.URL.Path, got)
	return got
}

// newRequest makes a request of the bootstrap admin.
func newRequest(ctx context.Context, method, path, body string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8080"
	r.Header.Set("Authorization", "Bearer "+rootToken)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func newAPI(t testing.TB, config admin.Config) *admin.API {
	t.Helper()
	api, err := admin.New(config)
	must(t, err)
	return api
}

// newRecorder runs a request on a handler.
func newRecorder(r *http.Request, handler http.Handler) *httptest.ResponseRecorder {
	w := newWriter()
	handler.ServeHTTP(w, r)
	return w
}

func newWriter() *httptest.ResponseRecorder { return httptest.NewRecorder() }

// answer is what came back.
type answer struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   []byte
}

func (a *answer) want(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: status %d, want %d: %s", a.what, a.status, status, a.body)
	}
	return a
}

func (a *answer) into(v any) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%s: %v in %s", a.what, err, a.body)
	}
}

func (a *answer) object() (o map[string]any) {
	a.t.Helper()
	a.into(&o)
	return o
}

// fields are the names in the answer's validations, in their order.
func (a *answer) fields() []string {
	a.t.Helper()
	var failure admin.Failure
	a.into(&failure)
	names := []string{}
	for _, v := range failure.Validations {
		names = append(names, v.Field)
	}
	return names
}

// wrong asserts a 400 that names exactly these fields.
func (a *answer) wrong(fields ...string) *answer {
	a.t.Helper()
	a.want(http.StatusBadRequest)
	if got := strings.Join(a.fields(), " "); got != strings.Join(fields, " ") {
		a.t.Errorf("%s: the answer names %q, want %q: %s", a.what, got, fields, a.body)
	}
	return a
}

const servers = "/api/v1/servers"

// body makes the body of a request out of a good one for a new server and changes to it; a nil value takes a field out.
func body(t testing.TB, changes fields) string {
	t.Helper()
	whole := fields{
		"display_name": "GitHub", "slug": "github", "transport": "streamable_http", "url": "https://mcp.example.com/mcp",
		"auth_type": "none", "availability": "default_on", "enabled": true,
	}
	for name, value := range changes {
		if value == nil {
			delete(whole, name)
			continue
		}
		whole[name] = value
	}
	return only(t, whole)
}

// fields are members of a request's body.
type fields map[string]any

func only(t testing.TB, f fields) string {
	t.Helper()
	text, err := json.Marshal(f)
	must(t, err)
	return string(text)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
