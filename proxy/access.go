package proxy

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
	"mcpsidecar/proxy/upstream"
)

// ErrSignIn says that only the user can help, by connecting an account. What Grants returns wraps it then.
var ErrSignIn = errors.New("the user has to connect an account")

// Grants has the users' own credentials for servers of auth_type oauth2. Safe for concurrent use.
type Grants interface {
	// Token returns what to send as Authorization to a server on a user's behalf. It answers from memory where it can, may wait for a refresh, and never gives another user's. refused is what the server has just
	// answered 401 to, or zero.
	Token(ctx context.Context, server *configstore.Server, user string, refused secret.Value) (secret.Value, error)
	// NewLink returns a link by which the user connects an account; scopes are what a challenge asked for, or nil.
	NewLink(ctx context.Context, serverID, user string, scopes []string) (string, error)
	// Why says in words for its user why the account that was connected cannot be used any more; empty: there was none, or nothing is known.
	Why(ctx context.Context, server *configstore.Server, user string) string
}

// noGrants is for a program without accounts: a server that needs one cannot be used.
type noGrants struct{}

var errNoGrants = errors.New("this sidecar keeps no accounts")

func (noGrants) Token(context.Context, *configstore.Server, string, secret.Value) (secret.Value, error) {
	return secret.Value{}, errNoGrants
}

func (noGrants) NewLink(context.Context, string, string, []string) (string, error) {
	return "", errNoGrants
}

func (noGrants) Why(context.Context, *configstore.Server, string) string { return "" }

// access is one user's way to prove itself to a server, or everyone's where an admin stored the credential. It makes the headers of requests, and keeps the list that the server shows to this credential.
type access struct {
	// fixed at creation
	link  *link
	user  string // empty: nobody's in particular
	lists *lists

	last atomic.Pointer[proof] // what was sent last
	used atomic.Int64          // unix seconds
}

// proof is a token and the headers that carry it; it is immutable.
type proof struct {
	token  secret.Value
	header http.Header
}

func newAccess(p *Proxy, l *link, user string) *access {
	a := &access{link: l, user: user}
	a.lists = newLists(p, a)
	return a
}

// header is the headers of one request to the server, from nothing. What proves us wins over what the agent sent.
func (a *access) header(ctx context.Context, refused bool) (http.Header, error) {
	along, _ := ctx.Value(passedKey{}).(*passed)
	base := a.link.plain
	if a.user != "" {
		shown, err := a.prove(ctx, along, refused)
		if err != nil {
			return nil, err
		}
		base = shown.header
	}
	if along.isNothing() {
		return base, nil
	}
	return along.over(base, a.link.instance), nil
}

// prove has a token, another one if the server refused the last. Which one that was, a request knows by what it carries along.
func (a *access) prove(ctx context.Context, along *passed, refused bool) (*proof, error) {
	var before secret.Value
	if refused {
		if sent := along.proof(); sent != nil {
			before = sent.token
		} else if last := a.last.Load(); last != nil {
			before = last.token
		}
	}
	token, err := a.link.token(ctx, a.user, before)
	if err != nil {
		return nil, err
	}
	shown := a.last.Load()
	if shown == nil || !shown.token.Same(token) {
		shown = &proof{token: token, header: a.link.plain.Clone()}
		shown.header["Authorization"] = []string{token.Reveal()}
		a.last.Store(shown)
	}
	if along != nil {
		along.sent.Store(shown)
	}
	return shown, nil
}

// proof is what a request has proved itself with; nil: with nothing so far.
func (along *passed) proof() *proof {
	if along == nil {
		return nil
	}
	return along.sent.Load()
}

// accesses are the ways to one server: everyone's, and where users have accounts of their own one for each.
type accesses struct {
	everyone *access
	own      sync.Map // user → *access
}

// of is the way of one user to a server. Without an account it is everyone's, which then carries no credential; needs says that the user has to connect one before anything can be called.
func (l *link) of(ctx context.Context, user string) (a *access, needs bool) {
	if l.record.AuthType != configstore.AuthOAuth2 {
		return l.ways.everyone, false
	}
	if _, err := l.token(ctx, user, secret.Value{}); errors.Is(err, ErrSignIn) {
		return l.ways.everyone, true
	}
	value, ok := l.ways.own.Load(user)
	if !ok {
		value, _ = l.ways.own.LoadOrStore(user, newAccess(l.p, l, user))
	}
	a = value.(*access)
	a.used.Store(l.p.now().Unix())
	return a, false
}

// token has a user's token from the grants.
func (l *link) token(ctx context.Context, user string, refused secret.Value) (secret.Value, error) {
	if l.p.config.Tracer == nil {
		return l.grants.Token(ctx, &l.record, user, refused)
	}
	began := l.p.now()
	token, err := l.grants.Token(ctx, &l.record, user, refused)
	l.tellCredential(ctx, began, err)
	return token, err
}

// eachWay calls f for every way to the server.
func (l *link) eachWay(f func(*access)) {
	f(l.ways.everyone)
	l.ways.own.Range(func(_, value any) bool {
		f(value.(*access))
		return true
	})
}

// sweep forgets users who have not been here for long.
func (l *link) sweep(now time.Time) {
	l.ways.everyone.lists.sweep()
	limit := now.Add(-sessionIdle).Unix()
	l.ways.own.Range(func(user, value any) bool {
		a := value.(*access)
		if a.used.Load() < limit && !a.lists.board.any() {
			l.ways.own.Delete(user)
			a.lists.close()
			return true
		}
		a.lists.sweep()
		return true
	})
}

// GrantChanged tells the proxy that a user's connection to a server began or ended. What the user had open there is closed: the next account is another one's to the server, and must not go on with a session of the last.
func (p *Proxy) GrantChanged(serverID, user string) {
	for _, s := range p.snapshot.Load().servers {
		if s.id != serverID || s.link == nil {
			continue
		}
		if value, ok := s.link.ways.own.Load(user); ok {
			value.(*access).lists.board.left.Store(true) // before anybody finds the way of the next
		}
		if value, ok := s.link.ways.own.LoadAndDelete(user); ok {
			p.goroutines.Go(value.(*access).lists.close)
		}
		if left := append(p.sessions.leave(user, s.link), p.callers.leave(user, s.link)...); len(left) > 0 {
			p.goroutines.Go(func() { closeConns(left) })
		}
	}
	p.hub.wake()
}

// needsSignIn says whether a failure is one that only the user can mend, and which scopes the server asked for.
func needsSignIn(err error) (scopes []string, needs bool) {
	var f *upstream.Failure
	if !errors.As(err, &f) {
		return nil, errors.Is(err, ErrSignIn)
	}
	switch f.Kind {
	case upstream.Insufficient:
		return challengedScopes(f.Challenge), true
	case upstream.Unauthorized:
		return challengedScopes(f.Challenge), true
	case upstream.Credential:
		return nil, errors.Is(f.Err, ErrSignIn)
	}
	return nil, false
}
