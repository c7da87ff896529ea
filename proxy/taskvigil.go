package proxy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strconv"
	"sync"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// vigil waits at a legacy server for the result of a task whose client is a modern one. It is only there that such a server asks what it wants to know for it; the client is told when it asks how the task is, and answers
// with another request. A vigil ends with the task, with its link or the program, or when nobody has asked or answered anything for as long as a client may take; then the next one to ask how the task is begins another.
type vigil struct {
	// fixed at creation
	at     vigilPlace
	p      *Proxy
	link   *link // held
	user   string
	prefix string // of the names of its questions: no two questions about a task share one, whichever vigil they are of
	stop   context.CancelFunc

	mu    sync.Mutex
	news  chan struct{} // closed by the first question, and by the end
	posed []posed       // questions that the client has not answered
	asked int           // questions so far
	size  int           // bytes that it takes in the parking
	timer *time.Timer   // ends it
	over  bool
}

// vigilPlace is one task of one caller.
type vigilPlace struct {
	of taskCaller
	id string // the server's
}

// vigils are those under way, at most one for each task. What they take counts as calls that are parked do.
type vigils struct {
	mu  sync.Mutex
	all map[vigilPlace]*vigil
}

// vigilSize is what one takes without any question.
const vigilSize = 1 << 10

func (v *vigils) at(place vigilPlace) *vigil {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.all[place]
}

// vigil is the one for the task at hand, begun if there is none; nil: there is no room.
func (t *turn) vigil(to *target, conn *upstream.Conn) *vigil {
	p, l := t.proxy, to.server.link
	place := vigilPlace{t.taskCaller(l), t.task.theirs}
	p.vigils.mu.Lock()
	defer p.vigils.mu.Unlock()
	if v := p.vigils.all[place]; v != nil {
		return v
	}
	v := &vigil{at: place, p: p, link: l, user: place.of.user, prefix: askKey + "-" + randomName(), news: make(chan struct{}), size: vigilSize}
	if !p.parking.admit(v.user, v.size) {
		return nil
	}
	l.uses.Add(1) // on top of this request's
	ctx, stop := context.WithCancel(t.passingIn(p.background, to.server))
	v.stop = stop
	v.timer = time.AfterFunc(p.config.Asking.Time, stop)
	p.vigils.all[place] = v
	p.goroutines.Go(func() {
		defer v.end()
		v.keep(ctx, conn)
	})
	return v
}

func randomName() string {
	random := make([]byte, 8)
	rand.Read(random)
	return hex.EncodeToString(random)
}

// keep reads what the server says until the result is there. What that is the client asks for when it hears that the task is over.
func (v *vigil) keep(ctx context.Context, conn *upstream.Conn) {
	call := aboutTask("tasks/result", v.at.id)
	call.Timeout = taskWait
	ex, err := conn.Do(ctx, call)
	if err != nil {
		return
	}
	defer ex.Close()
	ex.Hold() // the server has nothing to say before the task's end, and that is no sign of trouble
	for {
		m, err := ex.Next()
		if err != nil || m.Kind == rpc.Response || m.Kind == rpc.ErrorResponse {
			return
		}
		switch {
		case m.Kind == rpc.Request:
			if asked := ex.Asked(&m); !v.concerns(&m) || !v.pose(asked, &m) {
				asked.Refuse(*notAble(m.Method))
			}
		case m.Method == "notifications/cancelled":
			v.withdraw(find(m.Params, "requestId"))
		}
	}
}

// concerns says whether a question is about the task: it says so, or it does not say about which it is and comes where such questions come.
func (v *vigil) concerns(m *rpc.Message) bool {
	id := relatedTask(m.Params)
	return id == "" || id == v.at.id
}

// pose keeps a question for the client. False: it is over.
func (v *vigil) pose(asked *upstream.Asked, m *rpc.Message) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over {
		return false
	}
	q := posed{asked: asked, input: input{key: v.prefix + "-" + strconv.Itoa(v.asked+1), method: m.Method, params: slices.Clone(orEmpty(asPlain(m.Params)))}}
	if len(v.posed) == maxInputs || !v.p.parking.grow(q.size()) {
		q.refuse(sayTooMany)
		return true
	}
	if v.asked++; v.asked == 1 {
		close(v.news)
	}
	v.size += q.size()
	v.posed = append(v.posed, q)
	v.timer.Reset(v.p.config.Asking.Time)
	return true
}

// withdraw drops a question that the server takes back.
func (v *vigil) withdraw(id []byte) {
	v.take(func(q posed) bool { return id != nil && string(q.asked.ID()) == string(id) })
}

// take takes those of the questions of which pick says so.
func (v *vigil) take(pick func(posed) bool) (taken []posed) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.posed = slices.DeleteFunc(v.posed, func(q posed) bool {
		picked := pick(q)
		if picked {
			taken = append(taken, q)
			v.size -= q.size()
			v.p.parking.grow(-q.size())
		}
		return picked
	})
	if len(taken) > 0 && !v.over {
		v.timer.Reset(v.p.config.Asking.Time)
	}
	return taken
}

// open are the questions that wait for the client.
func (v *vigil) open() []posed {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.posed)
}

// end answers the server for a client that has not.
func (v *vigil) end() {
	v.p.vigils.mu.Lock()
	delete(v.p.vigils.all, v.at)
	v.p.vigils.mu.Unlock()
	v.mu.Lock()
	v.over = true
	v.timer.Stop()
	if v.asked == 0 {
		close(v.news)
	}
	left := v.posed
	v.posed = nil
	v.p.parking.leave(v.user, v.size)
	v.mu.Unlock()
	for _, q := range left {
		q.refuse(sayTooLate)
	}
	v.stop()
	v.link.release()
}

// vigilWait is how long a client that asks how its task is waits for a first question, if the server says that it has one.
const vigilWait = 2 * time.Second

// first waits for the first question.
func (v *vigil) first(ctx context.Context) {
	timer := time.NewTimer(vigilWait)
	defer timer.Stop()
	select {
	case <-v.news:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// poseAside gives a question of a standing stream to the task that it says it is about. False: it says none, or nobody keeps vigil for that.
func (v *vigils) poseAside(of taskCaller, m *rpc.Message, asked *upstream.Asked) bool {
	id := relatedTask(m.Params)
	if id == "" {
		return false
	}
	found := v.at(vigilPlace{of, id})
	return found != nil && found.pose(asked, m)
}
