package proxy

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mcpsidecar/internal/caller"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// ticket is the requestState that a client holds: it names a call that is parked here, or carries what a modern server wants to have back. It is worth something only to the caller who got it, for the very request that it
// was given for, and not for long (patterns/mrtr, Server Requirements).
type ticket struct {
	User     string          `json:"u"`
	Role     caller.Role     `json:"r"`
	TokenID  string          `json:"t"`
	Server   string          `json:"s"`
	Request  []byte          `json:"d"` // digest
	Expires  int64           `json:"e"` // unix seconds
	State    json.RawMessage `json:"c,omitempty"`
	Parked   string          `json:"p,omitempty"`
	Instance string          `json:"i,omitempty"` // of the process where it is parked
}

// ticketTime is how long a client may take to bring back what a modern server gave it.
const ticketTime = time.Hour

var (
	ticketPlace = []byte("mcp-sidecar request state 1")
	errNoTicket = errors.New("the requestState is not one that was given for this request")
)

// ticketFor is a ticket for the request at hand.
func (t *turn) ticketFor(to *target, out *upstream.Call, valid time.Duration) ticket {
	identity := t.scope.identity
	return ticket{
		User: identity.User, Role: identity.Role, TokenID: identity.TokenID, Server: to.server.id, Request: digest(out), Expires: t.proxy.now().Add(valid).Unix(),
	}
}

// digest is of everything that a request is, but for what answers a server's questions.
func digest(out *upstream.Call) []byte {
	h := sha256.New()
	write := func(part []byte) {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write(part)
	}
	write([]byte(out.Method))
	write([]byte(out.Name))
	for _, m := range out.Params {
		if m.Name != "inputResponses" && m.Name != "requestState" {
			write([]byte(m.Name))
			write(m.Value)
		}
	}
	return h.Sum(nil)
}

// fits says whether a ticket was given for this request.
func (k *ticket) fits(other *ticket) bool {
	return k.User == other.User && k.Role == other.Role && k.TokenID == other.TokenID && k.Server == other.Server && subtle.ConstantTimeCompare(k.Request, other.Request) == 1
}

// sealTicket returns the requestState as a raw string.
func (s *sealer) sealTicket(k *ticket) ([]byte, error) {
	plain, err := marshal(k)
	if err != nil {
		return nil, fmt.Errorf("sealing a requestState: %w", err)
	}
	sealed := s.aead.Seal(nil, nil, plain, ticketPlace)
	raw := make([]byte, 0, base64.RawURLEncoding.EncodedLen(len(sealed))+2)
	raw = base64.RawURLEncoding.AppendEncode(append(raw, '"'), sealed)
	return append(raw, '"'), nil
}

func (s *sealer) openTicket(raw []byte) (*ticket, error) {
	text, ok := rpc.String(raw)
	if !ok {
		return nil, errNoTicket
	}
	cipherText, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, errNoTicket
	}
	plain, err := s.aead.Open(nil, nil, cipherText, ticketPlace)
	if err != nil {
		return nil, errNoTicket
	}
	k := new(ticket)
	if json.Unmarshal(plain, k) != nil {
		return nil, errNoTicket
	}
	return k, nil
}

// passInputs answers a modern client with what a modern server wants; of the requestState it gets a ticket. why says that it could not be done.
func (t *turn) passInputs(to *target, m *rpc.Message, in inputs, out *upstream.Call) (why string) {
	result := [][]byte{m.Result}
	if in.state != nil {
		k := t.ticketFor(to, out, ticketTime)
		k.State = in.state
		sealed, err := t.proxy.sealer.sealTicket(&k)
		if err == nil {
			result, err = rpc.EditObject(nil, m.Result, rpc.Edit{Name: "requestState", Value: sealed})
		}
		if err != nil {
			return "the server's requestState cannot be used"
		}
	}
	t.outcome = outcomeOK
	t.finish(result)
	return ""
}

// continued looks whether a modern client's request goes on with an earlier one. If that is parked here, or cannot go on, the request is answered.
func (t *turn) continued(to *target, out *upstream.Call) (answered bool) {
	at := -1
	for i := range out.Params {
		if out.Params[i].Name == "requestState" {
			at = i
		}
	}
	if at < 0 {
		return false
	}
	given, err := t.proxy.sealer.openTicket(out.Params[at].Value)
	want := t.ticketFor(to, out, 0)
	switch {
	case err != nil || !given.fits(&want):
		t.fail(failInvalidParams(errNoTicket.Error()))
		return true
	case given.Parked != "":
		t.resume(to, out, given)
		return true
	case given.Expires < want.Expires:
		t.fail(failInvalidParams("the requestState has expired: make the request again, without it"))
		return true
	}
	out.Params[at].Value = given.State
	return false
}
