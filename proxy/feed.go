package proxy

import (
	"bytes"
	"container/list"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"mcpsidecar/proxy/rpc"
)

// Resuming bounds what is kept for legacy clients that lose a connection. Zero values mean the defaults in brackets.
type Resuming struct {
	Prime      time.Duration // after which a request that is still silent begins its stream, so that its client can come back [2s]
	Time       time.Duration // for how long a client may be away [5m]
	Standing   time.Duration // and be sent what a server says outside of calls all the same [1m]
	PerSession int           // bytes of events [4 MiB]
	UserBytes  int64         // bytes of events of all sessions of one user [16 MiB]
	Overall    int64         // bytes of events of all sessions [64 MiB]
	PerUser    int           // calls that go on without their client, of one user [16]
	All        int           // of all users [1024]
}

func (r Resuming) orDefaults() Resuming {
	if r.Time == 0 {
		r.Time = 5 * time.Minute
	}
	if r.Prime == 0 {
		r.Prime = 2 * time.Second
	}
	if r.Standing == 0 {
		r.Standing = time.Minute
	}
	if r.PerSession == 0 {
		r.PerSession = 4 << 20
	}
	if r.UserBytes == 0 {
		r.UserBytes = 16 << 20
	}
	if r.Overall == 0 {
		r.Overall = 64 << 20
	}
	if r.PerUser == 0 {
		r.PerUser = 16
	}
	if r.All == 0 {
		r.All = 1024
	}
	return r
}

// Bounds in numbers.
const (
	maxFeeds     = 64   // streams of a session that are kept
	maxKept      = 4096 // events of one stream
	keptStanding = 16   // events of a standing stream that were sent already
	maxUnsent    = 64   // and that were not
)

// feed is one stream of events to a legacy client. It outlives the connections that carry it: events are added to it, and whoever carries it sends what comes after what the client has. What does not fit is given up, the
// oldest first.
type feed struct {
	// Fixed at creation.
	streamName
	name  string // as ids say it; empty: of a revision without them
	shelf *shelf

	// Guarded by the shelf.
	text    []byte        // the events that are kept, as they are sent
	ends    []int         // where each ends in text
	first   uint64        // the number of the first of them
	sent    uint64        // of the last that whoever carries it has sent
	over    bool          // nothing more is added
	lost    bool          // the last event did not fit
	arrived bool          // all of it, as far as anyone can tell
	carrier chan struct{} // of who carries it, and receives when there is more; nil: the request that it answers does; closed: somebody else does
	carried bool          // somebody does
	until   time.Time     // when nobody does: how long it is kept; for the answer to a request under way it is until that is over
	known   visible       // of a standing stream: the lists that the client knows

	spare [len(shares{})]*list.Element // where it stands in the shelf's larders; nil: it cannot be given up
}

// next is the number of the next event.
func (f *feed) next() uint64 { return f.first + uint64(len(f.ends)) }

// shelf holds the feeds of one session.
type shelf struct {
	// Fixed at creation.
	ids     *eventIDs
	session string
	limits  *Resuming
	shares  shares
	now     func() time.Time

	mu     sync.Mutex // guards what follows, and the feeds; never held during I/O
	feeds  []*feed    // the oldest first
	bytes  int
	closed bool
}

// open makes a feed. nil: there are too many that are not over.
func (s *shelf) open(kind byte, request string, named bool) *feed {
	f := &feed{streamName: streamName{kind: kind, request: request}, first: 1, carried: true, shelf: s}
	rand.Read(f.number[:])
	if named {
		f.name = s.ids.write(s.session, f.streamName)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.feeds) >= maxFeeds && !s.dropOne() {
		return nil
	}
	s.feeds = append(s.feeds, f)
	return f
}

// dropOne makes room: the oldest feed goes that is over and that nobody reads.
func (s *shelf) dropOne() bool {
	i := slices.IndexFunc(s.feeds, func(f *feed) bool { return f.over && !f.carried })
	if i < 0 {
		return false
	}
	s.remove(i)
	return true
}

func (s *shelf) remove(i int) {
	s.clear(s.feeds[i])
	s.feeds = slices.Delete(s.feeds, i, i+1)
}

// drop removes a feed that is there.
func (s *shelf) drop(f *feed) { s.remove(slices.Index(s.feeds, f)) }

// clear gives up all events of a feed.
func (s *shelf) clear(f *feed) {
	s.account(-len(f.text))
	f.first, f.text, f.ends = f.next(), nil, nil
	s.shares.place(f)
}

func (s *shelf) account(bytes int) {
	s.bytes += bytes
	s.shares.add(int64(bytes))
}

// abandon gives up a feed for good, unless somebody else carries it.
func (s *shelf) abandon(f *feed, carrier chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.feeds, f); i >= 0 && f.carrier == carrier {
		s.remove(i)
	}
}

// close gives up everything.
func (s *shelf) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for len(s.feeds) > 0 {
		s.remove(len(s.feeds) - 1)
	}
}

// add adds an event. What does not fit is given up; to a standing stream it is not added at all. It returns its number, the event as it is sent, which is valid until the next one is added to this feed, or nil if it is not kept, and whether somebody else than the request carries the feed.
func (s *shelf) add(f *feed, pieces ...[]byte) (number uint64, event []byte, elsewhere bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.append(f, pieces)
}

// append does so for whoever holds mu. The feed is one of the shelf's, or the shelf is closed: what is added to another nobody gives up.
func (s *shelf) append(f *feed, pieces [][]byte) (number uint64, event []byte, elsewhere bool) {
	number, elsewhere = f.next(), f.carrier != nil
	size := len(f.name) + 64
	for _, piece := range pieces {
		size += len(piece)
	}
	switch {
	case !s.closed && s.room(f, size):
	case f.kind == standingStream:
		return 0, nil, elsewhere
	default:
		s.clear(f)
		f.first++
		f.lost = true
		return number, nil, elsewhere
	}
	from := len(f.text)
	f.text = appendEvent(f.text, f.name, number, pieces)
	f.ends = append(f.ends, len(f.text))
	f.lost = false
	s.account(len(f.text) - from)
	f.tell()
	return number, f.text[from:], elsewhere
}

// tell tells whoever carries the feed that there is more.
func (f *feed) tell() {
	select {
	case f.carrier <- struct{}{}:
	default:
	}
}

// room makes room for so many bytes, and says whether it could.
func (s *shelf) room(f *feed, size int) bool {
	fits := func() bool {
		return len(f.ends) < maxKept && s.bytes+size <= s.limits.PerSession && s.shares.fit(int64(size))
	}
	if size > s.limits.PerSession || f.kind == standingStream && f.unsent() >= maxUnsent {
		return false
	}
	for !fits() {
		spare := (len(f.ends) + 1) / 2
		if f.kind == standingStream {
			spare = len(f.ends) - f.unsent()
		}
		if !s.dropOne() && (s.shares.fit(int64(size)) || !s.shares.makeRoom(s, int64(size))) && !s.trim(f, spare) {
			return false
		}
	}
	return true
}

// unsent is how many of the events that are kept have not been sent yet.
func (f *feed) unsent() int { return int(f.next() - max(f.sent+1, f.first)) }

// trim gives up the oldest events of a feed, and says whether there were any.
func (s *shelf) trim(f *feed, count int) bool {
	if count == 0 {
		return false
	}
	cut := f.ends[count-1]
	s.account(-cut)
	f.text = f.text[:copy(f.text, f.text[cut:])]
	f.ends = f.ends[:copy(f.ends, f.ends[count:])]
	for i := range f.ends {
		f.ends[i] -= cut
	}
	f.first += uint64(count)
	if len(f.ends) == 0 {
		f.text, f.ends = nil, nil
	}
	return true
}

// appendEvent appends one event. A message that was written over several lines becomes several data lines.
func appendEvent(dst []byte, name string, number uint64, pieces [][]byte) []byte {
	dst = appendEventHead(dst, name, number)
	if slices.ContainsFunc(pieces, hasBreak) {
		return append(dst, rpc.AppendEvent(nil, "", bytes.Join(pieces, nil))[len(eventLine):]...)
	}
	dst = append(dst, dataField...)
	for _, piece := range pieces {
		dst = append(dst, piece...)
	}
	return append(dst, eventTail...)
}

// find is the feed of that name, for whoever carries it from now on; nil: it is not kept.
func (s *shelf) find(name streamName) *feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.feeds, func(f *feed) bool { return f.streamName == name })
	if i < 0 || s.feeds[i].expired(s.now()) {
		return nil
	}
	s.feeds[i].carried = true // and so it is given up by nobody
	s.shares.place(s.feeds[i])
	return s.feeds[i]
}

// expired says that nobody came back for it in time.
func (f *feed) expired(now time.Time) bool {
	return !f.carried && !now.Before(f.until) && (f.over || f.kind == standingStream)
}

// carry makes somebody the one who carries a feed, in place of whoever did.
func (s *shelf) carry(f *feed) (carrier chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.carrier != nil {
		close(f.carrier)
	}
	f.carrier, f.carried = make(chan struct{}, 1), true
	if !f.over {
		f.until = time.Time{}
	}
	s.shares.place(f)
	return f.carrier
}

// batch is what somebody who carries a feed has to send next.
type batch struct {
	text      []byte
	upTo      uint64 // the number of the last event in it
	over      bool   // that was all
	lost      bool   // and the last event was not kept
	displaced bool   // somebody else carries it on now
}

// batchSize is how much is copied at once, if a single event is not more.
const batchSize = 64 << 10

// after copies what comes after an event. Events that are not kept any more are passed over.
func (s *shelf) after(f *feed, carrier chan struct{}, number uint64) (b batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.carrier != carrier || s.closed {
		return batch{displaced: true}
	}
	from := int(min(max(number+1, f.first)-f.first, uint64(len(f.ends))))
	f.sent = f.first + uint64(from) - 1
	start, end, to := 0, 0, from
	if from > 0 {
		start = f.ends[from-1]
	}
	for end = start; to < len(f.ends) && (to == from || f.ends[to]-start <= batchSize); to++ {
		end = f.ends[to]
	}
	b.text, b.upTo = bytes.Clone(f.text[start:end]), f.first+uint64(to)-1
	b.over = f.over && to == len(f.ends)
	b.lost = b.over && f.lost && number < b.upTo
	if f.kind == standingStream && from > keptStanding {
		s.trim(f, from-keptStanding)
	}
	return b
}

// leave ends that somebody carries a feed; the client may come back for some time.
func (s *shelf) leave(f *feed, carrier chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.carrier != carrier {
		return
	}
	f.carried = false
	s.shares.place(f)
	if !f.until.IsZero() { // to come back again and again makes nothing last longer
		return
	}
	grace := s.limits.Time
	if f.kind == standingStream {
		grace = s.limits.Standing
	}
	f.until = s.now().Add(grace)
}

// knows says which lists the client of a standing stream knows.
func (s *shelf) knows(f *feed) visible {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.known
}

// learned notes that it knows others now.
func (s *shelf) learned(f *feed, carrier chan struct{}, known visible) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.carrier == carrier {
		f.known = known
	}
}

// finish says that nothing more is added to the feed of an answer. sent: the request's own connection took all of it, as far as anyone can tell.
func (s *shelf) finish(f *feed, sent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.over = true
	f.tell()
	switch {
	case f.carrier != nil && f.carried:
	case sent && f.carrier == nil:
		f.carried, f.arrived, f.until = false, true, s.now().Add(min(s.limits.Time, sentTime))
	default:
		f.carried, f.until = false, s.now().Add(s.limits.Time)
	}
	s.shares.place(f)
}

// sentTime is how long an answer is kept that seems to have arrived: a connection that breaks says so late.
const sentTime = 30 * time.Second

// expire gives up what nobody came back for, and says whether standing streams were among it.
func (s *shelf) expire(now time.Time) (standing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.feeds) - 1; i >= 0; i-- {
		f := s.feeds[i]
		if !f.expired(now) {
			continue
		}
		standing = standing || f.kind == standingStream
		s.remove(i)
	}
	return standing
}

// elsewhere says whether somebody else than the request that a feed answers carries it.
func (s *shelf) elsewhere(f *feed) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.carrier != nil && f.carried
}

// press gives up what seems to have arrived already, for the sake of others.
func (s *shelf) press() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.feeds) - 1; i >= 0; i-- {
		if f := s.feeds[i]; f.arrived && !f.carried {
			s.remove(i)
		}
	}
}

// say adds a message to one standing stream, which one that is carried is before any other. False: there is none, or it takes nothing.
func (s *shelf) say(message []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.chosen()
	if f == nil {
		return false
	}
	_, event, _ := s.append(f, [][]byte{message})
	return event != nil
}

// standing is the stream on which messages are sent; nil: there is none.
func (s *shelf) standing() *feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chosen()
}

// chosen is that for whoever holds mu.
func (s *shelf) chosen() (chosen *feed) {
	for _, f := range s.feeds {
		if f.kind == standingStream && (chosen == nil || f.carried && !chosen.carried) {
			chosen = f
		}
	}
	return chosen
}
