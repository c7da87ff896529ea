package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/julienschmidt/httprouter"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/caller"
	"mcpsidecar/policy"
)

// Servers is what the API needs to know of the external servers themselves. Safe for concurrent use.
type Servers interface {
	// Probe connects to a server as configured, stored or not, and says what came of it. It takes at most some seconds and changes nothing.
	Probe(ctx context.Context, server configstore.Server) Probe
	// Present returns the present tools of a stored server, from the cache or fetched, as they are listed to a user. The error is ErrNoAccount, or its text is fit for the admin.
	Present(ctx context.Context, serverID, user string) (Present, error)
}

// ErrNoAccount says that a server shows its tools to whoever has connected an account, and the user has none.
var ErrNoAccount = errors.New("the user has no account connected to the server")

// Probe is the outcome of a test connection.
type Probe struct {
	Reachable       bool     `json:"reachable"`
	Era             string   `json:"era,omitempty"` // modern or legacy
	ProtocolVersion string   `json:"protocol_version,omitempty"`
	ServerInfo      any      `json:"server_info,omitempty"` // json.RawMessage
	Tools           []string `json:"tools,omitempty"`       // original names
	ToolCount       int      `json:"tool_count"`
	Milliseconds    int64    `json:"milliseconds"`
	Reason          string   `json:"reason,omitempty"` // in plain words, why not
}

// Present is the present catalog of a server.
type Present struct {
	Tools     []PresentTool
	Baseline  policy.Baseline // what approving it means
	Warnings  []string
	FetchedAt time.Time
	Stale     bool // the last attempt to fetch it anew failed
}

// PresentTool is one tool of it.
type PresentTool struct {
	Name, Exposed, Description string
	ReadOnly                   bool
	Print                      policy.Print
}

// Authenticator says who sends a request.
type Authenticator interface {
	Authenticate(*http.Request) (*caller.Identity, error)
}

// Config is what an API needs. All fields are required unless they say otherwise.
type Config struct {
	Store   *configstore.Store
	Callers Authenticator
	Servers Servers
	// Accounts brings users' accounts to servers.
	Accounts Accounts
	Keys     Keys
	Sealer   Sealer // of page sessions
	// Reload makes the rest of the program use what was written; it is called after each write and before the answer, so that an answer means that the change holds.
	Reload   func(context.Context) error
	CheckURL func(string) error // judges early an address that a server's record names. It does no I/O, and its words never repeat the address, which may hold a secret
	Audit    interface{ Changed(audit.Change) error }
	Public   *url.URL            // our own address as others see it; may be nil
	Refused  func(reason string) // told why a caller was turned away; may be nil
	Version  string
	Logger   *slog.Logger // nil: discards
	// DocumentURL is where our Client ID Metadata Document can be fetched, by https; empty: nowhere.
	DocumentURL string
}

// API answers the management API. Everything in it is fixed at creation.
type API struct {
	config   Config
	routes   []Route
	router   *httprouter.Router
	open     *httprouter.Router           // of what needs no token
	browsers *httprouter.Router           // of where a page session counts
	beside   map[string]httprouter.Handle // by method and path: what httprouter cannot hold beside a parameter
	document func() ([]byte, error)       // OpenAPI; made when it is first asked for, since few ever ask and making it is a tenth of a start
}

// New returns the API.
func New(config Config) (*API, error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	a := &API{config: config, routes: table(), beside: map[string]httprouter.Handle{}}
	a.document = sync.OnceValues(func() ([]byte, error) { return describe(a.routes, config.Public, config.Version) })
	a.router, a.open, a.browsers = a.newRouter(), a.newOpenRouter(), a.newBrowserRouter()
	return a, nil
}

func (c *Config) complete() error {
	switch {
	case c.Store == nil:
		return errors.New("admin: a store is required")
	case c.Callers == nil:
		return errors.New("admin: an authenticator is required")
	case c.Keys == nil, c.Sealer == nil:
		return errors.New("admin: keys are required")
	case c.Servers == nil:
		return errors.New("admin: a view of the servers is required")
	case c.Accounts == nil:
		return errors.New("admin: the users' accounts are required")
	case c.Reload == nil, c.CheckURL == nil, c.Audit == nil:
		return errors.New("admin: Reload, CheckURL and Audit are required")
	}
	if c.Refused == nil {
		c.Refused = func(string) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// newRouter mounts every route. Nothing is redirected: a POST that differs in a slash or in case is not the POST that was meant.
func (a *API) newRouter() *httprouter.Router {
	router := &httprouter.Router{
		HandleMethodNotAllowed: true,
		NotFound:               a.always(errNotFound),
		MethodNotAllowed:       a.always(errMethod),
	}
	for _, route := range a.routes {
		if !route.Open {
			a.mount(router, route)
		}
	}
	return router
}

func (a *API) mount(router *httprouter.Router, route Route) {
	handle := a.serve(route)
	if route.beside {
		a.beside[route.Method+" "+route.Path] = handle
		return
	}
	router.Handle(route.Method, route.Path, handle)
	if route.Method == http.MethodGet && !route.once {
		router.Handle(http.MethodHead, route.Path, handle)
	}
}

// newOpenRouter mounts what browsers and providers ask for, who have no token.
func (a *API) newOpenRouter() *httprouter.Router {
	router := &httprouter.Router{HandleMethodNotAllowed: true, NotFound: a.alwaysPage(errNotFound), MethodNotAllowed: a.alwaysPage(errMethod)}
	for _, route := range a.routes {
		if route.Open {
			a.mount(router, route)
		}
	}
	return router
}

// Routes lists every route.
func (a *API) Routes() []Route { return slices.Clone(a.routes) }

// ServeHTTP answers requests below /api/, and for what browsers and providers see without a token. Everywhere else who asks is settled before anything is looked at, so that strangers do not even learn
// which routes exist.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if a.needsNoToken(r) {
		a.open.ServeHTTP(w, r)
		return
	}
	r = a.withSession(r)
	identity, err := a.config.Callers.Authenticate(r)
	if err != nil {
		a.turnAway(w, r, err)
		return
	}
	r = r.WithContext(caller.Into(r.Context(), identity))
	if encodedSlash(r.URL) {
		a.fail(w, r, errNotFound)
		return
	}
	if handle, ok := a.beside[r.Method+" "+r.URL.Path]; ok {
		handle(w, r, nil)
		return
	}
	a.router.ServeHTTP(w, r)
}

// needsNoToken says whether a request is for an open route, or for none below /api/.
func (a *API) needsNoToken(r *http.Request) bool {
	if encodedSlash(r.URL) {
		return false
	}
	handle, _, _ := a.open.Lookup(r.Method, r.URL.Path)
	return handle != nil || !strings.HasPrefix(r.URL.Path, "/api/")
}

// encodedSlash: the router matches the decoded path; an encoded slash would make one segment look like two.
func encodedSlash(u *url.URL) bool { return strings.Contains(strings.ToLower(u.EscapedPath()), "%2f") }

// turnAway answers a request whose sender is not known. What else it sends is not read.
func (a *API) turnAway(w http.ResponseWriter, r *http.Request, err error) {
	a.config.Refused(refusalReason(err))
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
	}
	a.fail(w, r, err)
}

func (a *API) always(err error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.fail(w, r, err) })
}

func (a *API) alwaysPage(err error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.failVisibly(w, r, err) })
}
