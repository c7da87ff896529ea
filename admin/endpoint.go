package admin

import (
	"context"
	"net/http"
	"reflect"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/julienschmidt/httprouter"

	"mcpsidecar/internal/caller"
	"mcpsidecar/internal/front"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

// request is what a handler gets besides its input.
type request struct {
	caller  *caller.Identity
	name    string // the path's first parameter: the id of a server or token, a user's name, or a link
	user    string // its second: a user's name
	ifMatch precondition
}

// nothing is the input of a handler that takes none, and the output of one that answers without a body.
type nothing struct{}

// endpoint is a handler with its types forgotten but for the document.
type endpoint struct {
	in, out reflect.Type
	run     func(a *API, w http.ResponseWriter, r *http.Request, req *request) (any, error)
}

// handle makes an endpoint of a handler: its input is read from the query of a GET and from the body of everything else, strictly.
func handle[In, Out any](do func(*API, context.Context, *request, In) (Out, error)) endpoint {
	form := formOf(reflect.TypeFor[In]())
	run := func(a *API, w http.ResponseWriter, r *http.Request, req *request) (any, error) {
		var in In
		if err := form.read(w, r, &in); err != nil {
			return nil, err
		}
		return do(a, r.Context(), req, in)
	}
	return endpoint{in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](), run: run}
}

// serve is the one way from a route to its handler and back.
func (a *API) serve(route Route) httprouter.Handle {
	return func(w http.ResponseWriter, r *http.Request, params httprouter.Params) {
		front.SetRoute(r.Context(), route.Path)
		req := &request{
			caller:  caller.From(r.Context()),
			name:    params.ByName(route.parameter(0)),
			user:    params.ByName(route.parameter(1)),
			ifMatch: preconditionOf(r.Header["If-Match"]),
		}
		if !route.Open && !route.admits(req.caller.Role) {
			a.config.Refused(refusalReason(errForbidden))
			a.fail(w, r, errForbidden)
			return
		}
		out, err := route.endpoint.run(a, w, r, req)
		switch {
		case err == nil:
			a.answer(w, r, route.Status, out)
		case route.page:
			a.failVisibly(w, r, err)
		default:
			a.fail(w, r, err)
		}
	}
}

// browsed makes an endpoint of a handler for browsers and providers, which send what others told them to: only the handler knows what of it matters.
func browsed[Out any](do func(*API, *http.Request, *request) (Out, error)) endpoint {
	run := func(a *API, _ http.ResponseWriter, r *http.Request, req *request) (any, error) { return do(a, r, req) }
	return endpoint{in: reflect.TypeFor[nothing](), out: reflect.TypeFor[Out](), run: run}
}

func (r Route) admits(role caller.Role) bool {
	switch role {
	case caller.Admin:
		return true
	case caller.User:
		return !r.Admin
	case caller.Agent:
		return r.Agents
	}
	return false
}

// tagged is an output that has an ETag.
type tagged interface{ etag() string }

// hiding is an output that repeats what a server said, and knows the secrets the server was told.
type hiding interface{ hidden() []secret.Value }

// answer writes an output. It is encoded whole before the first byte goes out.
func (a *API) answer(w http.ResponseWriter, r *http.Request, status int, out any) {
	switch out := out.(type) {
	case nothing:
		w.WriteHeader(status)
		return
	case departure:
		a.depart(w, status, out)
		return
	case page:
		a.showPage(w, r, status, out)
		return
	}
	body, err := encode(out)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if out, ok := out.(hiding); ok {
		body = withoutSecrets(body, out.hidden())
	}
	if out, ok := out.(tagged); ok {
		w.Header().Set("ETag", out.etag())
	}
	writeJSON(w, status, body)
}

func encode(out any) ([]byte, error) {
	if raw, ok := out.(jsontext.Value); ok {
		return raw, nil
	}
	return json.Marshal(out, json.Deterministic(true))
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(body) // whoever asked may be gone; nothing is left to tell
}

// problem makes one entry about one field.
func problem(field, detail string) policy.FieldError {
	return policy.FieldError{Field: field, Detail: detail}
}
