package upstream

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"mcpsidecar/proxy/rpc"
)

// Era is modern (per-request metadata, 2026-07-28) or legacy (initialize, sessions).
type Era string

// The eras.
const (
	Modern Era = "modern"
	Legacy Era = "legacy"
)

// Config is one server.
type Config struct {
	Slug    string // for errors and logs
	URL     string
	SSE     bool         // the 2024-11-05 transport; otherwise streamable HTTP
	Client  *http.Client // guarded; required
	Limits  Limits
	Name    string // how we introduce ourselves where no client info is passed on
	Version string
	Logger  *slog.Logger       // nil: discards
	Breaker func(state string) // told each change: closed, half_open, open; may be nil
	Session func(delta int)    // told each session opened (+1) and ended (-1); may be nil
	Now     func() time.Time   // nil: time.Now
}

// Limits bound an exchange. Zero values mean the defaults in brackets.
type Limits struct {
	Message int           // bytes of one decoded message [16 MiB]
	Connect time.Duration // era detection, initialize [10s]
	Call    time.Duration // until the answer when nothing comes before it [60s]
	Total   time.Duration // until the answer however much progress comes [10m]
	Idle    time.Duration // between two events of a stream once it has begun [60s]; progress and comments count
	Pages   int           // of a list [100]
}

// Server is one external server under one configuration. Safe for concurrent use.
type Server struct{}

// New checks the configuration; it does not connect.
func New(Config) (*Server, error) { panic("unbuilt") }

// Close ends all Conns, streams and idle connections, and returns after its goroutines.
func (s *Server) Close() { panic("unbuilt") }

// Info is what is known of a server once it has answered.
type Info struct {
	Era          Era
	Version      string // negotiated protocol version
	ServerInfo   []byte // raw Implementation, or nil
	Capabilities []byte // raw object
	Instructions string
}

// ConnConfig says for whom a Conn is.
type ConnConfig struct {
	// Header returns the headers that prove us to the server, plus those of the agent that are passed on, for every request anew; refused is true when the server has just answered 401 to the last ones, and then an
	// error or the same headers mean that there are no better ones. Required; safe for concurrent use.
	Header       func(ctx context.Context, refused bool) (http.Header, error)
	Capabilities []byte // raw ClientCapabilities to announce; nil: {}
	ClientInfo   []byte // raw Implementation of the client; nil: ours
	Version      string // protocol version to prefer at a legacy server; empty: the newest
	// Notify is told notifications that belong to no request (list changes, resource updates, log messages of legacy servers), from Listen and from answers; may be nil.
	Notify func(rpc.Message)
}

// Conn is one caller's way to a server. Safe for concurrent use.
type Conn struct{}

// Conn makes one; nothing is sent before the first request.
func (s *Server) Conn(ConnConfig) *Conn { panic("unbuilt") }

// Close ends the upstream session, if there is one, by DELETE (best effort, bounded by ctx) and cancels what is open.
func (c *Conn) Close(ctx context.Context) { panic("unbuilt") }

// Info connects if that has not happened yet (a modern server/discover, else initialize) and says what is known.
func (c *Conn) Info(ctx context.Context) (Info, error) { panic("unbuilt") }

// Call is one request to be sent.
type Call struct {
	Method       string
	Name         string        // for Mcp-Name: the original tool or prompt name, or the URI
	Params       []rpc.Member  // members of params but for _meta, in order; spans are sent as they are
	Meta         []rpc.Member  // members of _meta to pass on; protocol keys (io.modelcontextprotocol/{protocolVersion,clientInfo,clientCapabilities,logLevel,...}) and progressToken must not be among them
	Progress     bool          // ask for progress; notifications then carry a token of ours
	LogLevel     string        // a modern client's per-request log level, passed to modern servers; empty: none
	ParamHeaders http.Header   // Mcp-Param-*, sent to modern servers only
	Timeout      time.Duration // instead of Limits.Call; 0: the limit
	Idempotent   bool          // may be sent again after a failure in which it may have run (lists)
}

// Do sends a request. The error is a *Failure. The Exchange must be closed.
func (c *Conn) Do(ctx context.Context, call Call) (*Exchange, error) { panic("unbuilt") }

// Send sends a notification.
func (c *Conn) Send(ctx context.Context, method string, params []rpc.Member) error { panic("unbuilt") }

// List follows every page of a list method and returns the raw elements of its member (tools, prompts, ...), in order. Repeated cursors and too many pages are a Failure.
// ttl is the smallest ttlMs of a modern server's pages (negative: none was given), private whether any page was of cacheScope private.
func (c *Conn) List(ctx context.Context, method, member string) (elements [][]byte, ttl time.Duration, private bool, err error) {
	panic("unbuilt")
}

// Listen keeps the standing stream open (GET at legacy servers, subscriptions/listen at modern ones), reconnecting with back-off, and passes notifications to ConnConfig.Notify until ctx ends.
// It returns early, with nil, if the server offers no such stream.
func (c *Conn) Listen(ctx context.Context) error { panic("unbuilt") }

// Exchange is one request under way.
type Exchange struct{}

// Streamed says whether the server answers with an event stream, so that something may come before the answer.
func (e *Exchange) Streamed() bool { panic("unbuilt") }

// Token is the raw progress token that notifications of this exchange carry; nil if none was asked for.
func (e *Exchange) Token() []byte { panic("unbuilt") }

// Era of the server that answers, which decides what must be added to or taken from the answer.
func (e *Exchange) Era() Era { panic("unbuilt") }

// Next returns the next message of this exchange: notifications and requests of the server, at last the Response or ErrorResponse; after that io.EOF. Other errors are a *Failure. The message is valid until the next call.
func (e *Exchange) Next() (rpc.Message, error) { panic("unbuilt") }

// More says whether another message has arrived already, so that a writer need not flush yet.
func (e *Exchange) More() bool { panic("unbuilt") }

// Reply answers a request of a legacy server. result or failure, the other is nil.
func (e *Exchange) Reply(ctx context.Context, id, result []byte, failure *rpc.Error) error {
	panic("unbuilt")
}

// Close ends the exchange. Before the answer this cancels: the stream is closed and a legacy server is sent notifications/cancelled.
func (e *Exchange) Close() { panic("unbuilt") }
