package credential_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/configstore/kv"
	"mcpsidecar/configstore/kv/boltkv"
	"mcpsidecar/discovery"
	"mcpsidecar/internal/credential"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

// provider is an authorization server that behaves: codes and refresh tokens work once, PKCE and resource are checked. It answers as a transport, so that it lives in bubbles of fake time.
type provider struct {
	mu       sync.Mutex
	life     string        // of access tokens, as JSON; empty: not said
	rotate   bool          // a refresh ends the refresh token
	keepOld  bool          // a refresh gives no refresh token in its answer
	bare     bool          // no refresh tokens at all
	delay    time.Duration // before an answer
	faults   []fault       // for the next requests, the first first
	always   fault         // for all after them
	verifier string        // challenge of the last authorization request
	resource string
	n        int             // tokens given
	refresh  map[string]bool // refresh tokens that work
	requests []request
	reused   int // refresh tokens that were used after their end
	seen     func(request)
	revoke   func(form url.Values) (int, string)
}

type request struct {
	path, auth string
	form       url.Values
}

// fault answers instead of the provider; a nil response goes on to it.
type fault func(request *http.Request, form url.Values) (*http.Response, error)

func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	came := request{r.URL.Path, r.Header.Get("Authorization"), form}
	p.requests = append(p.requests, came)
	delay, f, seen := p.delay, p.always, p.seen
	if len(p.faults) > 0 {
		f, p.faults = p.faults[0], p.faults[1:]
	}
	p.mu.Unlock()
	if seen != nil {
		seen(came)
	}
	if r.Header.Get("Accept") != "application/json" {
		return reply(406, ""), nil
	}
	if f != nil {
		if response, err := f(r, form); response != nil || err != nil {
			return response, err
		}
	}
	response := p.answer(r, form)
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return response, nil
}

func (p *provider) answer(r *http.Request, form url.Values) *http.Response {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.URL.Path == "/revoke" {
		status, body := 200, ""
		if p.revoke != nil {
			status, body = p.revoke(form)
		}
		return reply(status, body)
	}
	if form.Get("resource") != p.resource {
		return reply(400, `{"error":"invalid_target"}`)
	}
	switch form.Get("grant_type") {
	case "authorization_code":
		if sum := sha256.Sum256([]byte(form.Get("code_verifier"))); base64.RawURLEncoding.EncodeToString(sum[:]) != p.verifier {
			return reply(400, `{"error":"invalid_grant"}`)
		}
	case "refresh_token":
		old := form.Get("refresh_token")
		if !p.refresh[old] {
			p.reused++
			return reply(400, `{"error":"invalid_grant"}`)
		}
		if p.rotate {
			p.refresh[old] = false
		}
	}
	return reply(200, p.give(form.Get("grant_type") == "refresh_token"))
}

func (p *provider) give(again bool) string {
	p.n++
	text := fmt.Sprintf(`{"access_token":"access-%d","token_type":"bearer"`, p.n)
	if p.life != "" {
		text += `,"expires_in":` + p.life
	}
	if !p.bare && !(again && p.keepOld) {
		name := fmt.Sprintf("refresh-%d", p.n)
		p.refresh[name] = true
		text += `,"refresh_token":"` + name + `"`
	}
	return text + `}`
}

func reply(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
}

func answers(status int, body string) fault {
	return func(*http.Request, url.Values) (*http.Response, error) { return reply(status, body), nil }
}

// asked is how often the token endpoint was asked to refresh.
func (p *provider) asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, r := range p.requests {
		if r.path == "/token" && r.form.Get("grant_type") == "refresh_token" {
			n++
		}
	}
	return n
}

// total is how often it was asked anything.
func (p *provider) total() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.requests)
}

func (p *provider) set(change func(*provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// directory is a discovery that knows.
type directory struct {
	mu         sync.Mutex
	metadata   discovery.Metadata
	err        error
	registered int
	wanted     string // scopes of the last registration
	refuse     bool   // there are no more registrations
	secret     string
	expires    time.Time
}

func (d *directory) Discover(_ context.Context, server discovery.Server) (discovery.Metadata, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.metadata
	m.Resource = server.URL
	return m, d.err
}

func (d *directory) Rediscover(ctx context.Context, server discovery.Server) (discovery.Metadata, error) {
	return d.Discover(ctx, server)
}

func (d *directory) Register(_ context.Context, m discovery.Metadata, c discovery.ClientMetadata) (discovery.Registration, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.DocumentURL != "" && m.ClientDocument {
		return discovery.Registration{Issuer: m.Issuer, RedirectURI: c.RedirectURI, ClientID: c.DocumentURL, AuthMethod: discovery.AuthNone, Document: true}, nil
	}
	if d.refuse {
		return discovery.Registration{}, &discovery.Failure{Step: "registration"}
	}
	d.registered++
	d.wanted = strings.Join(c.Scopes, " ")
	r := discovery.Registration{Issuer: m.Issuer, RedirectURI: c.RedirectURI, ClientID: fmt.Sprintf("client-%d", d.registered), AuthMethod: discovery.AuthNone, SecretExpires: d.expires}
	if d.secret != "" {
		r.ClientSecret, r.AuthMethod = secret.New(d.secret), discovery.AuthBasic
	}
	return r, nil
}

// world is a broker with all around it.
type world struct {
	t         testing.TB
	provider  *provider
	directory *directory
	path      string
	disk      *disk
	store     *configstore.Store
	broker    *credential.Broker
	others    []*credential.Broker
	server    configstore.Server
	log       *bytes.Buffer
	changed   atomic.Pointer[atomic.Int32] // counts connections that began or ended, if it is there
	meanwhile atomic.Pointer[func()]       // runs once, when a connection begins or ends
	results   []credential.Result
	mu        sync.Mutex // guards results
}

const (
	issuer = "https://as.example"
	public = "https://sidecar.example"
	place  = "https://mcp.example/mcp"
)

type option func(*world, *credential.Config)

func newWorld(t testing.TB, options ...option) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "store.db"), log: &bytes.Buffer{}}
	w.provider = &provider{life: "3600", rotate: true, refresh: map[string]bool{}, resource: place}
	w.directory = &directory{metadata: discovery.Metadata{
		Issuer: issuer, AuthorizationEndpoint: issuer + "/authorize", TokenEndpoint: issuer + "/token", RevocationEndpoint: issuer + "/revoke", IssParameter: true,
	}}
	keyring, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	bolt, err := boltkv.Open(w.path)
	if err != nil {
		t.Fatal(err)
	}
	w.disk = &disk{Engine: bolt}
	if w.store, err = configstore.Open(t.Context(), configstore.Config{Engine: w.disk, Keyring: keyring, Ended: func(ended []configstore.Grant) { w.broker.Ended(ended) }}); err != nil {
		t.Fatal(err)
	}
	config := credential.Config{
		Store: w.store, Discovery: w.directory, HTTP: &http.Client{Transport: w.provider}, PublicURL: public,
		Logger: slog.New(slog.NewJSONHandler(&syncWriter{w: w.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Refreshed: func(_ string, result credential.Result) {
			w.mu.Lock()
			w.results = append(w.results, result)
			w.mu.Unlock()
		},
	}
	config.Changed = func(string, string) {
		if count := w.changed.Load(); count != nil {
			count.Add(1)
		}
		if meanwhile := w.meanwhile.Swap(nil); meanwhile != nil {
			(*meanwhile)()
		}
	}
	for _, option := range options {
		option(w, &config)
	}
	if w.broker, err = credential.New(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	w.server = w.create("one", place)
	return w
}

// close may be called twice: in a bubble before its end, and after the test.
func (w *world) close() {
	var errs []error
	for _, b := range append(w.others, w.broker) {
		errs = append(errs, b.Close())
	}
	if err := errors.Join(append(errs, w.store.Close())...); err != nil {
		w.t.Error(err)
	}
}

// another is a broker on the same store, as after a restart.
func (w *world) another(change func(*credential.Config)) *credential.Broker {
	w.t.Helper()
	config := credential.Config{Store: w.store, Discovery: w.directory, HTTP: &http.Client{Transport: w.provider}, PublicURL: public}
	if change != nil {
		change(&config)
	}
	b, err := credential.New(config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.others = append(w.others, b)
	return b
}

func (w *world) create(slug, at string) configstore.Server {
	w.t.Helper()
	s := configstore.Server{ID: configstore.NewID(), DisplayName: "Server " + slug, Slug: slug, URL: at, Transport: configstore.StreamableHTTP, AuthType: configstore.AuthOAuth2}
	s.Rules.Availability, s.Rules.Enabled = policy.DefaultOn, true
	created, err := w.store.CreateServer(w.t.Context(), s)
	if err != nil {
		w.t.Fatal(err)
	}
	return created
}

// disk is an engine that can be full, and in which something can happen right after a reading.
type disk struct {
	kv.Engine
	full  atomic.Bool
	after atomic.Pointer[func()] // runs once
}

func (d *disk) View(ctx context.Context, read func(kv.Tx) error) error {
	err := d.Engine.View(ctx, read)
	if after := d.after.Swap(nil); after != nil {
		(*after)()
	}
	return err
}

func (d *disk) Update(ctx context.Context, change func(kv.Tx) error) error {
	if d.full.Load() {
		return kv.ErrFull
	}
	return d.Engine.Update(ctx, change)
}

// begun is a sign-in with what the browser has seen of it.
type begun struct {
	credential.Started
	query url.Values
}

func (w *world) begin(start credential.Start) begun {
	w.t.Helper()
	started, err := w.broker.Connect(w.t.Context(), start)
	if err != nil {
		w.t.Fatal(err)
	}
	target, err := url.Parse(started.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	query := target.Query()
	w.provider.set(func(p *provider) { p.verifier, p.resource = query.Get("code_challenge"), query.Get("resource") })
	return begun{started, query}
}

// answer is what the provider sends back with the browser.
func (b begun) answer() url.Values {
	return url.Values{"state": {b.query.Get("state")}, "code": {"the-code"}, "iss": {issuer}}
}

func (w *world) callback(b begun, answer url.Values) (credential.Connected, error) {
	return w.broker.Callback(w.t.Context(), w.server.ID, answer, b.Cookie.Reveal())
}

func (w *world) connect(user string) {
	w.t.Helper()
	w.connectTo(w.server, user)
}

func (w *world) connectTo(server configstore.Server, user string) {
	w.t.Helper()
	b := w.begin(credential.Start{ServerID: server.ID, User: user})
	if _, err := w.broker.Callback(w.t.Context(), server.ID, b.answer(), b.Cookie.Reveal()); err != nil {
		w.t.Fatal(err)
	}
}

var none secret.Value

// token asks as the data path does.
func (w *world) token(user string, refused secret.Value) (secret.Value, error) {
	return w.broker.Token(w.t.Context(), &w.server, user, refused)
}

func (w *world) has(user, want string) secret.Value {
	w.t.Helper()
	got, err := w.token(user, none)
	if err != nil || got.Reveal() != "Bearer "+want {
		w.t.Errorf("the token of %s is %q (%v), want %s", user, got.Reveal(), err, want)
	}
	return got
}

func (w *world) hasNot(user string, want error) {
	w.t.Helper()
	if got, err := w.token(user, none); !errors.Is(err, want) || !got.IsZero() {
		w.t.Errorf("the token of %s is %q (%v), want %v", user, got.Reveal(), err, want)
	}
}

func (w *world) is(user string, want credential.State) credential.Connection {
	w.t.Helper()
	got, err := w.broker.Status(w.t.Context(), &w.server, user)
	if err != nil || got.State != want {
		w.t.Errorf("%s is %q (%v), want %s", user, got.State, err, want)
	}
	return got
}

func (w *world) askedTimes(want int) {
	w.t.Helper()
	if got := w.provider.asked(); got != want {
		w.t.Errorf("%d refresh requests, want %d", got, want)
	}
}

func (w *world) resultsAre(want ...credential.Result) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.results, want) {
		w.t.Errorf("results %v, want %v", w.results, want)
	}
}

func expect(t testing.TB, doing string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", doing, err, want)
	}
}

type syncWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *syncWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}
