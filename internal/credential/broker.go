package credential

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/discovery"
)

// Discoverer finds out how a server signs users in; *discovery.Client does.
type Discoverer interface {
	Discover(ctx context.Context, server discovery.Server) (discovery.Metadata, error)
	Rediscover(ctx context.Context, server discovery.Server) (discovery.Metadata, error)
	Register(ctx context.Context, metadata discovery.Metadata, client discovery.ClientMetadata) (discovery.Registration, error)
}

// Config is what a Broker needs.
type Config struct {
	Store       *configstore.Store // required
	Discovery   Discoverer         // required
	HTTP        *http.Client       // required: the client for strangers, as internal/outbound makes it; no redirect is followed whatever it says
	PublicURL   string             // required: where browsers reach us, without a path or with one; redirect URIs and links begin with it
	DocumentURL string             // of our Client ID Metadata Document, by https; empty: nowhere
	Name        string             // as which we register [mcp-sidecar]
	Locker      Locker             // across replicas; nil: there is one replica

	// Refreshed is told each refresh that asked a provider, Changed each connection that began or ended; may be nil. Neither may call the Broker and wait for it.
	Refreshed func(serverID string, result Result)
	Changed   func(serverID, user string)
	Logger    *slog.Logger // nil: says nothing

	RequestTimeout time.Duration // of one request to a provider [30s]
	TokenRate      int           // token requests a second that one provider gets from here [20]
}

// Result is how a refresh ended.
type Result string

// The results of refreshes.
const (
	ResultOK        Result = "ok"
	ResultTransient Result = "transient" // what there is stays
	ResultEnded     Result = "ended"     // the grant is over
	ResultLost      Result = "lost"      // the grant was ended or replaced meanwhile
)

// Broker brings accounts to servers. Safe for concurrent use.
type Broker struct {
	// Fixed at creation.
	store          *configstore.Store
	discovery      Discoverer
	http           *http.Client
	public         string
	document       string
	name           string
	locker         Locker
	refreshed      func(string, Result)
	changed        func(string, string)
	logger         *slog.Logger
	requestTimeout time.Duration
	ctx            context.Context // of the Broker's own work; ends with Close
	stop           context.CancelFunc
	following      sync.WaitGroup // follow
	working        sync.WaitGroup // every flight and revoker
	turns          *turns

	memory memory
	links  linkCache

	mu       sync.Mutex
	closed   bool                // mu guards: no flight and no revoker begins any more
	flights  map[key]*flight     // mu guards; an entry lives while its refresh runs
	trouble  map[key]*trouble    // mu guards; an entry lives until a refresh goes well, or its grant is gone
	partings map[key]string      // mu guards: why connections were ended that are not there any more; an entry lives until its user has connected anew
	leaving  []configstore.Grant // mu guards: what is to be revoked
	revokers int                 // mu guards: how many goroutines do that
}

// New returns a Broker and starts to follow the store.
func New(config Config) (*Broker, error) {
	if config.Store == nil || config.Discovery == nil {
		return nil, errors.New("the broker needs a store and discovery")
	}
	if config.HTTP == nil || config.HTTP.Transport == nil { // one without a transport of its own dials anything, by way of whatever the environment says
		return nil, errors.New("the broker needs the HTTP client for strangers")
	}
	public, err := url.Parse(config.PublicURL)
	if err != nil || public.Host == "" || public.Scheme != "https" && public.Scheme != "http" || public.RawQuery != "" || public.Fragment != "" || public.User != nil {
		return nil, errors.New("the broker needs a public URL of http or https, without a query")
	}
	b := &Broker{
		store: config.Store, discovery: config.Discovery, http: config.HTTP, public: strings.TrimRight(config.PublicURL, "/"), document: config.DocumentURL, name: config.Name,
		locker: config.Locker, refreshed: config.Refreshed, changed: config.Changed, logger: config.Logger, requestTimeout: config.RequestTimeout,
		flights: map[key]*flight{}, trouble: map[key]*trouble{}, partings: map[key]string{},
	}
	b.complete()
	b.ctx, b.stop = context.WithCancel(context.Background())
	b.turns = newTurns(float64(cmp.Or(config.TokenRate, 20)))
	b.following.Go(b.follow)
	return b, nil
}

func (b *Broker) complete() {
	if b.name == "" {
		b.name = "mcp-sidecar"
	}
	if b.locker == nil {
		b.locker = &LocalLocker{}
	}
	if b.refreshed == nil {
		b.refreshed = func(string, Result) {}
	}
	if b.changed == nil {
		b.changed = func(string, string) {}
	}
	if b.logger == nil {
		b.logger = slog.New(slog.DiscardHandler)
	}
	if b.requestTimeout <= 0 {
		b.requestTimeout = 30 * time.Second
	}
}

// How long requests may end by themselves: a refresh that is cut off after the provider has changed the refresh token loses the grant.
const (
	closeGrace = 10 * time.Second
	leastGrace = 2 * time.Second
)

// Close lets the refreshes and revocations under way end, for 10 seconds at most, and returns after all goroutines. Close it before the store.
func (b *Broker) Close() error { return b.CloseWithin(closeGrace) }

// CloseWithin is Close for whoever has less time than that. Two seconds are granted in any case.
func (b *Broker) CloseWithin(grace time.Duration) error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.turns.close() // who still waits for a turn has nothing to lose
	done := make(chan struct{})
	go func() { defer close(done); b.working.Wait() }()
	timer := time.NewTimer(min(max(grace, leastGrace), closeGrace))
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		b.giveUpLeaving()
		b.stop()
		<-done
	}
	b.stop()
	b.following.Wait()
	return nil
}

// RedirectURI is where a server's provider sends browsers back to. Providers have it pinned, so its path never changes.
func (b *Broker) RedirectURI(serverID string) string {
	return b.public + "/api/experimental/mcp/servers/" + url.PathEscape(serverID) + "/oauth2/callback"
}

// pause is how long several writes of the store are looked at as one.
const pause = 200 * time.Millisecond

// follow keeps the memory to what the store has.
func (b *Broker) follow() {
	for range b.store.Watch(b.ctx) {
		b.memory.stale() // before the store is read: who reads at the same time reads again
		marks, err := b.store.GrantMarks(b.ctx)
		if err != nil {
			if b.ctx.Err() == nil {
				b.logger.Error("grants could not be compared with the store; all are read anew", "error", err)
			}
			b.memory.sync(nil)
		} else {
			b.memory.sync(marks)
			b.forget(marks)
		}
		select {
		case <-time.After(pause):
		case <-b.ctx.Done():
		}
	}
}

// forget drops the troubles of grants that are gone, and the ends of those that are there.
func (b *Broker) forget(marks map[key]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k := range b.trouble {
		if _, there := marks[k]; !there {
			delete(b.trouble, k)
		}
	}
	for k := range b.partings {
		if _, there := marks[k]; there {
			delete(b.partings, k)
		}
	}
}

// server reads a server that users can connect to.
func (b *Broker) server(ctx context.Context, id string) (configstore.Server, error) {
	server, err := b.store.Server(ctx, id)
	switch {
	case err != nil:
		return configstore.Server{}, err
	case server.AuthType != configstore.AuthOAuth2:
		return configstore.Server{}, fmt.Errorf("server %s: %w", server.Slug, ErrNotOAuth2)
	}
	return server, nil
}
