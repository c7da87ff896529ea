package configstore

import (
	"encoding/hex"
	"time"

	"mcpsidecar/policy"
)

const (
	prefixToken   = "token/"
	prefixUser    = "user/"
	prefixCatalog = "catalog/"
)

func tokenKey(id string) string         { return prefixToken + id }
func userKey(name string) string        { return prefixUser + name }
func catalogKey(serverID string) string { return prefixCatalog + serverID }

// tokenRecord is an APIToken as it is stored. servers keeps the difference between none pinned (null) and a pin to no server ([]).
type tokenRecord struct {
	ID        string     `json:"id"`
	Hash      string     `json:"hash"` // hex
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	User      string     `json:"user"`
	Mode      string     `json:"mode"`
	Agent     string     `json:"agent"`
	Servers   []string   `json:"servers"`
	CreatedBy string     `json:"created_by"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"` // null: never
}

func storedToken(t APIToken) tokenRecord {
	stored := tokenRecord{
		ID: t.ID, Hash: hex.EncodeToString(t.Hash[:]), Name: t.Name, Role: t.Role, User: t.User, Mode: t.Mode, Agent: t.Agent, Servers: t.Servers,
		CreatedBy: t.CreatedBy, CreatedAt: t.CreatedAt,
	}
	if !t.ExpiresAt.IsZero() {
		stored.ExpiresAt = &t.ExpiresAt
	}
	return stored
}

func openToken(stored tokenRecord) (APIToken, error) {
	t := APIToken{
		ID: stored.ID, Name: stored.Name, Role: stored.Role, User: stored.User, Mode: stored.Mode, Agent: stored.Agent, Servers: stored.Servers,
		CreatedBy: stored.CreatedBy, CreatedAt: stored.CreatedAt,
	}
	hash, err := hex.DecodeString(stored.Hash)
	if err != nil || len(hash) != len(t.Hash) {
		return t, errNotOurs
	}
	copy(t.Hash[:], hash)
	if stored.ExpiresAt != nil {
		t.ExpiresAt = *stored.ExpiresAt
	}
	return t, nil
}

// userRecord is a User as it is stored.
type userRecord struct {
	Name      string    `json:"name"`
	FirstSeen time.Time `json:"first_seen"`
}

func openUser(stored userRecord) (User, error) { return User(stored), nil }

// catalogRecord is a Catalog as it is stored.
type catalogRecord struct {
	ServerID   string                    `json:"server_id"`
	Tools      map[string]approvalRecord `json:"tools"` // by original name
	ApprovedBy string                    `json:"approved_by"`
	ApprovedAt time.Time                 `json:"approved_at"`
}

// approvalRecord is a policy.Approval as it is stored.
type approvalRecord struct {
	Description  string `json:"description,omitempty"`
	InputSchema  string `json:"input_schema,omitempty"`
	OutputSchema string `json:"output_schema,omitempty"`
	Annotations  string `json:"annotations,omitempty"`
	ReadOnly     bool   `json:"read_only,omitempty"`
}

func storedCatalog(c Catalog) catalogRecord {
	stored := catalogRecord{ServerID: c.ServerID, Tools: make(map[string]approvalRecord, len(c.Baseline)), ApprovedBy: c.ApprovedBy, ApprovedAt: c.ApprovedAt}
	for name, a := range c.Baseline {
		stored.Tools[name] = approvalRecord{a.Print.Description, a.Print.InputSchema, a.Print.OutputSchema, a.Print.Annotations, a.ReadOnly}
	}
	return stored
}

// openCatalog never gives a nil baseline: that would mean that none was approved, and a server without tools has an approved catalog, too.
func openCatalog(stored catalogRecord) (Catalog, error) {
	c := Catalog{ServerID: stored.ServerID, Baseline: make(policy.Baseline, len(stored.Tools)), ApprovedBy: stored.ApprovedBy, ApprovedAt: stored.ApprovedAt}
	for name, a := range stored.Tools {
		print := policy.Print{Description: a.Description, InputSchema: a.InputSchema, OutputSchema: a.OutputSchema, Annotations: a.Annotations}
		c.Baseline[name] = policy.Approval{Print: print, ReadOnly: a.ReadOnly}
	}
	return c, nil
}
