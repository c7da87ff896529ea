package admin_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcpsidecar/admin"
	"mcpsidecar/configstore/kv"
	"mcpsidecar/configstore/kv/boltkv"
	"mcpsidecar/policy"
)

// tightEngine is an engine whose disk can be full.
type tightEngine struct {
	kv.Engine
	full atomic.Bool
}

func (e *tightEngine) Update(ctx context.Context, change func(kv.Tx) error) error {
	if e.full.Load() {
		return fmt.Errorf("writing /somewhere/%s: %w", canary, kv.ErrFull)
	}
	return e.Engine.Update(ctx, change)
}

func TestAFullDisk(t *testing.T) {
	bolt, err := boltkv.Open(filepath.Join(t.TempDir(), "data", "sidecar.db"))
	must(t, err)
	engine := &tightEngine{Engine: bolt}
	f := openOn(t, engine)
	root := f.root(t)
	f.servers.list("github", "a")
	id := root.create(body(t, nil))
	minted := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`)
	before := root.get(servers + "/" + id)

	engine.full.Store(true)
	for _, got := range []*answer{
		root.post(servers, body(t, fields{"slug": "other"})),
		root.patch(servers+"/"+id, `{"enabled":false}`),
		root.delete(servers + "/" + id),
		root.post(servers+"/"+id+"/catalog/approve", ""),
		root.post("/api/v1/tokens", `{"name":"x","role":"admin"}`),
		root.delete("/api/v1/tokens/" + idOf(minted.token)),
		root.delete("/api/v1/users/ann"),
	} {
		if got.want(http.StatusInsufficientStorage); contains(got, "somewhere") {
			t.Errorf("the answer tells of the machine: %s", got.body)
		}
	}
	if after := root.get(servers + "/" + id).want(200); string(after.body) != string(before.body) {
		t.Errorf("after refused changes: %s", after.body)
	}

	engine.full.Store(false)
	root.patch(servers+"/"+id, `{"enabled":false}`).want(200)
	f.log.Reset() // that it was full is logged, with the path
}

// slowBody is a body that does not come.
type slowBody struct{ read bool }

func (b *slowBody) Read([]byte) (int, error) { b.read = true; return 0, os.ErrDeadlineExceeded }
func (b *slowBody) Close() error             { return nil }

// deadlines records the read deadlines that a handler sets.
type deadlines struct {
	http.ResponseWriter
	set []time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error { d.set = append(d.set, at); return nil }

func TestABodyThatDoesNotCome(t *testing.T) {
	f := open(t)
	r, w := newRequest(t.Context(), "POST", servers, "{}"), newWriter()
	r.Body = &slowBody{}
	deadline := &deadlines{ResponseWriter: w}
	f.api.ServeHTTP(deadline, r)
	if w.Code != http.StatusRequestTimeout || len(deadline.set) != 1 || time.Until(deadline.set[0]) > 30*time.Second {
		t.Errorf("status %d, deadlines %v", w.Code, deadline.set)
	}
}

func TestTheDeadlineOfABodyEndsWithIt(t *testing.T) {
	f := open(t)
	deadline := &deadlines{ResponseWriter: newWriter()}
	f.api.ServeHTTP(deadline, newRequest(t.Context(), "POST", servers, body(t, nil)))
	if len(deadline.set) != 2 || !deadline.set[1].IsZero() {
		t.Errorf("deadlines %v", deadline.set)
	}
}

// L-01: of whoever is not known no body is read.
func TestNoBodyIsReadOfStrangers(t *testing.T) {
	f := open(t)
	for _, token := range []string{"", "Bearer nonsense"} {
		r, w, unread := newRequest(t.Context(), "POST", servers, "{}"), newWriter(), &slowBody{}
		r.Body = unread
		r.Header.Set("Authorization", token)
		f.api.ServeHTTP(w, r)
		if w.Code != 401 || unread.read || w.Header().Get("Connection") != "close" {
			t.Errorf("status %d, read %v, Connection %q", w.Code, unread.read, w.Header().Get("Connection"))
		}
	}
	user := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`)
	r, unread := newRequest(t.Context(), "POST", servers, "{}"), &slowBody{}
	r.Header.Set("Authorization", "Bearer "+user.token)
	r.Body = unread
	if w := newRecorder(r, f.api); w.Code != 403 || unread.read {
		t.Errorf("a user's body: status %d, read %v", w.Code, unread.read)
	}
}

func TestNewNeedsWhatItNeeds(t *testing.T) {
	f := open(t)
	for what, spoil := range map[string]func(*admin.Config){
		"store":     func(c *admin.Config) { c.Store = nil },
		"callers":   func(c *admin.Config) { c.Callers = nil },
		"servers":   func(c *admin.Config) { c.Servers = nil },
		"reload":    func(c *admin.Config) { c.Reload = nil },
		"check URL": func(c *admin.Config) { c.CheckURL = nil },
		"audit":     func(c *admin.Config) { c.Audit = nil },
	} {
		config := f.config()
		spoil(&config)
		if _, err := admin.New(config); err == nil {
			t.Errorf("there is an API without %s", what)
		}
	}
	config := f.config()
	config.Logger, config.Refused, config.Version, config.Public = nil, nil, "", nil
	newAPI(t, config).ServeHTTP(newWriter(), newRequest(t.Context(), "GET", "/api/v1/nowhere", ""))
}

func TestEveryReasonHasWords(t *testing.T) {
	for _, reason := range policy.Reasons() {
		if words := admin.InWords[reason]; !strings.HasSuffix(words, ".") {
			t.Errorf("%s is explained as %q", reason, words)
		}
	}
	if len(admin.InWords) != len(policy.Reasons()) {
		t.Errorf("there are words for %d reasons, and %d reasons", len(admin.InWords), len(policy.Reasons()))
	}
}
