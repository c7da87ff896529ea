package credential

import (
	"errors"
	"fmt"
	"time"
)

// What can go wrong, for errors.Is. Every error of this package reads as a sentence and can be shown to the user as it is; those of the store apart, which wrap configstore's.
var (
	ErrNotOAuth2    = errors.New("this server does not use OAuth2")                                              // 400
	ErrDiscovery    = errors.New("the server's sign-in could not be prepared")                                   // 400; wraps what discovery says, which is for admins
	ErrNotConnected = errors.New("this user has not connected an account to this server")                        // sign in
	ErrNeedsReauth  = errors.New("the connection to this server has ended; the account must be connected again") // sign in
	ErrUnavailable  = errors.New("the access token is expired and the provider gives no new one at present")     // later
	ErrRefused      = errors.New("the server refuses an access token that the provider has just given")          // nothing helps for now
	ErrState        = errors.New("this sign-in is unknown, was finished before, has expired, or was begun in another browser")
	ErrMalformed    = errors.New("the answer of the provider is incomplete or says something twice")
	ErrIssuer       = errors.New("the answer comes from another provider than the one that was asked")
	ErrDenied       = errors.New("the provider did not let you in")
	ErrExchange     = errors.New("the provider did not give a token") // 502
	ErrChanged      = errors.New("the server was changed, or the connection ended, while you signed in; please begin again")
	ErrLink         = errors.New("this link is unknown, was used before, or has expired")
	ErrClosed       = errors.New("the program is stopping")
)

// refusal is what a token endpoint answered when it gave no token. Nothing that the provider wrote is in it but a code of the list.
type refusal struct {
	status int           // 0: there was no answer
	code   string        // of codes, or empty
	after  time.Duration // Retry-After; 0: not said
	slow   bool          // the time ran out: what was asked may still happen
	bad    string        // what is wrong with an answer that should have been one
}

// codes are the error codes that may leave this package: those of RFC 6749 5.2, RFC 7009 and RFC 8707, and the word GitHub has for a dead refresh token.
var codes = map[string]bool{
	"invalid_request": true, "invalid_client": true, "invalid_grant": true, "unauthorized_client": true, "unsupported_grant_type": true, "invalid_scope": true,
	"unsupported_token_type": true, "invalid_target": true, badRefreshToken: true,
}

const (
	invalidGrant    = "invalid_grant"
	badRefreshToken = "bad_refresh_token"
)

func (r *refusal) Error() string {
	switch {
	case r.slow:
		return "the provider did not answer in time"
	case r.status == 0:
		return "the provider could not be reached"
	case r.code != "":
		return fmt.Sprintf("the provider answered %s (HTTP %d)", r.code, r.status)
	case r.bad != "":
		return fmt.Sprintf("the provider's answer cannot be used: %s (HTTP %d)", r.bad, r.status)
	}
	return fmt.Sprintf("the provider answered HTTP %d", r.status)
}

// ends says that the provider will never take this refresh token again. A gateway's error page or an overloaded provider cannot say that.
func (r *refusal) ends() bool {
	return (r.code == invalidGrant || r.code == badRefreshToken) && r.status < 500 && r.status != 429
}

// wrongClient says that the provider does not know who we are.
func (r *refusal) wrongClient() bool {
	return r.code == "invalid_client" || r.code == "unauthorized_client"
}
