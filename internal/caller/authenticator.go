package caller

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
)

// What Authenticate can say. All of them are about the request, but for
// ErrUnavailable, which says that nobody can be let in at the moment.
var (
	ErrNoCredential  = errors.New("no credential was given")
	ErrBadCredential = errors.New("the credential is not valid")
	ErrThrottled     = errors.New("too many failed attempts from this address")
	ErrUserRequired  = errors.New("a token of role agent must name exactly one user in Sidecar-User")
	ErrUserForbidden = errors.New("only a token of role agent may send Sidecar-User")
	ErrUserInvalid   = errors.New("Sidecar-User is not a valid user name")
	ErrUsers         = errors.New("the user is not known, and agents can make no more users known")
	ErrNewUsers      = errors.New("the token has named too many new users in a short time")
	ErrUnavailable   = errors.New("the caller cannot be recorded")
)

// ThrottledError is ErrThrottled or ErrNewUsers with the time after which to try again.
type ThrottledError struct {
	RetryAfter time.Duration
	Cause      error
}

func (e *ThrottledError) Error() string { return e.Cause.Error() }
func (e *ThrottledError) Unwrap() error { return e.Cause }

// Config is what an Authenticator needs.
type Config struct {
	// Bootstrap is the admin token from the environment; empty: there is none.
	Bootstrap string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Users is where the names are kept that agents act for. Nil: nowhere.
	Users Users
}

// Users keeps the known users. Safe for concurrent use. If it fails, so does the
// request that names a user whom the last Reload did not bring.
type Users interface {
	HasUser(ctx context.Context, name string) (bool, error)
	// EnsureUser makes one known, unless it is; configstore.ErrUsers: there are
	// too many.
	EnsureUser(ctx context.Context, name string) error
}

// Authenticator turns requests into identities. It is safe for concurrent use.
type Authenticator struct {
	// fixed at creation
	now          func() time.Time
	users        Users
	hasBootstrap bool
	bootstrap    [32]byte
	throttle     *throttle
	decoy        [32]byte // compared when no token has the id: it matches nothing

	index atomic.Pointer[index]
}

// index is what Reload publishes. The maps are never written to after that.
type index struct {
	tokens map[string]entry
	users  map[string]struct{} // the known ones, when this was made
	seen   sync.Map            // those that Users knows besides; dies with the index
}

type entry struct {
	hash     [32]byte
	expires  time.Time
	identity Identity
	pace     *pace // of an agent's new users; lives as long as the token
}

// New makes an Authenticator that knows the bootstrap token only, until Reload.
func New(config Config) (*Authenticator, error) {
	a := &Authenticator{now: config.Now, users: config.Users, decoy: Mint().Hash}
	if a.now == nil {
		a.now = time.Now
	}
	if config.Bootstrap != "" {
		if err := ValidBootstrap(config.Bootstrap); err != nil {
			return nil, err
		}
		a.hasBootstrap, a.bootstrap = true, sha256.Sum256([]byte(config.Bootstrap))
	}
	a.throttle = newThrottle(a.now)
	a.index.Store(&index{})
	return a, nil
}

// Reload replaces all tokens by these, and the users that need not be asked for
// by those. Records that no identity can be made of are left out: a token that
// cannot be read is a token that is not accepted.
func (a *Authenticator) Reload(tokens []configstore.APIToken, known ...configstore.User) {
	next, old := &index{tokens: make(map[string]entry, len(tokens)), users: make(map[string]struct{}, len(known))}, a.index.Load()
	for _, user := range known {
		next.users[user.Name] = struct{}{}
	}
	for _, token := range tokens {
		identity, err := identityOf(token)
		if err != nil {
			continue
		}
		pace := old.tokens[token.ID].pace
		if pace == nil {
			pace = newPace()
		}
		next.tokens[token.ID] = entry{hash: token.Hash, expires: token.ExpiresAt, identity: identity, pace: pace}
	}
	a.index.Store(next)
}

func identityOf(token configstore.APIToken) (Identity, error) {
	role, err := ParseRole(string(token.Role))
	if err != nil {
		return Identity{}, err
	}
	mode, err := policy.ParseMode(string(token.Mode))
	if err != nil {
		return Identity{}, err
	}
	agent, err := policy.ParseAgent(string(token.Agent))
	if err != nil {
		return Identity{}, err
	}
	user := token.User
	if role == Admin && user == "" {
		user = AdminUser
	}
	if role == User && user == "" {
		return Identity{}, ErrUserRequired
	}
	return Identity{
		Role: role, User: user, TokenID: token.ID,
		Mode: mode, Agent: agent, Servers: slices.Clone(token.Servers), Expires: token.ExpiresAt,
	}, nil
}

// Authenticate says who sends the request. A minted token that is right takes no
// lock and reads no store; everything else passes the throttle.
func (a *Authenticator) Authenticate(r *http.Request) (*Identity, error) {
	credential, err := bearer(r.Header)
	if err != nil {
		return nil, err
	}
	current := a.index.Load()
	identity, ok := a.minted(current, credential)
	if !ok {
		if identity, err = a.guessed(r, credential); err != nil {
			return nil, err
		}
	}
	if err := a.actFor(r, current, identity); err != nil {
		return nil, err
	}
	return identity, nil
}

// bearer reads the one credential of the request.
func bearer(header http.Header) (string, error) {
	values := header["Authorization"]
	if len(values) == 0 {
		return "", ErrNoCredential
	}
	if len(values) > 1 {
		return "", fmt.Errorf("%w: more than one Authorization header", ErrBadCredential)
	}
	scheme, credential, found := strings.Cut(values[0], " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "", fmt.Errorf("%w: it is not a bearer token", ErrNoCredential)
	}
	return strings.Trim(credential, " "), nil
}

// minted looks a token up and compares it. The comparison happens whether or not
// the id is known, and the same way.
func (a *Authenticator) minted(current *index, credential string) (*Identity, bool) {
	id, secret, ok := splitToken(credential)
	if !ok || len(credential) > maxCredential {
		return nil, false
	}
	stored, known := current.tokens[id]
	want := stored.hash
	if !known {
		want = a.decoy
	}
	got := HashSecret(id, secret)
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || !known {
		return nil, false
	}
	if !stored.expires.IsZero() && !a.now().Before(stored.expires) {
		return nil, false
	}
	identity := stored.identity
	return &identity, true
}

// guessed handles what is no valid minted token: the bootstrap token, which a
// person chose and which therefore is subject to the throttle, or a failure.
func (a *Authenticator) guessed(r *http.Request, credential string) (*Identity, error) {
	if isAgain(r.Context()) {
		return a.chosen(credential)
	}
	address := remoteAddress(r)
	if wait := a.throttle.wait(address); wait > 0 {
		return nil, &ThrottledError{wait, ErrThrottled}
	}
	identity, err := a.chosen(credential)
	if err != nil {
		a.throttle.failed(address)
	}
	return identity, err
}

// chosen is whose the bootstrap token is.
func (a *Authenticator) chosen(credential string) (*Identity, error) {
	if !a.isBootstrap(credential) {
		return nil, ErrBadCredential
	}
	return &Identity{Role: Admin, User: AdminUser, TokenID: BootstrapID, Mode: policy.Act, Agent: policy.Root}, nil
}

func (a *Authenticator) isBootstrap(credential string) bool {
	if !a.hasBootstrap || len(credential) > maxCredential {
		return false
	}
	got := sha256.Sum256([]byte(credential))
	return subtle.ConstantTimeCompare(got[:], a.bootstrap[:]) == 1
}

// actFor settles on whose behalf the request is made. Only an agent may say so,
// and it must; anybody else's word on it is refused rather than ignored, so that
// a misplaced token is noticed.
func (a *Authenticator) actFor(r *http.Request, current *index, identity *Identity) error {
	named := r.Header["Sidecar-User"]
	if identity.Role != Agent {
		if len(named) > 0 {
			return ErrUserForbidden
		}
		return nil
	}
	switch {
	case len(named) == 0 || len(named) == 1 && named[0] == "":
		return ErrUserRequired
	case len(named) > 1:
		return fmt.Errorf("%w: it was sent more than once", ErrUserInvalid)
	}
	if err := ValidUser(named[0]); err != nil {
		return fmt.Errorf("%w: %w", ErrUserInvalid, err)
	}
	identity.User = named[0]
	return a.announce(r.Context(), current, identity)
}
