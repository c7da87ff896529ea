package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"mcpsidecar/internal/caller"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// JSON-RPC error codes: the standard's, and the specification's of 2026-07-28 (basic/index, Error Codes).
const (
	codeParse              = -32700
	codeInvalidRequest     = -32600
	codeMethodNotFound     = -32601
	codeInvalidParams      = -32602
	codeInternal           = -32603
	codeResourceNotFound   = -32002 // until 2025-11-25
	codeHeaderMismatch     = -32020
	codeMissingCapability  = -32021
	codeUnsupportedVersion = -32022
	codeURLElicitation     = -32042 // of 2025-11-25 only
)

// Outcomes of a request, as metrics and audit records spell them.
const (
	outcomeOK        = "ok"
	outcomeToolError = "tool_error"
	outcomeDenied    = "denied"
	outcomeError     = "error"
)

// failure is an answer that is an error. This file is the only one that makes them.
type failure struct {
	status     int // HTTP, for clients of the modern era; those of the legacy era get legacyStatus
	legacy     int // HTTP, for clients of the legacy era
	rpc        rpc.Error
	retryAfter time.Duration
}

func fail(status, legacy, code int, message string) *failure {
	return &failure{status: status, legacy: legacy, rpc: rpc.Error{Code: code, Message: message}}
}

// failRead is for a body that is no message.
func failRead(err error) *failure {
	code := codeInvalidRequest
	if errors.Is(err, rpc.ErrSyntax) {
		code = codeParse
	}
	return fail(http.StatusBadRequest, http.StatusBadRequest, code, err.Error())
}

// failInvalidParams is for a message that was understood and asks for something impossible.
func failInvalidParams(message string) *failure {
	return fail(http.StatusOK, http.StatusOK, codeInvalidParams, message)
}

// failMeta is for a modern request without the metadata that every one must have: -32602 with 400 (basic/index, _meta).
func failMeta(message string) *failure {
	return fail(http.StatusBadRequest, http.StatusBadRequest, codeInvalidParams, message)
}

// failUnknownTool is the one answer for a tool that does not exist and for one that is denied.
func failUnknownTool(name string) *failure {
	return failInvalidParams("Unknown tool: " + clip(name))
}

// failUnknownPrompt is the one answer for a prompt that does not exist and for one that is denied.
func failUnknownPrompt(name string) *failure {
	return failInvalidParams("Unknown prompt: " + clip(name))
}

// failUnknownResource is the same for resources; each era has a code of its own (2026-07-28, changelog).
func (t *turn) failUnknownResource(uri string) *failure {
	code := codeInvalidParams
	if !t.modern {
		code = codeResourceNotFound
	}
	f := fail(http.StatusOK, http.StatusOK, code, "Resource not found")
	f.rpc.Data = append(rpc.AppendString([]byte(`{"uri":`), uri), '}')
	return f
}

// failServer is for a server that could not be asked, or did not answer, where there is no result that could say so.
func failServer(sentence string) *failure {
	return fail(http.StatusOK, http.StatusOK, codeInternal, sentence)
}

func failMethod(method string) *failure {
	return fail(http.StatusNotFound, http.StatusOK, codeMethodNotFound, "Method not found: "+clip(method))
}

// failMethodSaying is for a method that is known and not to be had in this way.
func failMethodSaying(message string) *failure {
	return fail(http.StatusNotFound, http.StatusOK, codeMethodNotFound, message)
}

const sayNoTask = "Task not found"

// failUnknownTask is the one answer for a task that does not exist, is another caller's, or may not be touched now.
func failUnknownTask() *failure { return failInvalidParams(sayNoTask) }

// failTaskOver is for a task that cannot be cancelled any more (2025-11-25, Task Cancellation).
func failTaskOver(status string) *failure {
	return failInvalidParams("Cannot cancel task: already in terminal status '" + status + "'")
}

// failNoTasks is for a modern client that has not declared that it can deal with tasks (extension Tasks, Protocol Errors).
func failNoTasks() *failure {
	f := fail(http.StatusBadRequest, http.StatusBadRequest, codeMissingCapability, "Missing required client capability")
	f.rpc.Data = []byte(`{"requiredCapabilities":{"extensions":{"` + tasksExtension + `":{}}}}`)
	return f
}

func failRequest(message string) *failure {
	return fail(http.StatusBadRequest, http.StatusBadRequest, codeInvalidRequest, message)
}

func failHeader(message string) *failure {
	return fail(http.StatusBadRequest, http.StatusBadRequest, codeHeaderMismatch, "Header mismatch: "+message)
}

func failVersion(requested string) *failure {
	f := fail(http.StatusBadRequest, http.StatusBadRequest, codeUnsupportedVersion, "Unsupported protocol version")
	data := append([]byte(`{"supported":`), supportedVersions...)
	data = rpc.AppendString(append(data, `,"requested":`...), clip(requested))
	f.rpc.Data = append(data, '}')
	return f
}

// failSession is for a session that is unknown, over, or another caller's: nobody learns which.
func failSession() *failure {
	return fail(http.StatusNotFound, http.StatusNotFound, codeInvalidRequest, "Session not found: initialize a new one")
}

func failBusy() *failure {
	f := fail(http.StatusTooManyRequests, http.StatusTooManyRequests, codeInternal, "too many requests of this user are under way")
	f.retryAfter = time.Second
	return f
}

func failDraining() *failure {
	f := fail(http.StatusServiceUnavailable, http.StatusServiceUnavailable, codeInternal, "the sidecar is shutting down")
	f.retryAfter = time.Second
	return f
}

func failAudit() *failure {
	f := fail(http.StatusServiceUnavailable, http.StatusServiceUnavailable, codeInternal, "the call was not made, because it cannot be recorded in the audit log")
	f.retryAfter = 5 * time.Second
	return f
}

// failMemory is for what a session asks for and what could not be kept.
func failMemory() *failure {
	f := fail(http.StatusServiceUnavailable, http.StatusServiceUnavailable, codeInternal, "it was not done, because it could not be remembered for this session")
	f.retryAfter = 5 * time.Second
	return f
}

func failBody(err error) *failure {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, rpc.ErrTooLarge), errors.As(err, &tooLarge):
		return fail(http.StatusRequestEntityTooLarge, http.StatusRequestEntityTooLarge, codeInvalidRequest, "the request is larger than the limit (--max-body)")
	case errors.Is(err, context.Canceled):
		return fail(http.StatusBadRequest, http.StatusBadRequest, codeInvalidRequest, "the request ended before its body was complete")
	}
	return fail(http.StatusRequestTimeout, http.StatusRequestTimeout, codeInvalidRequest, "the body of the request did not arrive in time or in full")
}

// refusal is an answer to a request of which nothing was read: plain JSON, no JSON-RPC.
type refusal struct {
	status     int
	reason     string // for the metric
	message    string
	challenge  string
	retryAfter time.Duration
}

// refuseCaller translates what caller says.
func refuseCaller(err error) refusal {
	var throttled *caller.ThrottledError
	switch {
	case errors.Is(err, caller.ErrUsers):
		return refusal{http.StatusForbidden, "users", "the user that Sidecar-User names is not known, and agents can make no more users known: an admin can mint a token that names the user, end users that are not needed any more, or raise --max-users", "", 0}
	case errors.Is(err, caller.ErrNewUsers) && errors.As(err, &throttled):
		return refusal{http.StatusTooManyRequests, "new_users", "the token has named too many new users in a short time: try again later; users who are known already are not affected", "", throttled.RetryAfter}
	case errors.As(err, &throttled):
		return refusal{http.StatusTooManyRequests, "throttled", "too many failed attempts: try again later", "", throttled.RetryAfter}
	case errors.Is(err, caller.ErrNoCredential):
		return refusal{http.StatusUnauthorized, "no_credential", "a bearer token is needed", `Bearer realm="mcp-sidecar"`, 0}
	case errors.Is(err, caller.ErrBadCredential):
		return refusal{http.StatusUnauthorized, "bad_credential", "the token is not valid", `Bearer realm="mcp-sidecar", error="invalid_token"`, 0}
	case errors.Is(err, caller.ErrUserRequired), errors.Is(err, caller.ErrUserInvalid):
		return refusal{http.StatusBadRequest, "user", err.Error(), "", 0}
	case errors.Is(err, caller.ErrUserForbidden):
		return refusal{http.StatusForbidden, "user", err.Error(), "", 0}
	}
	return refusal{http.StatusServiceUnavailable, "unavailable", "nobody can be let in at the moment", "", time.Second}
}

// unknownPath is the one answer for a server that does not exist, is disabled, or is not there for this caller.
func unknownPath() refusal { return refusal{http.StatusNotFound, "", "not found", "", 0} }

func (r refusal) write(w http.ResponseWriter) {
	header := w.Header()
	header["Content-Type"] = jsonType
	if r.challenge != "" {
		header.Set("WWW-Authenticate", r.challenge)
	}
	setRetryAfter(header, r.retryAfter)
	w.WriteHeader(r.status)
	body := rpc.AppendString([]byte(`{"message":`), r.message)
	w.Write(append(body, '}'))
}

func setRetryAfter(header http.Header, after time.Duration) {
	if after > 0 {
		header.Set("Retry-After", strconv.Itoa(int(max(1, (after+time.Second-1)/time.Second))))
	}
}

// serverTrouble is what the model reads when a server did not answer: which one, what happened, whether the call may have had an effect, and, where the reason is not for it, how an admin finds that.
func serverTrouble(slug, requestID string, err error) string {
	f := (*upstream.Failure)(nil)
	if !errors.As(err, &f) {
		f = &upstream.Failure{Kind: upstream.Unreachable, Slug: slug}
	}
	if !f.Vague() || requestID == "" {
		return f.Sentence()
	}
	return f.Sentence() + " An admin finds the reason in the log under request_id " + requestID + "."
}

// serverBusy is what it reads when the server has as much to do as it may.
func serverBusy(slug string, limit int64) string {
	return fmt.Sprintf("The server %q is busy: %d calls are under way, which is its limit. The call was not made; try again later.", slug, limit)
}

// failStreams is for a session that listens often enough already.
func failStreams() *failure {
	return fail(http.StatusConflict, http.StatusConflict, codeInvalidRequest, "the session has as many streams as it may")
}

// failURLElicitation asks a client of 2025-11-25 to open a link and to repeat the request (client/elicitation, URL Elicitation Required Error).
func failURLElicitation(link, message, id string) *failure {
	f := fail(http.StatusOK, http.StatusOK, codeURLElicitation, message)
	data := rpc.AppendString([]byte(`{"elicitations":[{"mode":"url","elicitationId":`), id)
	data = rpc.AppendString(append(data, `,"url":`...), link)
	data = rpc.AppendString(append(data, `,"message":`...), message)
	f.rpc.Data = append(data, `}]}`...)
	return f
}

// failHearing is for a user who listens often enough already.
func failHearing() *failure {
	f := fail(http.StatusTooManyRequests, http.StatusTooManyRequests, codeInternal, "this user has as many standing streams as one may: end some, or try again later")
	f.retryAfter = keepAlive
	return f
}

// failSessions is for a user with more sessions than are held in memory. One that was not used for some time makes room by itself.
func failSessions() *failure {
	f := fail(http.StatusTooManyRequests, http.StatusTooManyRequests, codeInternal, "this user has as many sessions as one may: end some (DELETE), or try again later")
	f.retryAfter = sweepEvery
	return f
}

// failWatches is for a session, a request or a user with more subscriptions than one may have.
func failWatches() *failure {
	return failInvalidParams("more is subscribed to than one session, one request or one user may")
}

// failNoWatch is for a resource of a server without subscriptions, which a client that knows of the resource may know.
func failNoWatch(slug string) *failure {
	return fail(http.StatusOK, http.StatusOK, codeMethodNotFound, "The server "+strconv.Quote(slug)+" does not tell of changes of its resources")
}
