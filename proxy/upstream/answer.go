package upstream

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"

	"mcpsidecar/proxy/rpc"
)

// maxRefusal bounds the body of a refusal that is looked at; a larger one is no JSON-RPC error.
const maxRefusal = 1 << 20

// refused looks at a response that is no success. It may be the answer all the same, for modern servers send errors with 400 and 404; or a sign that the session or the era is not what we thought.
func (e *Exchange) refused(response *http.Response) (*Failure, retry) {
	s := e.conn.server
	failure := s.refusal(response)
	switch response.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		discard(response)
		return failure, noRetry
	}
	if response.StatusCode < 400 {
		response.Body.Close()
		return failure, noRetry
	}
	buffer, err := rpc.ReadAll(response.Body, -1, min(maxRefusal, s.cfg.Limits.Message))
	response.Body.Close()
	if err != nil {
		return failure, noRetry
	}
	m, err := rpc.Read(buffer.Bytes())
	isError := err == nil && m.Kind == rpc.ErrorResponse
	again := e.misunderstood(response.StatusCode, m, buffer.Bytes(), isError)
	if again == sessionLost && !e.certainlyLost(response.StatusCode, m) {
		e.conn.forget(e.link) // whoever comes next has a new one
		again = noRetry
	}
	if again == noRetry && isError && e.isOurs(m) && (response.StatusCode < 500 || !withoutID(m.ID)) {
		e.buffer, e.ready = buffer, &m
		return nil, noRetry
	}
	buffer.Release()
	return failure, again
}

// misunderstood says whether a refusal means that the server does not know the session, or is not of the era we took it for. In all these cases it has not run the request.
func (e *Exchange) misunderstood(status int, m rpc.Message, text []byte, isError bool) retry {
	if e.private {
		return noRetry
	}
	var code int
	if isError {
		refusal, _ := rpc.ParseError(m.Error)
		code = refusal.Code
	}
	addressed := isError && !withoutID(m.ID)
	if e.link.era == Modern {
		switch {
		case code == codeUnsupportedVersion:
			return eraWrong
		case code == codeHeaderMismatch || code == codeMissingCapability || addressed:
			return noRetry
		case status == http.StatusBadRequest || status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
			return eraWrong
		}
		return noRetry
	}
	switch {
	case code == codeUnsupportedVersion || code == codeHeaderMismatch:
		return eraWrong
	case addressed && code == codeMethodNotFound:
		return noRetry
	case sessionGone(e.link, status, text):
		return sessionLost
	}
	return noRetry
}

// certainlyLost says whether a refusal that speaks of a session means that the request did not run. With 400 and the id of the request it may as well be what running it came to: some tools have sessions of their own.
func (e *Exchange) certainlyLost(status int, m rpc.Message) bool {
	return status == http.StatusNotFound || e.call.Idempotent || !bytes.Equal(m.ID, e.id)
}

// open prepares to read a successful response.
func (e *Exchange) open(response *http.Response) *Failure {
	if response.StatusCode == http.StatusAccepted || response.StatusCode == http.StatusNoContent {
		return e.conn.server.malformed(true, "the server took the request with status %d and did not answer it", response.StatusCode)
	}
	e.source = source{r: response.Body, clock: &e.clock}
	switch encoding := strings.ToLower(response.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		unzipped, err := gzip.NewReader(response.Body)
		if err != nil {
			return e.unreadable(err)
		}
		e.source.r = unzipped
		response.ContentLength = -1
	default:
		return e.conn.server.malformed(true, "the answer has the content encoding %.64q, which was not asked for", encoding)
	}
	if mediaType(response.Header.Get("Content-Type")) == "text/event-stream" {
		e.streamed = true // its first byte may be long in coming
		e.clock.streaming()
		return nil
	}
	return e.sniff(startsEvent)
}

// mediaType is the type without its parameters, in lower case.
func mediaType(header string) string {
	media, _, _ := strings.Cut(header, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

// sniff reads the first byte and decides by it what the body is: some servers send a stream labelled as JSON, and the reverse.
func (e *Exchange) sniff(isStream func(byte) bool) *Failure {
	if err := e.source.peek(); err != nil {
		if err == io.EOF {
			return e.conn.server.malformed(true, "the answer is empty")
		}
		return e.unreadable(err)
	}
	if !isStream(e.source.head) {
		return nil
	}
	e.events = rpc.NewEventReader(&e.source, e.conn.server.cfg.Limits.Message)
	if !e.streamed {
		e.streamed = true
		e.clock.streaming()
	}
	return nil
}

// startsEvent: a byte with which a line of an event stream starts, and no JSON message.
func startsEvent(c byte) bool { return strings.IndexByte(":deir", c) >= 0 }

// startsNoJSON: what is labelled as a stream is one unless it looks like a message.
func startsNoJSON(c byte) bool { return c != '{' && c != '[' }

// read returns the next message of whatever carries this exchange.
func (e *Exchange) read() (rpc.Message, *Failure) {
	switch {
	case e.ready != nil:
		m := *e.ready
		e.ready = nil
		return m, nil
	case e.inbox != nil:
		return e.readInbox()
	case e.events == nil && e.streamed:
		if failure := e.sniff(startsNoJSON); failure != nil {
			return rpc.Message{}, failure
		}
	}
	if e.events != nil {
		return e.readEvent()
	}
	return e.readBody()
}

func (e *Exchange) readEvent() (rpc.Message, *Failure) {
	for {
		event, err := e.events.Next()
		if err == nil {
			e.dry = 0
			return e.parse(event.Data)
		}
		if failure := e.resume(err); failure != nil {
			return rpc.Message{}, failure
		}
	}
}

func (e *Exchange) readBody() (rpc.Message, *Failure) {
	buffer, err := rpc.ReadAll(&e.source, e.response.ContentLength, e.conn.server.cfg.Limits.Message)
	if err != nil {
		return rpc.Message{}, e.unreadable(err)
	}
	e.buffer = buffer
	m, failure := e.parse(buffer.Bytes())
	if failure == nil && m.Kind != rpc.Response && m.Kind != rpc.ErrorResponse {
		failure = e.conn.server.malformed(true, "the server sent something else than an answer")
	}
	return m, failure
}

func (e *Exchange) parse(text []byte) (rpc.Message, *Failure) {
	m, err := rpc.Read(text)
	if err != nil {
		return m, e.conn.server.failure(Malformed, true, err)
	}
	return m, nil
}

// unreadable says what an error of reading the response means; the request has been sent.
func (e *Exchange) unreadable(err error) *Failure {
	var corrupt flate.CorruptInputError
	if err == gzip.ErrHeader || err == gzip.ErrChecksum || errors.As(err, &corrupt) {
		return e.conn.server.failure(Malformed, true, err)
	}
	return e.conn.server.broken(e.ctx, true, earlyEnd(err))
}

// source is the body of a response, after any decompression, with its first byte looked at.
type source struct {
	r     io.Reader
	clock *clock
	head  byte
	held  bool // head has been read from r and not given out
	ended bool // r has been read to its end
}

// peek reads the first byte; it waits until there is one.
func (s *source) peek() error {
	var one [1]byte
	if _, err := io.ReadFull(s, one[:]); err != nil {
		return err
	}
	s.head, s.held = one[0], true
	return nil
}

func (s *source) Read(p []byte) (int, error) {
	if s.held && len(p) > 0 {
		p[0], s.held = s.head, false
		return 1, nil
	}
	n, err := s.r.Read(p)
	if n > 0 {
		s.clock.sawBytes()
	}
	s.ended = s.ended || err == io.EOF
	return n, err
}
