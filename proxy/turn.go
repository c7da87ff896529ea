package proxy

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"mcpsidecar/internal/audit"
	"mcpsidecar/proxy/rpc"
)

// turn is one request on its way. It belongs to the goroutine that serves the request, and its memory serves another request after that: nothing may point into it when the handler returns.
type turn struct {
	proxy   *Proxy
	ctx     context.Context
	w       http.ResponseWriter
	r       *http.Request
	scope   scope
	started time.Time

	body    []byte // of the message; gone when the handler returns
	message rpc.Message
	modern  bool
	session *session // of a legacy client; nil before initialize
	version string   // protocol version of this client
	meta    meta     // of a modern client
	traced  traced
	scratch [512]byte // room for what is written here: what it holds is gone with the next use

	// Room for what most requests need, so that they allocate none. A standing stream gives it back.
	room *room

	watcher   *watcher      // of a standing stream: what it tells of resources; nil: of none
	task      *taskWork     // nil: the request has nothing to do with tasks
	talk      *talk         // of a legacy client that is asked something; nil: it is not
	posed     []posed       // what a legacy server has asked a modern client that does not know of it yet
	parked    bool          // the call waits for the client's next request
	waited    time.Duration // for a legacy client's answers to a modern server
	busy      *atomic.Int64 // the caller's counter while this request is in it
	weight    int64         // as how much
	server    *server       // whom it concerns; nil: none in particular
	streaming bool          // the answer is a stream of events
	granted   time.Time     // when the client was given its time to read; whoever writes may
	detached  bool          // a twin answers
	out       outlet        // of a legacy client
	draining  bool          // no new work is taken, and this is none; see belated
	outcome   string
	bytesIn   int64
	bytesOut  int64
	record    audit.Call // of a call; Tool is empty if none was made
}

// room is memory for the parts of one request and its answer.
type room struct {
	params, meta, out [6]rpc.Member
	pieces            [8][]byte
	result            [1][]byte
	event             [768]byte
}

// rooms keeps the rooms that nobody uses.
var rooms = sync.Pool{New: func() any { return new(room) }}

// leaveRoom gives the room back, with nothing in it.
func (t *turn) leaveRoom() {
	if t.room != nil {
		*t.room = room{}
		rooms.Put(t.room)
		t.room = nil
	}
}

var (
	jsonType  = []string{"application/json"}
	eventType = []string{"text/event-stream"}
	noBuffer  = []string{"no"}
)

// writeStall is how long a client may take nothing of an answer before it is given up.
const writeStall = 30 * time.Second

// deadline gives the client another writeStall to read what comes now, or a second less: events can follow each other closely, and to set it costs as much as to write a small one.
func (t *turn) deadline() {
	if now := time.Now(); now.Sub(t.granted) > time.Second {
		t.granted = now
		http.NewResponseController(t.w).SetWriteDeadline(now.Add(writeStall))
	}
}

// fail answers with an error.
func (t *turn) fail(f *failure) {
	t.claim()
	t.outcome, t.traced.code = outcomeError, f.rpc.Code
	status := f.legacy
	if t.modern {
		status = f.status
	}
	setRetryAfter(t.w.Header(), f.retryAfter)
	t.write(status, rpc.AppendError(t.scratch[:0], t.message.ID, f.rpc))
}

// write answers with one message: the whole body, or the last event of a stream that has begun.
func (t *turn) write(status int, body []byte) {
	t.claim()
	if t.streaming {
		t.event(body, false)
		return
	}
	t.writePieces(status, [][]byte{body})
}

// result answers with a result that was made here. body are its members, without braces; a modern client gets resultType and who we are on top.
func (t *turn) result(body string) {
	out := append(t.scratch[:0], `{"jsonrpc":"2.0","id":`...)
	out = append(append(append(out, t.message.ID...), `,"result":{`...), body...)
	if t.modern {
		if body != "" {
			out = append(out, ',')
		}
		out = append(out, `"resultType":"complete","_meta":{"`+metaServerInfo+`":`...)
		out = append(append(out, t.proxy.info...), '}')
	}
	t.outcome = outcomeOK
	t.write(http.StatusOK, append(out, `}}`...))
}

// toolError answers a call with a result that tells the model what went wrong. What is no call of a tool has no such result, and gets an error.
func (t *turn) toolError(sentence string) {
	if t.message.Method != "tools/call" {
		t.fail(failServer(sentence))
		return
	}
	body := rpc.AppendString([]byte(`"content":[{"type":"text","text":`), sentence)
	t.result(string(append(body, `}],"isError":true`...)))
}

// accepted answers a notification.
func (t *turn) accepted() {
	t.outcome = outcomeOK
	t.w.WriteHeader(http.StatusAccepted)
}

// leaveBusy takes the request out of what counts as work: a standing stream is none.
func (t *turn) leaveBusy() {
	if t.busy != nil {
		t.busy.Add(-t.weight)
		t.busy = nil
		t.proxy.config.Metrics.InFlight(-1)
	}
}
