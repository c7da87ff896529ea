package credential_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"mcpsidecar/internal/credential"
)

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// said is all that an error of a token request may say.
var said = regexp.MustCompile(`^the provider('s answer cannot be used: [a-z ,]+| answered( [a-z_]+)?|) ?\(?HTTP \d+\)?$|^the provider did not answer in time$|^the provider could not be reached$`)

// FuzzTokenAnswer: whatever a token endpoint answers, what is taken of it fits into a header and a form, and what is said of it is in our words.
func FuzzTokenAnswer(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"a","token_type":"Bearer","expires_in":3600,"refresh_token":"r","scope":"a b"}`, `{"access_token":"a","expires_in":"1e400"}`, `{"error":"invalid_grant"}`, `{"access_token":"a\r\n"}`,
		`access_token=a&expires_in=-1`, `{"access_token":"e30.eyJleHAiOjk5OTk5OTk5OTl9.x"}`, `[]`, `null`, ``, `{"access_token":{"a":1}}`, `{"access_token":"a","access_token":"b\n"}`, `{"expires_in":NaN}`,
	} {
		f.Add(200, "application/json", body)
		f.Add(400, "application/x-www-form-urlencoded", body)
	}
	f.Fuzz(func(t *testing.T, status int, media, body string) {
		if status < 100 || status > 999 {
			return
		}
		began := time.Now()
		got, err := credential.Ask(transport(func(*http.Request) (*http.Response, error) {
			r := reply(status, body)
			r.Header["Content-Type"] = []string{media}
			return r, nil
		}))
		if err != nil {
			if !said.MatchString(err.Error()) {
				t.Errorf("%q", err)
			}
			return
		}
		if status < 200 || status > 299 || got.Access == "" || len(got.Access) > 16<<10 || strings.IndexFunc(got.Access, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
			t.Errorf("HTTP %d gave %q", status, got.Access)
		}
		if strings.IndexFunc(got.Refresh, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 || strings.ContainsAny(strings.Join(got.Scopes, ""), " \r\n") {
			t.Errorf("refresh token %q, scopes %q", got.Refresh, got.Scopes)
		}
		if !got.Expiry.IsZero() && (got.Expiry.Before(began.Add(-time.Second)) || got.Expiry.After(began.Add(366*24*time.Hour))) {
			t.Errorf("it expires %s", got.Expiry)
		}
	})
}

// FuzzCallback: no query is taken for the answer to a sign-in but the one with its state, in its browser.
func FuzzCallback(f *testing.F) {
	for _, query := range []string{"", "state=x&code=y", "error=access_denied", "state=a&state=b", "iss=https%3A%2F%2Fas.example&code=c", "state=%00&code=%ff", "code=x&state=" + strings.Repeat("A", 43)} {
		f.Add(query, "cookie")
	}
	f.Fuzz(func(t *testing.T, raw, cookie string) {
		w := newWorld(t)
		b := w.begin(credential.Start{ServerID: w.server.ID, User: "alice"})
		query, _ := url.ParseQuery(raw) // what can be read of it, as a handler has it
		before := w.provider.total()
		for _, browser := range []string{cookie, b.Cookie.Reveal()} {
			connected, err := w.broker.Callback(t.Context(), w.server.ID, query, browser)
			if err == nil {
				t.Errorf("%q connected %s", raw, connected.User)
				continue
			}
			for name, values := range query {
				for _, value := range values {
					if len(value) > 20 && strings.Contains(err.Error(), value) {
						t.Errorf("the error repeats %s", name)
					}
				}
			}
		}
		query.Set("state", b.query.Get("state"))
		if _, err := w.broker.Callback(t.Context(), w.server.ID, query, cookie); err == nil {
			t.Errorf("%q connected in another browser", raw)
		}
		if w.provider.total() != before {
			t.Error("the provider was asked")
		}
		if _, err := w.callback(b, b.answer()); err != nil {
			t.Errorf("the right answer does not work any more: %v", err)
		}
	})
}
