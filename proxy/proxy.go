package proxy

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/caller"
	"mcpsidecar/internal/metrics"
	"mcpsidecar/internal/trace"
	"mcpsidecar/policy"
	"mcpsidecar/proxy/upstream"
)

// Config is what a Proxy needs. All fields are required unless they say otherwise.
type Config struct {
	Callers interface {
		Authenticate(*http.Request) (*caller.Identity, error)
	}
	Client     *http.Client // guarded, towards servers
	SessionKey [32]byte     // seals session ids; the same key after a restart keeps sessions valid
	Metrics    *metrics.Metrics
	Audit      *audit.Log
	// Baseline stores the first catalog that was seen of a server, at the revision it was fetched under, and makes Load happen before it returns. It is told again with the next fetch until Load shows a baseline.
	Baseline  func(ctx context.Context, serverID string, revision uint64, first policy.Baseline) error
	Memory    Memory        // what sessions ask for, across restarts; nil: it ends with the process
	Grants    Grants        // of users at servers of auth_type oauth2; nil: there are none
	Tracer    *trace.Tracer // nil: nothing is traced, and contexts of others are passed on as they come
	Version   string
	MaxBody   int              // bytes of a request [4 MiB]
	PerCaller int              // requests of one user under way at the same time; one with a large body counts once more for each MiB of it [1024]
	PerServer int              // calls under way at one server whose record has no max_concurrent [1024]
	Streams   int              // standing streams of one user [4096]
	Watches   int              // resources that one user has subscribed to, each session and stream by itself [4096]
	Sessions  int              // sessions of one user that are held in memory [16384]
	Asking    Asking           // zero values are the defaults
	Resuming  Resuming         // zero values are the defaults
	Waiting   Waiting          // zero values are the defaults
	Limits    upstream.Limits  // zero values are the defaults
	Logger    *slog.Logger     // nil: discards
	Now       func() time.Time // nil: time.Now
}

// Proxy answers MCP requests. Safe for concurrent use.
type Proxy struct {
	// fixed at creation
	config   Config
	log      *slog.Logger
	now      func() time.Time
	instance string          // tells our own requests when they come back to us
	info     []byte          // who we say we are, as JSON
	all      *metrics.Server // counts what concerns no single server
	sealer   *sealer
	sessions *sessions
	callers  *modernCallers
	busy     *busy
	waiting  *busy // calls that wait for people
	watching *busy // subscriptions to resources
	hearing  *busy // standing streams
	parking  *parking
	vigils   vigils
	orphans  *orphans
	kept     *larder // of events for clients that may come back
	keptOf   larders // the same of each user
	ids      eventIDs
	tasks    *taskBook
	results  *keptResults // of calls that were made as tasks
	work     *work
	hub      *hub

	snapshot atomic.Pointer[snapshot]

	loading sync.Mutex // held while Load builds the next snapshot
	closed  bool       // guarded by loading: nothing is loaded any more

	stop       context.CancelFunc // ends the sweeper and every fetch
	background context.Context
	goroutines sync.WaitGroup
}

// New returns a Proxy that serves nothing until Load.
func New(config Config) (*Proxy, error) {
	if config.Callers == nil || config.Client == nil || config.Metrics == nil || config.Audit == nil || config.Baseline == nil {
		return nil, errors.New("proxy: Callers, Client, Metrics, Audit and Baseline are required")
	}
	fillDefaults(&config)
	sealer, err := newSealer(config.SessionKey)
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		config:   config,
		log:      config.Logger,
		now:      config.Now,
		instance: randomID(),
		info:     serverInfo(config.Version),
		all:      config.Metrics.Server(metrics.AllServers),
		sealer:   sealer,
		callers:  newModernCallers(config.Now),
		busy:     newBusy(int64(config.PerCaller)),
		waiting:  newBusy(int64(config.PerCaller)),
		watching: newBusy(int64(config.Watches)),
		hearing:  newBusy(int64(config.Streams)),
		parking:  newParking(config.Asking),
		vigils:   vigils{all: map[vigilPlace]*vigil{}},
		orphans:  newOrphans(config.Resuming),
		kept:     &larder{limit: config.Resuming.Overall},
		keptOf:   larders{limit: config.Resuming.UserBytes},
		ids:      newEventIDs(config.SessionKey),
		tasks:    newTaskBook(config.Now),
		results:  newKeptResults(config.Now),
		work:     newWork(),
		hub:      newHub(),
	}
	p.sessions = newSessions(config.Now, config.Sessions, p.newShelf, p.recall)
	p.snapshot.Store(&snapshot{})
	p.background, p.stop = context.WithCancel(context.Background())
	p.goroutines.Go(p.sweep)
	p.goroutines.Go(p.attend)
	return p, nil
}

func fillDefaults(config *Config) {
	if config.MaxBody == 0 {
		config.MaxBody = 4 << 20
	}
	if config.PerCaller == 0 {
		config.PerCaller = 1024
	}
	if config.PerServer == 0 {
		config.PerServer = 1024
	}
	config.Streams = cmp.Or(config.Streams, 4096)
	config.Watches = cmp.Or(config.Watches, 4096)
	config.Sessions = cmp.Or(config.Sessions, 16384)
	config.Asking = config.Asking.orDefaults()
	config.Resuming = config.Resuming.orDefaults()
	config.Waiting = config.Waiting.orDefaults()
	if config.Memory == nil {
		config.Memory = noMemory{}
	}
	if config.Grants == nil {
		config.Grants = noGrants{}
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
}

func randomID() string {
	random := make([]byte, 16)
	rand.Read(random) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(random)
}

// Load makes the proxy use this configuration from the next request on. Servers whose way of connecting is unchanged keep their connections, sessions and lists.
func (p *Proxy) Load(stored configstore.Snapshot) {
	p.loading.Lock()
	defer p.loading.Unlock()
	old := p.snapshot.Load()
	if p.closed || old.revision > stored.Revision {
		return // a slower reader of an older state
	}
	next, gone := p.compile(stored, old)
	p.snapshot.Store(next)
	for _, l := range gone {
		l.retire()
	}
	p.dropMetrics(old, next)
	p.hub.end(func(user string) bool { return old.ended(next, user) })
	p.hub.wake()
}

// dropMetrics forgets the series of servers that are configured no more.
func (p *Proxy) dropMetrics(old, next *snapshot) {
	for _, s := range old.servers {
		if next.bySlug[s.slug] == nil {
			p.config.Metrics.Drop(s.slug)
		}
	}
}

// Drain refuses new work with 503, ends standing streams gracefully, and returns when no request is under way or ctx ends.
func (p *Proxy) Drain(ctx context.Context) {
	p.work.drain()
	p.hub.close()
	p.work.wait(ctx)
}

// Close ends everything and returns after its goroutines.
func (p *Proxy) Close() {
	p.work.drain()
	p.hub.close()
	p.stop()
	p.loading.Lock()
	old := p.snapshot.Load()
	p.closed = true
	p.snapshot.Store(&snapshot{revision: old.revision})
	p.loading.Unlock()
	p.parking.close()
	p.sessions.closeAll()
	p.callers.closeAll()
	for _, s := range old.servers {
		if s.link != nil {
			s.link.close()
		}
	}
	p.goroutines.Wait()
}

// sweepEvery is how often what nobody uses any more is looked for.
const sweepEvery = time.Minute

// sweep ends sessions, connections and listeners that have been idle for long.
func (p *Proxy) sweep() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.background.Done():
			return
		case <-ticker.C:
			p.sessions.sweep()
			p.renew()
			p.callers.sweep()
			p.tasks.sweep()
			p.results.sweep()
			for _, s := range p.snapshot.Load().servers {
				if s.link != nil {
					s.link.sweep(p.now())
				}
			}
		}
	}
}
