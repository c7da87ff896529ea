package credential

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
)

type key = configstore.GrantKey

// held is a grant as it is handed out. It is fixed at creation.
type held struct {
	grant     configstore.Grant
	header    secret.Value // of Authorization; zero: there is no token
	refreshAt time.Time    // from then on a new token is wanted; zero: never
	until     time.Time    // from then on the token is not sent any more; zero: never
	refused   time.Time    // until then the server is believed to refuse it, and there is no other; zero: it is not
}

// ahead is how long before its expiry a token is refreshed: a tenth of its life, at most a minute, and up to half of that less, so that tokens given together are not refreshed together.
func ahead(life time.Duration) time.Duration {
	window := min(life/10, time.Minute)
	if window <= 0 {
		return 0
	}
	return window - rand.N(window/2+1)
}

// again is how long a token is used that was over when a refresh brought it, and how long a server that refuses a fresh token is believed.
const again = 30 * time.Second

func hold(grant configstore.Grant) *held {
	h := &held{grant: grant}
	if !grant.AccessToken.IsZero() {
		h.header = secret.New("Bearer " + grant.AccessToken.Reveal())
	}
	if grant.Expiry.IsZero() {
		return h
	}
	h.until = grant.Expiry
	life := grant.Expiry.Sub(grant.ObtainedAt)
	if life <= 0 && grant.Refreshed {
		h.until = grant.ObtainedAt.Add(again) // a refresh gave no better one: asking for each call would give none either
	}
	h.refreshAt = h.until.Add(-ahead(life))
	return h
}

// fresh says that the token can be sent and nothing needs to be done.
func (h *held) fresh(now time.Time) bool {
	return !h.header.IsZero() && (h.refreshAt.IsZero() || now.Before(h.refreshAt)) && h.refused.IsZero()
}

// valid says that the token can be sent.
func (h *held) valid(now time.Time) bool {
	return !h.header.IsZero() && (h.until.IsZero() || now.Before(h.until))
}

// identity is what Server.OAuthBinding is made of.
type identity struct {
	auth                         configstore.AuthType
	url, issuer, client, tokenAt string
}

func identify(server *configstore.Server) identity {
	return identity{server.AuthType, server.URL, server.OAuth2Issuer, server.OAuth2ClientID, server.OAuth2TokenURL}
}

// fits says that the server is still what the grant was given for.
func (h *held) fits(server *configstore.Server) bool {
	return server.AuthType == configstore.AuthOAuth2 && h.grant.Binding == server.OAuthBinding()
}

// memory keeps grants that were read from the store. Reading takes no lock.
//
// An entry comes only from the store, and only if nothing was dropped since before the store was read: otherwise a slow reader could bring back what a disconnect has just dropped.
type memory struct {
	grants sync.Map // key to *slot; an entry lives as long as its grant

	mu    sync.Mutex
	epoch atomic.Uint64 // mu guards writing: counts what was dropped
}

// slot is a held grant, with the server that it was last found to fit: comparing is cheaper than hashing.
type slot struct {
	held   *held
	fitted atomic.Pointer[identity]
}

func (s *slot) fits(server *configstore.Server) bool {
	if known := s.fitted.Load(); known != nil && *known == identify(server) {
		return true
	}
	if !s.held.fits(server) {
		return false
	}
	fitted := identify(server)
	s.fitted.Store(&fitted)
	return true
}

func (m *memory) get(k key) *slot {
	value, _ := m.grants.Load(k)
	s, _ := value.(*slot)
	return s
}

// put keeps a grant that was read after epoch was, unless something was dropped since.
func (m *memory) put(k key, h *held, epoch uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.epoch.Load() != epoch {
		return false
	}
	m.grants.Store(k, &slot{held: h})
	return true
}

// drop forgets a grant, and whatever of it is being read.
func (m *memory) drop(k key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch.Add(1)
	m.grants.Delete(k)
}

// dropServer forgets all grants for a server.
func (m *memory) dropServer(id string) {
	m.grants.Range(func(k, _ any) bool {
		if k.(key).ServerID == id {
			m.drop(k.(key))
		}
		return true
	})
	m.stale()
}

// stale makes what is being read be read again.
func (m *memory) stale() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch.Add(1)
}

// sync forgets the grants that are not what the store has.
func (m *memory) sync(marks map[key]string) {
	m.grants.Range(func(k, value any) bool {
		if marks[k.(key)] != value.(*slot).held.grant.Mark {
			m.drop(k.(key))
		}
		return true
	})
}
