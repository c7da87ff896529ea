package configstore

import (
	"encoding/hex"
	"time"

	"mcpsidecar/internal/secret"
)

const (
	prefixGrant        = "grant/"
	prefixFlow         = "flow/"
	prefixLink         = "link/"
	prefixRegistration = "registration/"
)

func grantsKey(serverID string) string       { return prefixGrant + serverID + "/" }
func grantKey(serverID, user string) string  { return grantsKey(serverID) + user }
func flowKey(state [32]byte) string          { return prefixFlow + hex.EncodeToString(state[:]) }
func linkKey(hash [32]byte) string           { return prefixLink + hex.EncodeToString(hash[:]) }
func registrationKey(serverID string) string { return prefixRegistration + serverID }

// grantRecord is a Grant as it is stored.
type grantRecord struct {
	ServerID           string     `json:"server_id"`
	User               string     `json:"user"`
	State              GrantState `json:"state"`
	Reason             string     `json:"reason"`
	AccessToken        []byte     `json:"access_token"` // sealed, like all secrets here
	RefreshToken       []byte     `json:"refresh_token"`
	TokenType          string     `json:"token_type"`
	Expiry             *time.Time `json:"expiry"` // null: not known
	ObtainedAt         time.Time  `json:"obtained_at"`
	Refreshed          bool       `json:"refreshed"`
	Scopes             []string   `json:"scopes"`
	Requested          []string   `json:"requested"`
	Issuer             string     `json:"issuer"`
	Resource           string     `json:"resource"`
	TokenEndpoint      string     `json:"token_endpoint"`
	RevocationEndpoint string     `json:"revocation_endpoint"`
	ClientID           string     `json:"client_id"`
	ClientSecret       []byte     `json:"client_secret"`
	AuthMethod         string     `json:"auth_method"`
	Binding            string     `json:"binding"`
	LastError          string     `json:"last_error"`
	LastErrorAt        *time.Time `json:"last_error_at"` // null: never
	CreatedAt          time.Time  `json:"created_at"`
	UpdatedAt          time.Time  `json:"updated_at"`
	Generation         uint64     `json:"generation"`
}

func (c codec) sealGrant(g Grant) (grantRecord, error) {
	key := grantKey(g.ServerID, g.User)
	stored := grantRecord{
		ServerID: g.ServerID, User: g.User, State: g.State, Reason: g.Reason, TokenType: g.TokenType, Expiry: stamp(g.Expiry), ObtainedAt: g.ObtainedAt, Refreshed: g.Refreshed, Scopes: g.Scopes,
		Requested: g.Requested, Issuer: g.Issuer, Resource: g.Resource, TokenEndpoint: g.TokenEndpoint, RevocationEndpoint: g.RevocationEndpoint, ClientID: g.ClientID,
		AuthMethod: g.AuthMethod, Binding: g.Binding, LastError: g.LastError, LastErrorAt: stamp(g.LastErrorAt), CreatedAt: g.CreatedAt, UpdatedAt: g.UpdatedAt, Generation: g.Generation,
	}
	return stored, c.sealAll(key, sealing{g.AccessToken, "access_token", &stored.AccessToken}, sealing{g.RefreshToken, "refresh_token", &stored.RefreshToken},
		sealing{g.ClientSecret, "client_secret", &stored.ClientSecret})
}

func (c codec) openGrant(stored grantRecord) (Grant, error) {
	g := Grant{
		ServerID: stored.ServerID, User: stored.User, State: stored.State, Reason: stored.Reason, TokenType: stored.TokenType, Expiry: when(stored.Expiry), ObtainedAt: stored.ObtainedAt,
		Refreshed: stored.Refreshed, Scopes: stored.Scopes, Requested: stored.Requested, Issuer: stored.Issuer, Resource: stored.Resource, TokenEndpoint: stored.TokenEndpoint,
		RevocationEndpoint: stored.RevocationEndpoint, ClientID: stored.ClientID, AuthMethod: stored.AuthMethod, Binding: stored.Binding, LastError: stored.LastError,
		LastErrorAt: when(stored.LastErrorAt), CreatedAt: stored.CreatedAt, UpdatedAt: stored.UpdatedAt, Generation: stored.Generation,
	}
	key := grantKey(g.ServerID, g.User)
	return g, c.openAll(key, opening{stored.AccessToken, "access_token", &g.AccessToken}, opening{stored.RefreshToken, "refresh_token", &g.RefreshToken},
		opening{stored.ClientSecret, "client_secret", &g.ClientSecret})
}

// flowRecord is a Flow as it is stored.
type flowRecord struct {
	State              string    `json:"state"` // hex
	ServerID           string    `json:"server_id"`
	User               string    `json:"user"`
	Browser            string    `json:"browser"`  // hex
	Verifier           []byte    `json:"verifier"` // sealed
	RedirectURI        string    `json:"redirect_uri"`
	Issuer             string    `json:"issuer"`
	IssParameter       bool      `json:"iss_parameter"`
	Resource           string    `json:"resource"`
	TokenEndpoint      string    `json:"token_endpoint"`
	RevocationEndpoint string    `json:"revocation_endpoint"`
	ClientID           string    `json:"client_id"`
	ClientSecret       []byte    `json:"client_secret"` // sealed
	AuthMethod         string    `json:"auth_method"`
	Scopes             []string  `json:"scopes"`
	Binding            string    `json:"binding"`
	Taken              bool      `json:"taken"`
	CreatedAt          time.Time `json:"created_at"`
	ExpiresAt          time.Time `json:"expires_at"`
}

func (c codec) sealFlow(f Flow) (flowRecord, error) {
	stored := flowRecord{
		State: hex.EncodeToString(f.State[:]), ServerID: f.ServerID, User: f.User, Browser: hex.EncodeToString(f.Browser[:]), RedirectURI: f.RedirectURI, Issuer: f.Issuer,
		IssParameter: f.IssParameter, Resource: f.Resource, TokenEndpoint: f.TokenEndpoint, RevocationEndpoint: f.RevocationEndpoint, ClientID: f.ClientID, AuthMethod: f.AuthMethod,
		Scopes: f.Scopes, Binding: f.Binding, Taken: f.Taken, CreatedAt: f.CreatedAt, ExpiresAt: f.ExpiresAt,
	}
	return stored, c.sealAll(flowKey(f.State), sealing{f.Verifier, "verifier", &stored.Verifier}, sealing{f.ClientSecret, "client_secret", &stored.ClientSecret})
}

func (c codec) openFlow(stored flowRecord) (Flow, error) {
	f := Flow{
		ServerID: stored.ServerID, User: stored.User, RedirectURI: stored.RedirectURI, Issuer: stored.Issuer, IssParameter: stored.IssParameter, Resource: stored.Resource,
		TokenEndpoint: stored.TokenEndpoint, RevocationEndpoint: stored.RevocationEndpoint, ClientID: stored.ClientID, AuthMethod: stored.AuthMethod, Scopes: stored.Scopes,
		Binding: stored.Binding, Taken: stored.Taken, CreatedAt: stored.CreatedAt, ExpiresAt: stored.ExpiresAt,
	}
	if !openHash(stored.State, &f.State) || !openHash(stored.Browser, &f.Browser) {
		return f, errNotOurs
	}
	return f, c.openAll(flowKey(f.State), opening{stored.Verifier, "verifier", &f.Verifier}, opening{stored.ClientSecret, "client_secret", &f.ClientSecret})
}

// linkRecord is a Link as it is stored.
type linkRecord struct {
	Hash      string    `json:"hash"` // hex
	ServerID  string    `json:"server_id"`
	User      string    `json:"user"`
	Scopes    []string  `json:"scopes"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

func storedLink(l Link) linkRecord {
	return linkRecord{hex.EncodeToString(l.Hash[:]), l.ServerID, l.User, l.Scopes, l.CreatedAt, l.ExpiresAt}
}

func openLink(stored linkRecord) (Link, error) {
	l := Link{ServerID: stored.ServerID, User: stored.User, Scopes: stored.Scopes, CreatedAt: stored.CreatedAt, ExpiresAt: stored.ExpiresAt}
	if !openHash(stored.Hash, &l.Hash) {
		return l, errNotOurs
	}
	return l, nil
}

// registrationRecord is a Registration as it is stored.
type registrationRecord struct {
	ServerID              string     `json:"server_id"`
	Issuer                string     `json:"issuer"`
	RedirectURI           string     `json:"redirect_uri"`
	ClientID              string     `json:"client_id"`
	ClientSecret          []byte     `json:"client_secret"` // sealed
	AuthMethod            string     `json:"auth_method"`
	SecretExpires         *time.Time `json:"secret_expires"` // null: never
	Configured            bool       `json:"configured"`
	Document              bool       `json:"document"`
	Resource              string     `json:"resource"`
	AuthorizationEndpoint string     `json:"authorization_endpoint"`
	TokenEndpoint         string     `json:"token_endpoint"`
	RevocationEndpoint    string     `json:"revocation_endpoint"`
	Scopes                []string   `json:"scopes"`
	Registered            []string   `json:"registered"`
	Binding               string     `json:"binding"`
	CreatedAt             time.Time  `json:"created_at"`
}

func (c codec) sealRegistration(r Registration) (registrationRecord, error) {
	stored := registrationRecord{
		ServerID: r.ServerID, Issuer: r.Issuer, RedirectURI: r.RedirectURI, ClientID: r.ClientID, AuthMethod: r.AuthMethod, SecretExpires: stamp(r.SecretExpires),
		Configured: r.Configured, Document: r.Document, Resource: r.Resource, AuthorizationEndpoint: r.AuthorizationEndpoint, TokenEndpoint: r.TokenEndpoint,
		RevocationEndpoint: r.RevocationEndpoint, Scopes: r.Scopes, Registered: r.Registered, Binding: r.Binding, CreatedAt: r.CreatedAt,
	}
	return stored, c.sealAll(registrationKey(r.ServerID), sealing{r.ClientSecret, "client_secret", &stored.ClientSecret})
}

func (c codec) openRegistration(stored registrationRecord) (Registration, error) {
	r := Registration{
		ServerID: stored.ServerID, Issuer: stored.Issuer, RedirectURI: stored.RedirectURI, ClientID: stored.ClientID, AuthMethod: stored.AuthMethod, SecretExpires: when(stored.SecretExpires),
		Configured: stored.Configured, Document: stored.Document, Resource: stored.Resource, AuthorizationEndpoint: stored.AuthorizationEndpoint, TokenEndpoint: stored.TokenEndpoint,
		RevocationEndpoint: stored.RevocationEndpoint, Scopes: stored.Scopes, Registered: stored.Registered, Binding: stored.Binding, CreatedAt: stored.CreatedAt,
	}
	return r, c.openAll(registrationKey(r.ServerID), opening{stored.ClientSecret, "client_secret", &r.ClientSecret})
}

// sealing is a secret of a record on its way into the stored form.
type sealing struct {
	value secret.Value
	field string
	to    *[]byte
}

func (c codec) sealAll(key string, secrets ...sealing) (err error) {
	for _, s := range secrets {
		if *s.to, err = c.sealText(s.value, key+"/"+s.field); err != nil {
			return err
		}
	}
	return nil
}

// opening is a secret on its way back.
type opening struct {
	sealed []byte
	field  string
	to     *secret.Value
}

func (c codec) openAll(key string, secrets ...opening) (err error) {
	for _, s := range secrets {
		if *s.to, err = c.openText(s.sealed, key+"/"+s.field); err != nil {
			return err
		}
	}
	return nil
}

func openHash(text string, hash *[32]byte) bool {
	decoded, err := hex.DecodeString(text)
	if err != nil || len(decoded) != len(hash) {
		return false
	}
	copy(hash[:], decoded)
	return true
}

// stamp is a time that may be missing as it is stored, and when reads it back.
func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Round(0)
	return &t
}

func when(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
