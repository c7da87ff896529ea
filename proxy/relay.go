package proxy

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"sync"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// relay brings what a server says back to the client, as it comes. An answer with nothing before it is one JSON body; otherwise it is a stream of events. What it returns has to be asked of the client before the server
// answers; nil: the client has its answer.
func (t *turn) relay(ctx context.Context, to *target, conn *upstream.Conn, ex *upstream.Exchange, out *upstream.Call) *inputs {
	for {
		m, err := t.nextOf(ex)
		if err == errNothingMore {
			if t.park(to, conn, ex, out) {
				return nil
			}
			continue
		}
		if err != nil || m.Kind == rpc.Response || m.Kind == rpc.ErrorResponse {
			t.unpose(sayGone)
		}
		if err != nil {
			t.ended(ctx, err)
			return nil
		}
		switch m.Kind {
		case rpc.Response:
			if ex.Era() == upstream.Modern && wantsInput(&m) {
				return t.inputRequired(to, &m, out)
			}
			if t.concernsTask(ex.Era(), &m) {
				t.answerTask(to, conn, ex, &m)
				return nil
			}
			t.answer(conn, ex.Era(), &m)
			return nil
		case rpc.ErrorResponse:
			if t.insistsOnTask(to, ex.Era(), m.Error, out) {
				return &inputs{able: true}
			}
			if !t.mustOpen(to, conn, m.Error) {
				t.answerError(t.errorFor(ex.Era(), m.Error))
			}
			return nil
		case rpc.Request:
			if t.session != nil {
				t.ask(ex, &m)
			} else {
				t.pose(ex, &m)
			}
		case rpc.Notification:
			if t.notify(ex, m) != nil {
				t.outcome = outcomeError
				return nil
			}
		}
	}
}

// notify passes a notification on if the client asked for its kind.
func (t *turn) notify(ex *upstream.Exchange, m rpc.Message) error {
	m.Params = t.related(m.Params)
	params := append(make([][]byte, 0, 10), nil, m.Params) // after the head
	switch m.Method {
	case methodProgress:
		if params = t.ownToken(params[:1], ex, m.Params); params == nil {
			return nil
		}
	case methodTaskStatus:
		own := t.proxy.tasks.status(t.taskCaller(t.server.link), m.Params)
		if own == nil || t.session == nil {
			return nil
		}
		params[1] = own
	case "notifications/message":
		if !t.wantsLog(m.Params) {
			return nil
		}
	case "notifications/cancelled":
		t.withdrawn(m.Params)
		return nil
	case "notifications/elicitation/complete":
		if t.session == nil || !t.session.elicited(t.server.link, m.Params) {
			return nil
		}
	default: // of list changes the standing streams tell
		return t.tellBack(ex.Era(), &m)
	}
	if !accepts(t.r.Header, "text/event-stream") {
		return nil
	}
	t.startStream()
	head := append(t.scratch[:0], `{"jsonrpc":"2.0","method":"`...)
	params[0] = append(append(head, m.Method...), `","params":`...)
	return t.eventOf(!ex.More(), append(params, closing)...)
}

// ownToken replaces the progress token on the wire by the client's, and appends the pieces of what comes of it: reports can be large and many. nil: the notification is not about this request.
func (t *turn) ownToken(pieces [][]byte, ex *upstream.Exchange, raw []byte) [][]byte {
	if raw == nil {
		return nil
	}
	from, to := rpc.Place(raw, metaProgressToken)
	if t.meta.progress == nil || to == 0 || !bytes.Equal(raw[from:to], ex.Token()) {
		if t.session == nil && t.task == nil || t.proxy.tasks.empty() {
			return nil
		}
		if raw = t.proxy.tasks.reported(t.taskCaller(t.server.link), raw); raw == nil {
			return nil
		}
		return append(pieces, raw)
	}
	return append(pieces, raw[:from], t.meta.progress, raw[to:])
}

// wantsLog says whether the client asked for log messages of this level: a modern one with the request, a legacy one for its session.
func (t *turn) wantsLog(raw []byte) bool {
	if raw == nil {
		return false
	}
	wanted := t.logLevel()
	if wanted == "" {
		return !t.modern
	}
	level, _ := rpc.String(rpc.Find(raw, "level"))
	return levelOf(level) >= levelOf(wanted)
}

// logLevel is the level of log messages that the client asked for; empty: it did not.
func (t *turn) logLevel() string {
	if t.session != nil {
		return t.session.logLevel()
	}
	return t.meta.logLevel
}

// event writes one message as an event; flush says that nothing more is known to come at once.
func (t *turn) event(message []byte, flush bool) error { return t.eventOf(flush, message) }

func (t *turn) flush() error { return http.NewResponseController(t.w).Flush() }

var (
	eventLine = []byte("event: message\n")
	dataField = []byte("data: ")
	eventTail = []byte("\n\n")
)

// writeEvent writes the pieces of one message as an event. A message that was written over several lines becomes several data lines.
func (t *turn) writeEvent(pieces ...[]byte) error {
	if event := t.smallEvent(pieces); event != nil {
		return t.send(event)
	}
	if err := t.send(eventLine); err != nil {
		return err
	}
	return t.writeData(pieces)
}

// smallEvent is an event in one piece, or nil: it is large, has several lines, or there is no room for it.
func (t *turn) smallEvent(pieces [][]byte) []byte {
	size := len(eventLine) + len(dataField) + len(eventTail)
	for _, piece := range pieces {
		size += len(piece)
	}
	if t.room == nil || size > len(t.room.event) {
		return nil
	}
	event := append(append(t.room.event[:0], eventLine...), dataField...)
	for _, piece := range pieces {
		if hasBreak(piece) {
			return nil
		}
		event = append(event, piece...)
	}
	return append(event, eventTail...)
}

// hasBreak is bytes.ContainsAny of both line breaks, and faster.
func hasBreak(text []byte) bool {
	return bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0
}

// writeData writes what comes after the head of an event.
func (t *turn) writeData(pieces [][]byte) error {
	for _, piece := range pieces {
		if hasBreak(piece) {
			return t.send(rpc.AppendEvent(nil, "", bytes.Join(pieces, nil))[len(eventLine):])
		}
	}
	if err := t.send(dataField); err != nil {
		return err
	}
	for _, piece := range pieces {
		if err := t.send(piece); err != nil {
			return err
		}
	}
	return t.send(eventTail)
}

func (t *turn) send(piece []byte) error {
	n, err := t.w.Write(piece)
	t.bytesOut += int64(n)
	return err
}

// answer relays a result, with what the client's era wants and without what only the server's era has.
func (t *turn) answer(conn *upstream.Conn, era upstream.Era, m *rpc.Message) {
	t.outcome = outcomeOK
	if string(m.Find("isError")) == "true" {
		t.outcome = outcomeToolError
	}
	pieces, ok := t.translate(conn, era, m)
	if !ok {
		t.toolError("The server asks for something that this client cannot give; the call was not completed.")
		t.outcome = outcomeError
		return
	}
	if len(pieces) == 1 { // the result goes on as it is: then around it, where the server's envelope was, there is room for ours
		if whole, ok := m.Enclose(t.head(), closing); ok {
			t.finishWith(append(t.room.pieces[:0], whole))
			return
		}
	}
	t.finish(pieces)
}

var closing = []byte{'}'}

// finish sends the last message: as an event if there were others, else as the whole body.
func (t *turn) finish(result [][]byte) {
	t.finishWith(append(append(append(t.room.pieces[:0], t.head()), result...), closing))
}

// head is how an answer with a result begins.
func (t *turn) head() []byte {
	head := append(t.scratch[:0], `{"jsonrpc":"2.0","id":`...)
	return append(append(head, t.message.ID...), `,"result":`...)
}

func (t *turn) finishWith(pieces [][]byte) {
	t.claim()
	if t.streaming || !accepts(t.r.Header, "application/json") {
		t.startStream()
		if t.eventOf(false, pieces...) != nil {
			t.outcome = outcomeError
		}
		return
	}
	t.writePieces(http.StatusOK, pieces)
}

// writePieces writes one JSON body that lies in pieces.
func (t *turn) writePieces(status int, pieces [][]byte) {
	size := 0
	for _, piece := range pieces {
		size += len(piece)
	}
	header := t.w.Header()
	header["Content-Type"] = jsonType
	header["Content-Length"] = []string{strconv.Itoa(size)}
	t.deadline()
	t.w.WriteHeader(status)
	if t.sendAll(pieces) != nil {
		t.outcome = outcomeError
	}
}

// sendAll sends pieces one after the other. Many that are small, as those of a list are, are put together first: net/http would hand nearly each to the system by itself, in two parts.
func (t *turn) sendAll(pieces [][]byte) (err error) {
	if len(pieces) <= few {
		for i := 0; i < len(pieces) && err == nil; i++ {
			err = t.send(pieces[i])
		}
		return err
	}
	together := togethers.Get().(*[]byte)
	defer togethers.Put(together)
	text := (*together)[:0]
	for _, piece := range pieces {
		if len(text)+len(piece) > maxTogether && len(text) > 0 {
			if err = t.send(text); err != nil {
				return err
			}
			text = text[:0]
		}
		if len(piece) > maxTogether {
			err = t.send(piece)
		} else {
			text = append(text, piece...)
		}
		if err != nil {
			return err
		}
	}
	return t.send(text)
}

// few pieces are sent as they are. Of more, as much is put together as maxTogether.
const (
	few         = 3
	maxTogether = 64 << 10
)

var togethers = sync.Pool{New: func() any { return new(make([]byte, 0, maxTogether)) }}

// translate takes a result from one era to the other. Within one era it is passed on as it is.
func (t *turn) translate(conn *upstream.Conn, era upstream.Era, m *rpc.Message) (pieces [][]byte, ok bool) {
	modernServer := era == upstream.Modern
	switch {
	case modernServer == t.modern:
		return append(t.room.result[:0], m.Result), true
	case t.modern:
		return t.modernise(conn, m), true
	}
	return t.legacise(m)
}

// modernise adds what every modern result has: its type, and who the server is.
func (t *turn) modernise(conn *upstream.Conn, m *rpc.Message) [][]byte {
	head := []byte(`{"resultType":"complete"`)
	if m.Find("resultType") != nil {
		head = []byte{'{'}
	}
	head = t.appendCaching(head, m)
	if info := conn.ServerInfo(); info != nil && m.Find("_meta") == nil {
		head = append(head[:len(head):len(head)], `,"_meta":{"`+metaServerInfo+`":`...)
		head = append(append(head, info...), '}')
	}
	rest := bytes.TrimLeft(m.Result[1:], " \t\r\n")
	if rest[0] != '}' && len(head) > 1 {
		head = append(head, ',')
	}
	if len(head) > 1 && head[1] == ',' { // a result that had a type already
		head = append(head[:1], head[2:]...)
	}
	return [][]byte{head, rest}
}

// legacise takes away what a legacy client would not know. A result that is not complete cannot be shown to it.
func (t *turn) legacise(message *rpc.Message) (pieces [][]byte, ok bool) {
	members, err := message.Members(make([]rpc.Member, 0, 6))
	if err != nil {
		return nil, false
	}
	pieces = append(make([][]byte, 0, 4*len(members)+2), []byte{'{'})
	for _, m := range members {
		switch m.Name {
		case "resultType":
			if kind, _ := rpc.String(m.Value); kind != "complete" {
				return nil, false
			}
			continue
		case "ttlMs", "cacheScope":
			if t.message.Method == "resources/read" {
				continue
			}
		case "_meta":
			if m.Value = withoutServerInfo(m.Value); m.Value == nil {
				continue
			}
		}
		if len(pieces) > 1 {
			pieces = append(pieces, []byte{','})
		}
		pieces = append(pieces, m.Raw, []byte{':'}, m.Value)
	}
	return append(pieces, []byte{'}'}), true
}

// withoutServerInfo drops the one key that every modern result may have; nil if nothing is left.
func withoutServerInfo(raw []byte) []byte {
	if rpc.Find(raw, metaServerInfo) == nil {
		return raw
	}
	members, err := rpc.Members(nil, raw)
	if err != nil {
		return raw
	}
	kept := members[:0]
	for _, m := range members {
		if m.Name != metaServerInfo {
			kept = append(kept, m)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return rpc.AppendObject(nil, kept)
}

// answerError relays a server's JSON-RPC error.
func (t *turn) answerError(raw []byte) {
	t.claim()
	t.outcome = outcomeError
	if t.traced.span != nil {
		t.traced.code, _ = strconv.Atoi(string(rpc.Find(raw, "code")))
	}
	body := append(t.scratch[:0], `{"jsonrpc":"2.0","id":`...)
	body = append(append(body, t.message.ID...), `,"error":`...)
	body = append(append(body, raw...), '}')
	if t.streaming || !accepts(t.r.Header, "application/json") {
		t.startStream()
		t.event(body, false)
		return
	}
	t.writePieces(t.errorStatus(raw), [][]byte{body})
}

// errorStatus is the HTTP status that goes with an error code: in the modern era some have one of their own (transports/streamable-http).
func (t *turn) errorStatus(raw []byte) int {
	code, err := strconv.Atoi(string(rpc.Find(raw, "code")))
	if !t.modern || err != nil {
		return http.StatusOK
	}
	switch code {
	case codeMethodNotFound:
		return http.StatusNotFound
	case codeHeaderMismatch, codeMissingCapability, codeUnsupportedVersion:
		return http.StatusBadRequest
	}
	return http.StatusOK
}
