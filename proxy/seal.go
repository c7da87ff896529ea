package proxy

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"mcpsidecar/internal/caller"
	"mcpsidecar/policy"
)

// sealed is what a legacy session id carries, so that a session outlives the process and any replica can serve it. It is JSON inside an AEAD: made once per session, and a few hundred bytes.
type sealed struct {
	ID        string           `json:"i"`
	User      string           `json:"u"`
	Role      caller.Role      `json:"r"`
	TokenID   string           `json:"t"`
	Path      string           `json:"p,omitempty"` // slug of /mcp/{slug}
	Mode      policy.Mode      `json:"m"`
	Agent     policy.Agent     `json:"a"`
	Selection policy.Selection `json:"s"`
	Version   string           `json:"v"`
	Client    json.RawMessage  `json:"c,omitempty"` // clientInfo, where it is short
	// Capabilities are the client's, as it declared them, where they are short; otherwise it is taken for a client that can do nothing.
	Capabilities json.RawMessage `json:"k,omitempty"`
}

// belongsTo says whether a caller at a path may use the session. Another token of the same user may not: its rights can be others.
func (s *sealed) belongsTo(identity *caller.Identity, path string) bool {
	return s.User == identity.User && s.Role == identity.Role && s.TokenID == identity.TokenID && s.Path == path
}

// sealer makes and opens session ids: AES-256-GCM under a key that is derived for nothing else. 96-bit random nonces are safe for 2^32 sessions.
type sealer struct{ aead cipher.AEAD }

func newSealer(key [32]byte) (*sealer, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("making the session key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("making the session key: %w", err)
	}
	return &sealer{aead: aead}, nil
}

// Bounds of a session id: what is longer is not ours, and what a client says of itself must not make it longer than common header limits.
const (
	maxSessionID  = 10 << 10 // a request may have 16 KiB of headers, and lists the servers of a session once more
	maxClientInfo = 1024
	maxDeclared   = 1024
)

var sessionPlace = []byte("mcp-sidecar session 1")

var (
	errNoSession   = errors.New("no such session")
	errLongSession = errors.New("too many servers are listed for a session to remember")
)

func (s *sealer) seal(what *sealed) (string, error) {
	if len(what.Client) > maxClientInfo {
		what.Client = nil
	}
	if len(what.Capabilities) > maxDeclared {
		what.Capabilities = nil
	}
	plain, err := marshal(what)
	if err != nil {
		return "", fmt.Errorf("sealing a session: %w", err)
	}
	id := base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, sessionPlace))
	if len(id) > maxSessionID {
		return "", errLongSession
	}
	return id, nil
}

// marshal writes JSON in which raw members stay as they are: json.Marshal would escape what it takes for HTML.
func marshal(what any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(what); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (s *sealer) open(id string) (*sealed, error) {
	if len(id) > maxSessionID {
		return nil, errNoSession
	}
	cipherText, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil {
		return nil, errNoSession
	}
	plain, err := s.aead.Open(nil, nil, cipherText, sessionPlace)
	if err != nil {
		return nil, errNoSession
	}
	what := new(sealed)
	if err := json.Unmarshal(plain, what); err != nil {
		return nil, errNoSession
	}
	return what, nil
}

func newSessionID() string {
	random := make([]byte, 16)
	rand.Read(random)
	return base64.RawURLEncoding.EncodeToString(random)
}
