package admin_test

import (
	"net/http"
	"sync"
	"testing"

	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/front"
)

// What a token pins is a boundary: with a token that can never act nobody makes one that can.
func TestATokenMakesNoneThatMayMore(t *testing.T) {
	f := open(t)
	root := f.root(t)
	root.create(body(t, nil))
	root.create(body(t, fields{"slug": "linear"}))
	pins := map[string]struct {
		own         string
		more, equal []string
	}{
		"mode":    {`"mode":"plan"`, []string{``, `,"mode":""`, `,"mode":"act"`}, []string{`,"mode":"plan"`}},
		"agent":   {`"agent":"subagent"`, []string{``, `,"agent":"root"`}, []string{`,"agent":"subagent"`}},
		"servers": {`"servers":["github"]`, []string{``, `,"servers":null`, `,"servers":["github","linear"]`}, []string{`,"servers":["github"]`, `,"servers":[]`}},
	}
	for field, pin := range pins {
		pinned := f.mint(t, `{"name":"pinned","role":"admin",`+pin.own+`}`)
		for _, more := range pin.more {
			for _, role := range []string{`"admin"`, `"agent"`, `"user","user":"ann"`} {
				pinned.post("/api/v1/tokens", `{"name":"x","role":`+role+more+`}`).wrong(field)
			}
		}
		for _, equal := range pin.equal {
			pinned.post("/api/v1/tokens", `{"name":"x","role":"agent"`+equal+`}`).want(http.StatusCreated)
		}
	}
}

// meddler is an audit log during whose writing something else happens, once.
type meddler struct {
	*fakeAudit
	once sync.Once
	do   func()
}

func (m *meddler) Changed(change audit.Change) error {
	if change.Action == "delete" {
		m.once.Do(m.do)
	}
	return m.fakeAudit.Changed(change)
}

// If-Match holds when the server is deleted, and not only a moment before.
func TestADeletionHoldsOnlyForWhatWasLookedAt(t *testing.T) {
	f := open(t)
	root := f.root(t)
	id := root.create(body(t, nil))
	tag := root.get(servers + "/" + id).header.Get("ETag")

	meddling := &meddler{fakeAudit: f.audit, do: func() { root.patch(servers+"/"+id, `{"description":"wait"}`).want(200) }}
	config := f.config()
	config.Audit = meddling
	r := newRequest(t.Context(), "DELETE", servers+"/"+id, "")
	r.Header.Set("If-Match", tag)
	w := newRecorder(r, front.Wrap(front.Config{Listen: "127.0.0.1:8080"}, newAPI(t, config)))
	if w.Code != http.StatusPreconditionFailed {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}

	if got := root.server(id)["description"]; got != "wait" {
		t.Errorf("the server has description %q", got)
	}
	root.with("If-Match", "*").delete(servers + "/" + id).want(http.StatusNoContent)
}
