package admin

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/caller"
	"mcpsidecar/policy"
)

// Servers is what the API needs to know of the external servers themselves. Safe for concurrent use.
type Servers interface {
	// Probe connects to a server as configured, stored or not, and says what came of it. It takes at most some seconds and changes nothing.
	Probe(ctx context.Context, server configstore.Server) Probe
	// Present returns the present tools of a stored server, from the cache or fetched. The error's text is fit for the admin.
	Present(ctx context.Context, serverID string) (Present, error)
}

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
	// Reload makes the rest of the program use what was written; it is called after each write and before the answer, so that an answer means that the change holds.
	Reload   func(context.Context) error
	CheckURL func(string) error // judges a server's URL early
	Audit    interface{ Changed(audit.Change) error }
	Public   *url.URL            // our own address as others see it; may be nil
	Refused  func(reason string) // told why a caller was turned away; may be nil
	Version  string
	Logger   *slog.Logger // nil: discards
}

// API answers the management API.
type API struct{}

// New returns the API.
func New(Config) (*API, error) { panic("unbuilt") }

// Route is one route of the API; documents and tests range over them.
type Route struct {
	Method, Path string // Path as httprouter has it, with :id
	Summary      string
	Admin        bool // only role admin; otherwise admin and user
}

// Routes lists every route.
func (a *API) Routes() []Route { panic("unbuilt") }

// ServeHTTP answers requests below /api/.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { panic("unbuilt") }
