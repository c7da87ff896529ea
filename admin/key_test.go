package admin_test

import (
	"testing"

	"mcpsidecar/admin"
)

func TestTheKeyIsRotated(t *testing.T) {
	f := open(t)
	root := f.root(t)
	if state := root.get("/api/v1/key").want(200).object(); state["keys"] != 1.0 || state["resealing"] != false {
		t.Errorf("at first %v", state)
	}
	if state := root.post("/api/v1/key/rotate", "").want(202).object(); state["keys"] != 2.0 || state["resealing"] != true {
		t.Errorf("then %v", state)
	}
	changes := f.audit.all()
	if last := changes[len(changes)-1]; last.Action != "rotate" || last.Kind != "key" {
		t.Errorf("on record is %+v", last)
	}
	for err, status := range map[error]int{admin.ErrResealing: 409, admin.ErrKeyFile: 500} {
		f.keys.mu.Lock()
		f.keys.err = err
		f.keys.mu.Unlock()
		root.post("/api/v1/key/rotate", "").want(status)
	}
	f.log.Reset() // the last error is meant to be logged
	f.mint(t, `{"name":"ann","role":"user","user":"ann"}`).post("/api/v1/key/rotate", "").want(403)
}
