package admin

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/julienschmidt/httprouter"

	"mcpsidecar/internal/caller"
	"mcpsidecar/internal/credential"
)

// A page session lets a browser follow a link as the caller whose token opened it. It is a cookie that holds the token, sealed: each use is judged by the token in it, so that the session ends with it. It counts on routes of
// browsers only, none of which changes anything by itself; everything else wants the token.

// Sealer seals what leaves the program and comes back; *secret.Keyring does.
type Sealer interface {
	Seal(plain []byte, place string) ([]byte, error)
	Open(sealed []byte, place string) ([]byte, error)
}

// sessionPath is where sessions begin and end.
const sessionPath = "/api/v1/session"

const (
	sessionLifetime = 12 * time.Hour
	sessionPlace    = "page session"
	maxSession      = 3 << 10 // bytes of the cookie, of which browsers keep 4 KiB

	sessionCookie       = "mcp-sidecar-session"
	secureSessionCookie = "__Host-" + sessionCookie
)

// Session is a page session that was opened.
type Session struct {
	ExpiresAt time.Time `json:"expires_at" doc:"when it ends, if its token does not end before"`
}

// openingSession answers with a cookie.
func openingSession() endpoint {
	run := func(a *API, w http.ResponseWriter, r *http.Request, req *request) (any, error) {
		ends := time.Now().Add(sessionLifetime).UTC().Truncate(time.Second)
		if limit := req.caller.Expires; !limit.IsZero() && limit.Before(ends) {
			ends = limit.UTC()
		}
		_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		text, err := a.sealSession(strings.TrimSpace(token), ends)
		if err != nil {
			return nil, err
		}
		http.SetCookie(w, a.sessionCookie(text, int(time.Until(ends)/time.Second)))
		return Session{ExpiresAt: ends}, nil
	}
	return endpoint{in: reflect.TypeFor[nothing](), out: reflect.TypeFor[Session](), run: run}
}

// endingSession has the browser forget its session, if it has one.
func endingSession() endpoint {
	run := func(a *API, w http.ResponseWriter, _ *http.Request, _ *request) (any, error) {
		http.SetCookie(w, a.sessionCookie("", -1))
		return nothing{}, nil
	}
	return endpoint{in: reflect.TypeFor[nothing](), out: reflect.TypeFor[nothing](), run: run}
}

// sessionCookie is sent along when a person follows a link from elsewhere, and never with what another site's page sends.
func (a *API) sessionCookie(value string, age int) *http.Cookie {
	name, secure := a.sessionName()
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode}
}

func (a *API) sessionName() (name string, secure bool) {
	if strings.HasPrefix(a.origin(), "https:") {
		return secureSessionCookie, true
	}
	return sessionCookie, false
}

func (a *API) sealSession(token string, ends time.Time) (string, error) {
	plain := append(binary.BigEndian.AppendUint64(nil, uint64(ends.Unix())), token...)
	sealed, err := a.config.Sealer.Seal(plain, sessionPlace)
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(sealed)
	if len(text) > maxSession {
		return "", errLongToken
	}
	return text, nil
}

// openSession returns the token of a session that has not ended.
func (a *API) openSession(text string) (token string, ok bool) {
	if len(text) > maxSession {
		return "", false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", false
	}
	plain, err := a.config.Sealer.Open(sealed, sessionPlace)
	if err != nil || len(plain) < 8 || time.Now().Unix() >= int64(binary.BigEndian.Uint64(plain)) {
		return "", false
	}
	return string(plain[8:]), true
}

type bySessionKey struct{}

// bySession says whether a caller is known by a session.
func bySession(ctx context.Context) bool { return ctx.Value(bySessionKey{}) != nil }

// withSession puts the token of the browser's session in its place, where one counts and no token was sent.
func (a *API) withSession(r *http.Request) *http.Request {
	if _, sent := r.Header["Authorization"]; sent {
		return r
	}
	if handle, _, _ := a.browsers.Lookup(r.Method, r.URL.Path); handle == nil {
		return r
	}
	name, _ := a.sessionName()
	cookies := r.CookiesNamed(name)
	if len(cookies) != 1 {
		return r
	}
	token, ok := a.openSession(cookies[0].Value)
	if !ok {
		return r
	}
	r = r.WithContext(context.WithValue(r.Context(), bySessionKey{}, true))
	r.Header = r.Header.Clone()
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// newBrowserRouter knows the routes on which a session counts.
func (a *API) newBrowserRouter() *httprouter.Router {
	router := &httprouter.Router{}
	for _, route := range a.routes {
		if route.Session {
			router.Handle(route.Method, route.Path, func(http.ResponseWriter, *http.Request, httprouter.Params) {})
		}
	}
	return router
}

// meant says whether the person surely wants what a browser asks for with a session: a page of ours leads there, or the address was typed. Where another site leads there, or nobody knows, the person is asked.
func meant(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	}
	return !bySession(r.Context())
}

// ask leads to the page that asks whether the caller's account shall be connected.
func (a *API) ask(r *http.Request, who *caller.Identity, serverID string) (departure, error) {
	address, err := a.config.Accounts.NewLink(r.Context(), serverID, who.User, nil)
	if err != nil {
		return departure{}, fromStore(err)
	}
	return departure{credential.Started{URL: address}}, nil
}
