package caller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"mcpsidecar/policy"
)

// Role says which of the program's doors a token opens.
type Role string

const (
	// Admin may do everything.
	Admin Role = "admin"
	// User has its own connections, and MCP.
	User Role = "user"
	// Agent has MCP, on behalf of the user that each request names.
	Agent Role = "agent"
)

// ParseRole reads a role as it is written in requests and records.
func ParseRole(text string) (Role, error) {
	switch role := Role(text); role {
	case Admin, User, Agent:
		return role, nil
	}
	return "", fmt.Errorf("a role is one of admin, user and agent")
}

// Names that an Identity carries when no record gives it one.
const (
	// AdminUser is on whose behalf an admin token without a user acts.
	AdminUser = "admin"
	// BootstrapID is the token id of the admin token from the environment.
	BootstrapID = "bootstrap"
)

// Identity is an authenticated caller. Servers is shared with other requests of
// the same token and must not be written to; the rest is the request's own.
type Identity struct {
	Role    Role
	User    string // on whose behalf; never empty
	TokenID string
	Mode    policy.Mode  // pinned by the token; a request can only be stricter
	Agent   policy.Agent // likewise
	Servers []string     // pinned selection of slugs; nil: none pinned
	Expires time.Time    // of the token; zero: it does not
}

// Same says whether two identities may do the same in the same name.
func (i *Identity) Same(other *Identity) bool {
	return i.Role == other.Role && i.User == other.User && i.TokenID == other.TokenID && i.Mode == other.Mode && i.Agent == other.Agent &&
		(i.Servers == nil) == (other.Servers == nil) && slices.Equal(i.Servers, other.Servers)
}

type (
	contextKey struct{}
	againKey   struct{}
)

// Again returns a context for asking once more whether a request that was let in would be. That is no attempt at anything: it is neither throttled nor counted as a failure, and announces no user, whose name might have been
// ended in the meantime and must not come back by itself.
func Again(ctx context.Context) context.Context {
	return context.WithValue(ctx, againKey{}, true)
}

func isAgain(ctx context.Context) bool {
	return ctx.Value(againKey{}) != nil
}

// Into returns a context that carries the identity.
func Into(ctx context.Context, identity *Identity) context.Context {
	return context.WithValue(ctx, contextKey{}, identity)
}

// From returns the identity that Into put there, or nil.
func From(ctx context.Context) *Identity {
	identity, _ := ctx.Value(contextKey{}).(*Identity)
	return identity
}

// maxUser is how long the name of a user may be.
const maxUser = 128

// ValidUser says whether a name can be a user's. Names are opaque and compared
// exactly; the narrow alphabet keeps them harmless in headers, keys and logs.
func ValidUser(name string) error {
	if name == "" || len(name) > maxUser {
		return fmt.Errorf("a user name has between 1 and %d characters", maxUser)
	}
	for i := range len(name) {
		if !userByte(name[i]) {
			return fmt.Errorf("a user name consists of letters, digits and . _ @ + -")
		}
	}
	return nil
}

func userByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '.' || c == '_' || c == '@' || c == '+' || c == '-'
}
