package credential_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/internal/credential"
)

// shapes are the ways in which a text could hide.
func shapes(canary string) []string {
	found := []string{canary, url.QueryEscape(canary), hex.EncodeToString([]byte(canary))}
	for shift := range 3 {
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), canary...))
		from, to := (shift*8+5)/6, len(text)-len(text)%4
		found = append(found, text[from:to])
	}
	return found
}

// sweep names the canaries that a text shows.
func sweep(text string, canaries []string) (hits []string) {
	for _, canary := range canaries {
		for _, shape := range shapes(canary) {
			if len(shape) > 6 && strings.Contains(text, shape) {
				hits = append(hits, canary+" as "+shape)
			}
		}
	}
	return hits
}

// O-13: a provider that echoes what it was sent, in each way, and connections that fail: nothing of it comes out.
func TestNothingLeaks(t *testing.T) {
	echo := func(status int, media, pattern string) fault {
		return func(r *http.Request, form url.Values) (*http.Response, error) {
			answer := reply(status, fmt.Sprintf(pattern, form.Encode()+r.Header.Get("Authorization")+" provider words"))
			answer.Header.Set("Content-Type", media)
			return answer, nil
		}
	}
	broken := func(r *http.Request, form url.Values) (*http.Response, error) {
		return nil, &url.Error{Op: "Post", URL: r.URL.String() + "?" + form.Encode(), Err: errors.New("provider words")}
	}
	for name, f := range map[string]fault{
		"400": echo(400, "application/json", `{"error":"%s","error_description":"provider words"}`), "500": echo(500, "text/plain", "%s"), "HTML with 200": echo(200, "text/html", "<p>%s</p>"),
		"broken JSON": echo(200, "application/json", `{"access_token":"%s`), "a poisoned token": echo(200, "application/json", `{"access_token":"%s\n"}`),
		"an error code": echo(400, "application/json", `{"error":"invalid_grant","error_description":"%s"}`), "a form": echo(400, "application/x-www-form-urlencoded", "error=x&error_description=%s"),
		"a type": echo(200, "application/json", `{"access_token":"a","token_type":"%s"}`), "a redirect": echo(302, "text/plain", "%s"), "no connection": broken,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.directory.secret = "registered-canary-secret"
				var said []string
				note := func(errs ...error) {
					for _, err := range errs {
						if err != nil {
							said = append(said, err.Error(), fmt.Sprintf("%+v %#v", err, err))
						}
					}
				}
				w.connect("alice")
				b := w.begin(credential.Start{ServerID: w.server.ID, User: "bob"})
				link, err := w.broker.NewLink(t.Context(), w.server.ID, "carol", nil)
				note(err)
				w.provider.set(func(p *provider) { p.always = f })
				_, err = w.callback(b, with(b.answer(), "code", "canary-of-the-code"))
				note(err)
				time.Sleep(2 * time.Hour)
				for range 5 {
					_, err = w.token("alice", none)
					note(err)
					time.Sleep(2 * time.Minute)
				}
				status := w.status("alice")
				revocation := w.disconnect("alice")
				w.close() // so that nothing runs that is printed
				said = append(said, fmt.Sprintf("%+v %#v %+v %+v", w.broker, status, revocation, b.Started.Cookie))
				store, err := os.ReadFile(w.path)
				if err != nil {
					t.Fatal(err)
				}
				canaries := []string{
					"registered-canary-secret", "access-1", "refresh-1", "canary-of-the-code", b.query.Get("state"), b.Cookie.Reveal(), strings.TrimPrefix(link, public+credential.LinkPath),
					w.provider.requests[0].form.Get("code_verifier"), w.provider.requests[1].form.Get("code_verifier"), "provider words",
				}
				for where, text := range map[string]string{"an error or answer": strings.Join(said, "\n"), "the log": w.log.String(), "the store": string(store)} {
					if hits := sweep(text, canaries); len(hits) > 0 {
						t.Errorf("%s shows %q", where, hits)
					}
				}
				if w.log.Len() == 0 || len(said) < 3 {
					t.Error("nothing was swept")
				}
			})
		})
	}
	for _, shape := range shapes("a canary?") {
		if len(sweep("x"+shape+"y", []string{"a canary?"})) == 0 {
			t.Errorf("a planted secret is not found as %q", shape)
		}
	}
}

func (w *world) status(user string) credential.Connection {
	w.t.Helper()
	c, err := w.broker.Status(w.t.Context(), &w.server, user)
	if err != nil {
		w.t.Error(err)
	}
	return c
}
