package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"mcpsidecar/internal/e2e/rig"
)

// spellings are the ways in which a secret could be lying about.
func spellings(secret string) map[string][]byte {
	found := map[string][]byte{
		"as it is": []byte(secret), "hex": []byte(hex.EncodeToString([]byte(secret))), "HEX": []byte(strings.ToUpper(hex.EncodeToString([]byte(secret)))), "URL": []byte(url.QueryEscape(secret)),
	}
	var wide []byte
	for _, unit := range utf16.Encode([]rune(secret)) {
		wide = binary.LittleEndian.AppendUint16(wide, unit)
	}
	found["UTF-16"] = wide
	found["JSON"], found["JSON with a solidus"], found["backwards"] = []byte(escaped(secret)), []byte(strings.ReplaceAll(secret, "/", `\/`)), backwards(secret)
	for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for shift := range 3 {
			// What stands before the secret decides on the characters at its edges; those between do not depend on it.
			text := encoding.EncodeToString(append(make([]byte, shift), secret...))
			found[fmt.Sprintf("%s, shifted by %d", name, shift)] = []byte(text[4 : len(text)-4])
		}
	}
	return found
}

// escaped is a text in JSON with every character as a number.
func escaped(text string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		fmt.Fprintf(&b, `\u%04x`, unit)
	}
	return b.String()
}

func backwards(text string) []byte {
	turned := []byte(text)
	slices.Reverse(turned)
	return turned
}

// sweep looks for secrets in a place, and for one that it has planted there: a sweep that finds nothing wherever it looks proves nothing.
func sweep(t *testing.T, place string, content []byte, secrets map[string]string) {
	t.Helper()
	for name, secret := range secrets {
		for spelling, text := range spellings(secret) {
			if at := bytes.Index(content, text); at >= 0 {
				t.Errorf("%s holds %s (%s): ...%.200q", place, name, spelling, content[max(0, at-80):min(len(content), at+len(text)+80)])
			}
		}
	}
	const planted = "planted+in/this.place~0123456789"
	for spelling, text := range spellings(planted) {
		with := slices.Insert(slices.Clone(content), len(content)/2, text...)
		if !bytes.Contains(with, text) || bytes.Contains(content, text) {
			t.Errorf("%s: what was planted as %s is not found", place, spelling)
		}
	}
}

// TestTheSweepFindsWhatIsThere, in each spelling: otherwise it would prove nothing.
func TestTheSweepFindsWhatIsThere(t *testing.T) {
	const secret = "planted?secret/0123456789+abcdef"
	all := spellings(secret)
	for what, content := range map[string]string{
		"as it is": "x " + secret, "hex": "x" + hex.EncodeToString([]byte(secret)), "HEX": "x" + strings.ToUpper(hex.EncodeToString([]byte(secret))), "URL": "x=" + url.QueryEscape(secret),
		"base64, shifted by 0": base64.StdEncoding.EncodeToString([]byte("abc" + secret + "xyz")), "base64, shifted by 1": base64.StdEncoding.EncodeToString([]byte("a" + secret + "yz")),
		"JSON": `"` + escaped(secret) + `"`, "JSON with a solidus": `planted?secret\/0123456789+abcdef`, "backwards": "fedcba+9876543210/terces?detnalp",
		"base64url, shifted by 2": base64.URLEncoding.EncodeToString([]byte("ab" + secret + "z")),
	} {
		if !strings.Contains(content, string(all[what])) {
			t.Errorf("%s is not found: %s in %s", what, all[what], content)
		}
	}
}

// TestSecretsAreNowhere is K-12 and W-02: after the whole life of several secrets, in trouble and at debug level, none is in what the sidecar writes, answers or keeps.
func TestSecretsAreNowhere(t *testing.T) {
	secrets := map[string]string{
		"the admin token": rig.AdminToken, "the API key": "canary-api-key-5f1d0c9b", "the new API key": "canary-new-key-7a2e41d8", "the header": "canary-header-93bc07aa", "the client secret": "canary-client-secret-02be",
		"the argument": "canary-argument-4be8d1f0", "the result": "canary-result-c6d2a7e5", "the misplaced secret": "canary-misplaced-18f3b2c4", "the guess": "mcps_0123456789abcdef_canaryguess0123456789canaryguess0123456789canarygu",
	}
	up, broken := startFake(t, legacyOnly), startFake(t, modernOnly)
	up.onCall(func(w http.ResponseWriter, _ *http.Request, m heard) {
		m.reply(w, `"content":[{"type":"text","text":"`+secrets["the result"]+`"}]`)
	})
	broken.onCall(func(w http.ResponseWriter, _ *http.Request, _ heard) {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "panic: %s", secrets["the result"])
	})
	auditLog := filepath.Join(t.TempDir(), "audit.log")
	s := start(t, "--log-level", "debug", "--audit-log", auditLog)
	client := web(t)
	var answers bytes.Buffer // everything that the API says
	api := func(method, path string, body any) answer {
		text := must[[]byte](t)(json.Marshal(body))
		if body == nil {
			text = nil
		}
		got := send(t, client, method, s.Base+"/api/v1"+path, rig.AdminToken, string(text))
		fmt.Fprintf(&answers, "%d %v %s\n", got.status, got.header, got.body)
		return got
	}
	create := func(slug, url string, more rig.Fields) (id string) {
		fields := rig.Fields{"display_name": slug, "slug": slug, "url": url, "transport": "streamable_http", "availability": "default_on", "enabled": true}
		for name, value := range more {
			fields[name] = value
		}
		got := api(http.MethodPost, "/servers", fields)
		var made struct{ ID string }
		if err := json.Unmarshal([]byte(got.body), &made); err != nil || got.status != http.StatusCreated {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return made.ID
	}
	one := create("one", up.URL, rig.Fields{"auth_type": "api_key", "api_key_header": "X-Key", "api_key_value": secrets["the API key"]})
	create("two", broken.URL, rig.Fields{"auth_type": "custom_headers", "custom_headers": rig.Fields{"X-Secret": secrets["the header"]}})
	create("three", "https://stranger.invalid/mcp", rig.Fields{"auth_type": "oauth2", "oauth2_client_id": "id", "oauth2_client_secret": secrets["the client secret"], "oauth2_auth_url": "https://stranger.invalid/a", "oauth2_token_url": "https://stranger.invalid/t", "availability": "default_off"})

	token := s.token("alice")
	_, secrets["alice's token"], _ = strings.Cut(strings.TrimPrefix(token, "mcps_"), "_")
	arguments := `{"text":"` + secrets["the argument"] + `"}`
	for _, a := range []*agent{s.modern("/mcp", token), s.legacy("/mcp", token)} {
		a.list()
		if got := a.call("one__echo", arguments); got.Text != secrets["the result"] {
			t.Errorf("one answers %+v", got)
		}
		if got := a.call("two__echo", arguments); got.Text != "" || strings.Contains(got.Error, "canary") {
			t.Errorf("two answers %+v", got)
		}
		a.call("one__nothing", arguments) // the name of what was asked for is on record, what it was asked with is not
		a.post(`{"jsonrpc":"2.0","id":1,"method":"nothing","params":{` + arguments[1:len(arguments)-1] + `}}`)
		a.post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + arguments)
	}
	send(t, client, http.MethodPost, s.Base+"/mcp", secrets["the guess"], "{}")
	if key := up.of("tools/call")[0].Header.Get("X-Key"); key != secrets["the API key"] {
		t.Errorf("the server got the key %q", key)
	}

	// W-03: a secret in a wrong place is not repeated.
	misplaced := secrets["the misplaced secret"]
	for _, body := range []any{
		rig.Fields{"slug": misplaced + "_"}, rig.Fields{"url": misplaced}, rig.Fields{"auth_type": misplaced}, rig.Fields{"enabled": misplaced}, rig.Fields{"api_key_value": []string{misplaced}}, rig.Fields{misplaced: 1},
		rig.Fields{"url": "https://user:" + misplaced + "@one.example.com"}, rig.Fields{"custom_headers": misplaced}, []string{misplaced},
	} {
		if got := api(http.MethodPatch, "/servers/"+one, body); got.status != http.StatusBadRequest {
			t.Errorf("%v: %d %s", body, got.status, got.body)
		}
	}
	api(http.MethodGet, "/servers/"+misplaced, nil)
	// W-02: what was shown can be sent back, and the key stays; then it is changed.
	api(http.MethodPatch, "/servers/"+one, rig.Fields{"description": "x"})
	s.modern("/mcp", token).call("one__echo", `{}`)
	if calls := up.of("tools/call"); calls[len(calls)-1].Header.Get("X-Key") != secrets["the API key"] {
		t.Error("a change of something else changed the key")
	}
	api(http.MethodPatch, "/servers/"+one, rig.Fields{"api_key_value": secrets["the new API key"]})
	s.modern("/mcp", token).call("one__echo", `{}`)
	if calls := up.of("tools/call"); calls[len(calls)-1].Header.Get("X-Key") != secrets["the new API key"] {
		t.Error("the new key is not used")
	}
	for _, path := range []string{"/servers", "/servers/" + one, "/servers/" + one + "/tools", "/servers/" + one + "/catalog/diff", "/tokens", "/users", "/whoami", "/openapi.json", "/policy/explain?user=alice&tool=one__echo"} {
		if got := api(http.MethodGet, path, nil); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	api(http.MethodPost, "/servers/"+one+"/test", nil)

	_, metrics, err := s.Scrape(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	sweep(t, "an answer of the API", answers.Bytes(), secrets)
	sweep(t, "the metrics", []byte(metrics), secrets)
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.PID)); err == nil {
		sweep(t, "the command line", text, secrets)
	}
	s.Kill() // so that nothing can be tidied up
	sweep(t, "stdout", []byte(s.Stdout.String()), secrets)
	sweep(t, "the log", []byte(s.Stderr.String()), secrets)
	sweep(t, "the audit log", must[[]byte](t)(os.ReadFile(auditLog)), secrets)
	for _, entry := range must[[]os.DirEntry](t)(os.ReadDir(s.dir)) {
		info := must[os.FileInfo](t)(entry.Info())
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %s", entry.Name(), info.Mode())
		}
		sweep(t, entry.Name(), must[[]byte](t)(os.ReadFile(filepath.Join(s.dir, entry.Name()))), secrets)
	}
	if !slices.ContainsFunc(strings.Split(s.Stderr.String(), "\n"), func(line string) bool { return strings.Contains(line, "level=") }) {
		t.Error("nothing was logged at all")
	}
}
