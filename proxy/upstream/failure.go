package upstream

import "time"

// FailureKind says in one word what went wrong with a server.
type FailureKind string

// The kinds.
const (
	Unreachable  FailureKind = "unreachable" // no connection, or it broke
	Forbidden    FailureKind = "forbidden"   // the address may not be dialled
	TimedOut     FailureKind = "timed_out"
	Status       FailureKind = "status"             // an HTTP status that is no answer
	Unauthorized FailureKind = "unauthorized"       // 401, also after a retry with fresh headers
	Insufficient FailureKind = "insufficient_scope" // 403 with that challenge
	Malformed    FailureKind = "malformed"          // not JSON-RPC, not strict, or not the answer to what was asked
	TooLarge     FailureKind = "too_large"
	Open         FailureKind = "circuit_open" // the breaker is open; nothing was sent
	Canceled     FailureKind = "canceled"     // our side gave up
	Credential   FailureKind = "credential"   // ConnConfig.Header failed; Err is its error
)

// Failure is what Do, Next, List and Info return. Its Error is for logs; Sentence is for callers.
type Failure struct {
	Kind       FailureKind
	Slug       string
	MayHaveRun bool          // the request reached the server, or may have
	HTTPStatus int           // of Status, Unauthorized, Insufficient
	Challenge  string        // WWW-Authenticate of Unauthorized and Insufficient
	RetryAfter time.Duration // of Open, and of 429 and 503
	Limit      int           // of TooLarge
	Err        error         // the cause; may hold addresses and URLs, never a credential
}

func (f *Failure) Error() string { panic("unbuilt") }
func (f *Failure) Unwrap() error { return f.Err }

// Sentence says in plain words what happened, naming the server by its slug, without an address or detail that would tell an outsider more than that the server is not available.
func (f *Failure) Sentence() string { panic("unbuilt") }
