package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/caller"
	"mcpsidecar/internal/credential"
	"mcpsidecar/internal/front"
	"mcpsidecar/policy"
)

// Failure is the body of every answer that is not a success.
type Failure struct {
	Message     string       `json:"message" doc:"what happened, in one sentence"`
	Detail      string       `json:"detail,omitempty" doc:"more about it"`
	Validations []Validation `json:"validations,omitempty" doc:"one entry for each wrong field"`
}

// Validation is what is wrong with one field, or worth knowing about it.
type Validation struct {
	Field  string `json:"field" doc:"the field's name"`
	Detail string `json:"detail" doc:"what about it"`
}

// What handlers can say besides the sentinels of caller and configstore.
var (
	errNotFound    = errors.New("no such thing, or hidden")
	errMethod      = errors.New("the route has no such method")
	errDisabled    = errors.New("the server is disabled")
	errNotPrepared = errors.New("the server's sign-in cannot be prepared, and who asks is no admin")
	errElsewhere   = errors.New("a page of another site sent the form")
	errLongToken   = errors.New("the token is too long for a cookie")
	errForbidden   = errors.New("the role may not do this")
	errChanged     = errors.New("the record is not the one that If-Match names")
	errMediaType   = errors.New("the body is not declared as JSON")
	errTooLarge    = errors.New("the body is too large")
	errTooSlow     = errors.New("the body came too slowly")
	errUnreadable  = errors.New("the body broke off")
	errNoJSON      = errors.New("the body is not JSON")
	errNoObject    = errors.New("the body is not an object")
	errTooDeep     = errors.New("the body is nested too deeply")
	errTrailing    = errors.New("something follows the body's value")
)

// invalidError is a request whose fields are wrong.
type invalidError struct{ problems []policy.FieldError }

func (e *invalidError) Error() string { return fmt.Sprintf("%d fields are wrong", len(e.problems)) }

// invalid returns nil if nothing is wrong. Of several entries about one field the first stays.
func invalid(problems []policy.FieldError) error {
	if len(problems) == 0 {
		return nil
	}
	seen := map[string]bool{}
	only := &invalidError{}
	for _, p := range problems {
		if !seen[p.Field] {
			seen[p.Field] = true
			only.problems = append(only.problems, p)
		}
	}
	return only
}

// unrecordedError says that a change could not be put on record and therefore was not made.
type unrecordedError struct{ cause error }

func (e *unrecordedError) Error() string { return "recording the change: " + e.cause.Error() }
func (e *unrecordedError) Unwrap() error { return e.cause }

// notInEffectError says that a change is stored but the program does not use it yet.
type notInEffectError struct{ cause error }

func (e *notInEffectError) Error() string { return "using the change: " + e.cause.Error() }
func (e *notInEffectError) Unwrap() error { return e.cause }

// storeError is anything unexpected that the store says.
type storeError struct {
	cause   error
	writing bool // a commit that fails is the one case in which nobody knows whether it happened
}

func (e *storeError) Error() string { return "config store: " + e.cause.Error() }
func (e *storeError) Unwrap() error { return e.cause }

// unreachableError is a server whose tools cannot be told at present, and why in words that are fit for the admin.
type unreachableError struct{ why string }

func (e *unreachableError) Error() string { return e.why }

// sayUsers is what there is to do about it.
const sayUsers = "An admin can mint a token that names the user, end users that are not needed any more, or raise --max-users."

// noAccountError is a server whose tools the caller is not shown without an account, and where to connect one.
type noAccountError struct{ slug, connect string }

func (e *noAccountError) Error() string { return ErrNoAccount.Error() }
func (e *noAccountError) Unwrap() error { return ErrNoAccount }

// plain is every error whose answer is always the same.
var plain = []struct {
	err    error
	status int
	says   string
}{
	{caller.ErrNoCredential, http.StatusUnauthorized, "A bearer token is needed."},
	{caller.ErrBadCredential, http.StatusUnauthorized, "The bearer token is not valid."},
	{caller.ErrThrottled, http.StatusTooManyRequests, "There were too many failed attempts from this address."},
	{caller.ErrUserRequired, http.StatusBadRequest, "A token of role agent must name exactly one user in Sidecar-User."},
	{caller.ErrUserInvalid, http.StatusBadRequest, "Sidecar-User is not a valid user name."},
	{caller.ErrUserForbidden, http.StatusForbidden, "Only a token of role agent may send Sidecar-User."},
	{caller.ErrUsers, http.StatusForbidden, "The user that Sidecar-User names is not known, and agents can make no more users known. " + sayUsers},
	{caller.ErrNewUsers, http.StatusTooManyRequests, "The token has named too many new users in a short time. Try again later; users who are known already are not affected."},
	{caller.ErrUnavailable, http.StatusServiceUnavailable, "The caller cannot be verified at present."},

	{errNotFound, http.StatusNotFound, "There is nothing here that you may see."},
	{errMethod, http.StatusMethodNotAllowed, "The method is not allowed here."},
	{errForbidden, http.StatusForbidden, "Your role may not do this."},
	{errChanged, http.StatusPreconditionFailed, "The record was changed meanwhile: read it again."},
	{errMediaType, http.StatusUnsupportedMediaType, "The body must be sent as application/json, without an encoding."},
	{errTooLarge, http.StatusRequestEntityTooLarge, "The body is too large: it may have 1 MiB."},
	{errTooSlow, http.StatusRequestTimeout, "The body did not arrive in time."},
	{errUnreadable, http.StatusBadRequest, "The body could not be read to its end."},
	{errNoJSON, http.StatusBadRequest, "The body is not valid JSON."},
	{errNoObject, http.StatusBadRequest, "The body must be a JSON object."},
	{errTooDeep, http.StatusBadRequest, "The body is nested too deeply."},
	{errTrailing, http.StatusBadRequest, "The body must be one JSON object and nothing else."},

	{errDisabled, http.StatusBadRequest, "The server is disabled."},
	{errNotPrepared, http.StatusBadRequest, "The sign-in at this server cannot be prepared at present. Your admin can find out why."},
	{errLongToken, http.StatusBadRequest, "The token is too long for a cookie. Use a minted one."},
	{errElsewhere, http.StatusForbidden, "This can only be done from the page behind the link."},
	{credential.ErrNotOAuth2, http.StatusBadRequest, "The server does not use OAuth2: there is no account to connect."},
	{credential.ErrState, http.StatusBadRequest, "This sign-in is unknown, was finished before, has expired, or was begun in another browser. Nothing was changed. Please begin again."},
	{credential.ErrMalformed, http.StatusBadRequest, "The provider's answer is incomplete or says something twice. Nothing was changed. Please begin again."},
	{credential.ErrIssuer, http.StatusBadRequest, "The answer comes from another provider than the one that was asked. Nothing was changed. If this happens again, tell your admin."},
	{credential.ErrDenied, http.StatusBadRequest, "The provider did not let you in, or you did not allow the access. Nothing was changed."},
	{credential.ErrChanged, http.StatusBadRequest, "The server was changed, or the connection was ended, while you signed in. Please begin again."},
	{credential.ErrLink, http.StatusBadRequest, "This link is unknown, was used before, or has expired. Ask for a new one where you got it."},
	{credential.ErrExchange, http.StatusBadGateway, "The provider did not give a token. Nothing was changed. Please try again; if this goes on, tell your admin."},

	{ErrResealing, http.StatusConflict, "Everything is still being sealed with the newest key: wait until that is done."},
	{ErrKeyFile, http.StatusInternalServerError, "The key file cannot be written: nothing was changed. If it is mounted, add the key where it comes from and start anew."},

	{configstore.ErrNotFound, http.StatusNotFound, "There is nothing here that you may see."},
	{configstore.ErrConflict, http.StatusConflict, "The record was changed meanwhile: read it again."},
	{configstore.ErrFull, http.StatusInsufficientStorage, "The disk is full: nothing was changed."},
}

// publicly is the only place that chooses a status and words.
func publicly(ctx context.Context, err error) (int, Failure) {
	for _, p := range plain {
		if errors.Is(err, p.err) && !errors.As(err, new(*notInEffectError)) {
			return p.status, Failure{Message: p.says}
		}
	}
	reference := "request " + front.RequestID(ctx)
	switch wrong, unreachable, stored, stranger := (*invalidError)(nil), (*unreachableError)(nil), (*storeError)(nil), (*noAccountError)(nil); {
	case errors.Is(err, configstore.ErrDuplicate):
		return http.StatusConflict, Failure{Message: "Another server has this slug.", Validations: []Validation{{"slug", "is taken"}}}
	case errors.As(err, &wrong):
		return http.StatusBadRequest, Failure{Message: "The request is not valid: nothing was changed.", Validations: validations(wrong.problems)}
	case errors.Is(err, credential.ErrDiscovery):
		return http.StatusBadRequest, Failure{Message: "It could not be found out how users sign in to the server: nothing was changed.", Detail: advice(err)}
	case errors.As(err, &stranger):
		return http.StatusConflict, Failure{
			Message: "The server shows its tools only to who has connected an account, and you have connected none.",
			Detail:  "Open " + stranger.connect + " in a browser with a page session, or the link that \"mcp-sidecar server connect " + stranger.slug + "\" prints, and ask again.",
		}
	case errors.As(err, &unreachable):
		return http.StatusBadGateway, Failure{Message: "The server's tools cannot be told at present.", Detail: unreachable.why}
	case errors.As(err, new(*unrecordedError)):
		return http.StatusServiceUnavailable, Failure{Message: "The change cannot be recorded at present, so it was not made.", Detail: reference}
	case errors.As(err, new(*notInEffectError)):
		return http.StatusInternalServerError, Failure{Message: "The change is stored but not in effect yet.", Detail: reference}
	case errors.As(err, &stored) && stored.writing:
		return http.StatusServiceUnavailable, Failure{Message: "The config store failed: look whether the change was made.", Detail: reference}
	case errors.As(err, &stored):
		return http.StatusServiceUnavailable, Failure{Message: "The config store cannot be used at present.", Detail: reference}
	}
	return http.StatusInternalServerError, Failure{Message: "Something went wrong here.", Detail: reference}
}

func validations(problems []policy.FieldError) []Validation {
	list := make([]Validation, 0, len(problems))
	for _, p := range problems {
		list = append(list, Validation(p))
	}
	return list
}

// expected says whether an error has an answer of its own, and is not merely something that went wrong.
func expected(err error) bool {
	status, _ := publicly(context.Background(), err)
	return status < http.StatusInternalServerError || status == http.StatusInsufficientStorage || status == http.StatusBadGateway
}

// fail answers with an error.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, failure := publicly(r.Context(), err)
	header := w.Header()
	switch status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests:
		header.Set("Retry-After", retryAfter(err))
	case http.StatusMethodNotAllowed:
		allowOnly(header)
	}
	a.logFailure(r, status, err)
	body, _ := encode(failure)
	writeJSON(w, status, body)
}

// failVisibly is fail for people: a page.
func (a *API) failVisibly(w http.ResponseWriter, r *http.Request, err error) {
	status, failure := publicly(r.Context(), err)
	if status == http.StatusMethodNotAllowed {
		allowOnly(w.Header())
	}
	a.logFailure(r, status, err)
	a.failPage(w, r, status, failure)
}

// allowOnly takes out of Allow what the router counts as allowed and is not.
func allowOnly(header http.Header) {
	header.Set("Allow", strings.TrimSuffix(strings.ReplaceAll(header.Get("Allow"), "OPTIONS, ", ""), ", OPTIONS"))
}

func (a *API) logFailure(r *http.Request, status int, err error) {
	if status >= http.StatusInternalServerError && status != http.StatusBadGateway { // which is the server's trouble, not ours
		a.config.Logger.LogAttrs(r.Context(), slog.LevelError, "management request failed",
			slog.String("request_id", front.RequestID(r.Context())), slog.String("method", r.Method), slog.Any("error", err))
	}
}

// retryAfter is whole seconds, rounded up: to come back a moment too early would only prolong the wait.
func retryAfter(err error) string {
	wait := time.Minute
	if throttled := (*caller.ThrottledError)(nil); errors.As(err, &throttled) {
		wait = throttled.RetryAfter
	}
	return strconv.Itoa(max(1, int((wait+time.Second-1)/time.Second)))
}

// refusalReason is the word under which a refused caller is counted.
func refusalReason(err error) string {
	for reason, sentinel := range map[string]error{
		"no_credential":  caller.ErrNoCredential,
		"bad_credential": caller.ErrBadCredential,
		"throttled":      caller.ErrThrottled,
		"user_required":  caller.ErrUserRequired,
		"user_forbidden": caller.ErrUserForbidden,
		"user_invalid":   caller.ErrUserInvalid,
		"users":          caller.ErrUsers,
		"new_users":      caller.ErrNewUsers,
		"unavailable":    caller.ErrUnavailable,
		"role":           errForbidden,
	} {
		if errors.Is(err, sentinel) {
			return reason
		}
	}
	return "other"
}
