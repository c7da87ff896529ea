package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"mcpsidecar/internal/outbound"
	"mcpsidecar/proxy/rpc"
)

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
	Refused      FailureKind = "refused"            // a JSON-RPC error to a question of our own: initialize, a list
	Malformed    FailureKind = "malformed"          // not JSON-RPC, not strict, or not the answer to what was asked
	TooLarge     FailureKind = "too_large"
	Open         FailureKind = "circuit_open" // the breaker is open; nothing was sent
	Canceled     FailureKind = "canceled"     // our side gave up
	Credential   FailureKind = "credential"   // ConnConfig.Header failed; Err is its error
)

// Failure is what Do, Next, List and Info return. Its Error is for logs, Report for admins; Sentence is for callers.
type Failure struct {
	Kind       FailureKind
	Slug       string
	MayHaveRun bool          // the request reached the server, or may have
	HTTPStatus int           // of Status, Unauthorized, Insufficient
	Challenge  string        // WWW-Authenticate of Unauthorized and Insufficient
	RetryAfter time.Duration // of Open, and of 429 and 503
	Limit      int           // of TooLarge
	Refusal    []byte        // of Refused: the server's JSON-RPC error as it wrote it; nil: it gave none
	Err        error         // the cause; may hold addresses and URLs, never a credential
}

// Error names the server, the kind and the cause.
func (f *Failure) Error() string {
	text := "server " + f.Slug + ": " + string(f.Kind)
	if f.HTTPStatus != 0 {
		text += " " + strconv.Itoa(f.HTTPStatus)
	}
	if f.Err != nil {
		text += ": " + f.Err.Error()
	}
	return text
}

func (f *Failure) Unwrap() error { return f.Err }

// Sentence says in plain words what happened, naming the server by its slug, without an address or detail that would tell an outsider more than that the server is not available.
func (f *Failure) Sentence() string {
	text := "The server " + strconv.Quote(f.Slug) + " " + f.predicate()
	if f.MayHaveRun {
		text += "; the outcome is unknown"
	}
	return text + "."
}

// Vague says that Sentence keeps the reason to itself: a caller who wants to know it has to ask an admin.
func (f *Failure) Vague() bool { return f.predicate() == unavailable }

// unavailable is all that callers learn of a server that cannot be reached.
const unavailable = "is not available"

// predicate is one and the same for everything that tells apart a closed port, a filtered one, a wrong certificate, a forbidden address and a server that breaks: the difference would let an outsider scan.
func (f *Failure) predicate() string {
	switch f.Kind {
	case TimedOut:
		if f.MayHaveRun {
			return "did not answer in time"
		}
	case Status:
		if f.HTTPStatus < 500 && f.HTTPStatus != http.StatusTooManyRequests {
			return "refused the request with HTTP status " + strconv.Itoa(f.HTTPStatus)
		}
		if f.HTTPStatus == http.StatusTooManyRequests {
			return "takes no more requests at the moment" + retryWords(f.RetryAfter)
		}
	case Unauthorized:
		return "did not accept the credentials it was given"
	case Insufficient:
		return "asks for more permissions than the credentials have"
	case Refused:
		return "answered with an error"
	case Malformed:
		return "sent an answer that is not valid"
	case TooLarge:
		return "sent a message that is larger than the limit of " + strconv.Itoa(f.Limit) + " bytes"
	case Open:
		return "is not available after repeated failures" + retryWords(f.RetryAfter)
	case Canceled:
		return "was not waited for because the request was cancelled"
	case Credential:
		return "could not be called because no credentials are at hand"
	}
	return unavailable
}

func retryWords(after time.Duration) string {
	if after <= 0 {
		return ""
	}
	seconds := int((after + time.Second - 1) / time.Second)
	return "; try again in " + strconv.Itoa(seconds) + " s"
}

// What ends an exchange from our side, as the cause of its context.
var (
	errSilent = errors.New("no message came within the time limit")
	errTotal  = errors.New("the answer did not come within the total time limit")
	errIdle   = errors.New("the stream fell silent")
	errHeld   = errors.New("the server waited for too long, in all, for what it asked")
	errClosed = errors.New("the connection was closed by us")
	errAnswer = errors.New("the exchange is over") // it ended well
)

// failure makes one of this server.
func (s *Server) failure(kind FailureKind, mayHaveRun bool, err error) *Failure {
	return &Failure{Kind: kind, Slug: s.cfg.Slug, MayHaveRun: mayHaveRun, Err: err}
}

func (s *Server) malformed(mayHaveRun bool, format string, args ...any) *Failure {
	return s.failure(Malformed, mayHaveRun, fmt.Errorf(format, args...))
}

func (s *Server) tooLarge(mayHaveRun bool) *Failure {
	f := s.failure(TooLarge, mayHaveRun, rpc.ErrTooLarge)
	f.Limit = s.cfg.Limits.Message
	return f
}

// refused makes a failure of a JSON-RPC error to a question of our own.
func (c *Conn) refused(ctx context.Context, method string, raw []byte) *Failure {
	e, _ := rpc.ParseError(raw)
	f := c.server.failure(Refused, false, fmt.Errorf("%s was refused with code %d: %.256q", method, e.Code, c.withoutCredentials(ctx, e.Message)))
	f.Refusal = said(raw)
	return f
}

// withoutCredentials takes from a server's words what it was sent to prove us: there are servers that repeat the key that they do not accept.
func (c *Conn) withoutCredentials(ctx context.Context, text string) string {
	credentials, err := c.cfg.Header(ctx, false)
	if err != nil {
		return ""
	}
	for _, values := range credentials {
		for _, value := range values {
			for _, part := range []string{value, value[strings.IndexByte(value, ' ')+1:]} { // with and without the scheme
				if len(part) >= leastCredential {
					text = strings.ReplaceAll(text, part, "[redacted]")
				}
			}
		}
	}
	return text
}

// leastCredential is how long a text has to be that is looked for: what is shorter is part of other words.
const leastCredential = 6

// broken says what an error of the transport, of reading a body or of a context means.
func (s *Server) broken(ctx context.Context, mayHaveRun bool, err error) *Failure {
	if errors.Is(err, rpc.ErrTooLarge) {
		return s.tooLarge(mayHaveRun)
	}
	if errors.Is(err, outbound.ErrForbiddenAddress) {
		return s.failure(Forbidden, false, err)
	}
	if ctx.Err() != nil {
		return s.ended(ctx, mayHaveRun)
	}
	return s.failure(Unreachable, mayHaveRun, err)
}

// ended says what the end of a context means.
func (s *Server) ended(ctx context.Context, mayHaveRun bool) *Failure {
	cause := context.Cause(ctx)
	switch {
	case cause == errSilent, cause == errTotal, cause == errIdle, cause == errHeld, errors.Is(cause, context.DeadlineExceeded):
		return s.failure(TimedOut, mayHaveRun, cause)
	}
	return s.failure(Canceled, mayHaveRun, cause)
}

// refusal says what an HTTP status means that carries no JSON-RPC answer. Below 500 the request was turned away; above, nobody knows.
func (s *Server) refusal(response *http.Response) *Failure {
	f := s.failure(Status, response.StatusCode >= 500, nil)
	f.HTTPStatus = response.StatusCode
	challenge := strings.Join(response.Header.Values("Www-Authenticate"), ", ")
	switch {
	case response.StatusCode == http.StatusUnauthorized:
		f.Kind, f.Challenge = Unauthorized, challenge
	case response.StatusCode == http.StatusForbidden && strings.Contains(challenge, "insufficient_scope"):
		f.Kind, f.Challenge = Insufficient, challenge
	case response.StatusCode == http.StatusTooManyRequests, response.StatusCode == http.StatusServiceUnavailable:
		f.RetryAfter = retryAfter(response.Header.Get("Retry-After"), s.cfg.Now())
	}
	return f
}

// maxRetryAfter bounds what a server may make us tell callers.
const maxRetryAfter = time.Hour

func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil {
		return min(max(0, time.Duration(min(seconds, 1<<20))*time.Second), maxRetryAfter)
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(0, at.Sub(now)), maxRetryAfter)
	}
	return 0
}
