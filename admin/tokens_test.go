package admin_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpsidecar/admin"
)

func contains(a *answer, text string) bool { return strings.Contains(string(a.body), text) }

func TestATokenIsMintedListedAndRevoked(t *testing.T) {
	f := open(t)
	root := f.root(t)
	root.create(body(t, nil))
	root.create(body(t, fields{"slug": "linear"}))
	minted := root.post("/api/v1/tokens", `{"name":" ann's laptop ","role":"user","user":"ann","mode":"plan","agent":"subagent","servers":["linear","github","github"],"expires_in":60}`).want(201).object()
	text := minted["token"].(string)
	delete(minted, "token")
	if minted["name"] != "ann's laptop" || minted["role"] != "user" || minted["user"] != "ann" || minted["mode"] != "plan" || minted["agent"] != "subagent" || minted["created_by"] != "admin" ||
		!reflect.DeepEqual(minted["servers"], []any{"github", "linear"}) || !strings.HasPrefix(text, "mcps_"+minted["id"].(string)+"_") {
		t.Errorf("minted: %v", minted)
	}
	created, _ := time.Parse(time.RFC3339, minted["created_at"].(string))
	expires, _ := time.Parse(time.RFC3339, minted["expires_at"].(string))
	if life := expires.Sub(created); life < 59*time.Second || life > 61*time.Second {
		t.Errorf("the token lives for %v", life)
	}
	var list []map[string]any
	listed := root.get("/api/v1/tokens").want(200)
	listed.into(&list)
	if len(list) != 1 || !reflect.DeepEqual(list[0], minted) || contains(listed, text) {
		t.Errorf("listed: %s", listed.body)
	}

	// It works at once, and no longer than until it is revoked.
	who := &client{t: t, f: f, token: text}
	who.get("/api/v1/whoami").want(200)
	root.delete("/api/v1/tokens/" + minted["id"].(string)).want(204)
	who.get("/api/v1/whoami").want(401)
	root.delete("/api/v1/tokens/" + minted["id"].(string)).want(404)
	root.delete("/api/v1/tokens/bootstrap").want(404)
	root.get("/api/v1/whoami").want(200)
	for _, change := range f.audit.all() {
		if strings.Contains(strings.Join(change.Fields, " "), "ann") {
			t.Errorf("the record has a value: %+v", change)
		}
	}
}

func TestWhatATokenCannotBe(t *testing.T) {
	f := open(t)
	root := f.root(t)
	root.create(body(t, nil))
	for request, wrong := range map[string]string{
		`{}`:                                                                           "name role",
		`{"name":"","role":"admin"}`:                                                   "name",
		`{"name":"x\n","role":"admin"}`:                                                "", // trimmed
		`{"name":"x\ny","role":"admin"}`:                                               "name",
		`{"name":"x"}`:                                                                 "role",
		`{"name":"x","role":"Admin"}`:                                                  "role",
		`{"name":"x","role":"user"}`:                                                   "user",
		`{"name":"x","role":"user","user":" "}`:                                        "user",
		`{"name":"x","role":"user","user":"a b"}`:                                      "user",
		`{"name":"x","role":"agent","user":"ann"}`:                                     "user",
		`{"name":"x","role":"admin","mode":"PLAN"}`:                                    "mode",
		`{"name":"x","role":"admin","agent":"child"}`:                                  "agent",
		`{"name":"x","role":"admin","expires_in":0}`:                                   "expires_in",
		`{"name":"x","role":"admin","expires_in":-1}`:                                  "expires_in",
		`{"name":"x","role":"admin","expires_in":1.5}`:                                 "expires_in",
		`{"name":"x","role":"admin","expires_in":9223372036854775807}`:                 "expires_in",
		`{"name":"x","role":"admin","expires_in":"60"}`:                                "expires_in",
		`{"name":"x","role":"admin","servers":["elsewhere"]}`:                          "servers",
		`{"name":"x","role":"admin","servers":["github",""]}`:                          "servers",
		`{"name":"x","role":"admin","servers":"github"}`:                               "servers",
		`{"name":"x","role":"admin","id":"x"}`:                                         "id",
		`{"name":"x","role":"admin","token":"x"}`:                                      "token",
		`{"name":"x","role":"root","servers":["elsewhere"],"expires_in":0,"mode":"x"}`: "role mode expires_in servers",
	} {
		got := root.post("/api/v1/tokens", request)
		if wrong == "" {
			got.want(201)
			continue
		}
		got.wrong(strings.Fields(wrong)...)
	}
	if got := root.post("/api/v1/tokens", `{"name":"x","role":"admin","servers":["elsewhere"]}`); !contains(got, `\"elsewhere\"`) {
		t.Errorf("the unknown server is not named: %s", got.body)
	}
	var list []admin.Token
	root.get("/api/v1/tokens").into(&list)
	if len(list) != 1 {
		t.Errorf("refused requests left %v", list)
	}
}

// A-04 as far as it is about tokens: who is not an admin reaches nobody's, its own included.
func TestTokensAreTheAdmins(t *testing.T) {
	f := open(t)
	ann := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`)
	bob := f.mint(t, `{"name":"bob","role":"user","user":"bob"}`)
	known, unknown := bob.delete("/api/v1/tokens/"+idOf(ann.token)).want(403), bob.delete("/api/v1/tokens/0000").want(403)
	if string(known.body) != string(unknown.body) {
		t.Errorf("a token that exists is told apart: %s, %s", known.body, unknown.body)
	}
	bob.get("/api/v1/tokens").want(403)
	bob.post("/api/v1/tokens", `{"name":"x","role":"admin"}`).want(403)
	bob.delete("/api/v1/users/ann").want(403)
	ann.get("/api/v1/whoami").want(200)
}

func TestUsersAreKnownFromTheirFirstTokenOrCall(t *testing.T) {
	f := open(t)
	root := f.root(t)
	ann := f.mint(t, `{"name":"ann","role":"user","user":"ann@example.com"}`)
	again := f.mint(t, `{"name":"ann, too","role":"user","user":"ann@example.com"}`)
	f.mint(t, `{"name":"bot","role":"agent"}`).with("Sidecar-User", "bob").get("/api/v1/whoami").want(200)
	names := func() (names []string) {
		var users []admin.User
		root.get("/api/v1/users").want(200).into(&users)
		for _, user := range users {
			if user.FirstSeen.IsZero() {
				t.Errorf("it is not known since when %s is known", user.Name)
			}
			names = append(names, user.Name)
		}
		return names
	}
	if got := names(); !slices.Equal(got, []string{"ann@example.com", "bob"}) {
		t.Errorf("the users are %v", got)
	}
	root.delete("/api/v1/users/ann%40example.com").want(204)
	ann.get("/api/v1/whoami").want(401)
	again.get("/api/v1/whoami").want(401)
	if got := names(); !slices.Equal(got, []string{"bob"}) {
		t.Errorf("the users are %v", got)
	}
	f.handler = f.api // what stands before it would turn some of these away
	for _, name := range []string{"ann@example.com", "nobody", "..", "%00"} {
		root.delete("/api/v1/users/" + name).want(404)
	}
}
