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
	errNotFound   = errors.New("no such thing, or hidden")
	errMethod     = errors.New("the route has no such method")
	errForbidden  = errors.New("the role may not do this")
	errChanged    = errors.New("the record is not the one that If-Match names")
	errMediaType  = errors.New("the body is not declared as JSON")
	errTooLarge   = errors.New("the body is too large")
	errTooSlow    = errors.New("the body came too slowly")
	errUnreadable = errors.New("the body broke off")
	errNoJSON     = errors.New("the body is not JSON")
	errNoObject   = errors.New("the body is not an object")
	errTooDeep    = errors.New("the body is nested too deeply")
	errTrailing   = errors.New("something follows the body's value")
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
	switch wrong, unreachable, stored := (*invalidError)(nil), (*unreachableError)(nil), (*storeError)(nil); {
	case errors.Is(err, configstore.ErrDuplicate):
		return http.StatusConflict, Failure{Message: "Another server has this slug.", Validations: []Validation{{"slug", "is taken"}}}
	case errors.As(err, &wrong):
		return http.StatusBadRequest, Failure{Message: "The request is not valid: nothing was changed.", Validations: validations(wrong.problems)}
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
	return status < http.StatusInternalServerError || status == http.StatusInsufficientStorage
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
	case http.StatusMethodNotAllowed: // the router counts OPTIONS as allowed, which it is not
		header.Set("Allow", strings.TrimSuffix(strings.ReplaceAll(header.Get("Allow"), "OPTIONS, ", ""), ", OPTIONS"))
	}
	if status >= http.StatusInternalServerError && status != http.StatusBadGateway { // which is the server's trouble, not ours
		a.config.Logger.LogAttrs(r.Context(), slog.LevelError, "management request failed",
			slog.String("request_id", front.RequestID(r.Context())), slog.String("method", r.Method), slog.Any("error", err))
	}
	body, _ := encode(failure)
	writeJSON(w, status, body)
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
		"unavailable":    caller.ErrUnavailable,
		"role":           errForbidden,
	} {
		if errors.Is(err, sentinel) {
			return reason
		}
	}
	return "other"
}
