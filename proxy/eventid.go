package proxy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"

	"mcpsidecar/proxy/rpc"
)

// eventIDs makes the ids of events that legacy clients can resume after, and reads them back. An id is the name of its stream, a dot, and the event's number there. The name says by itself, also after a restart, which stream
// of which session it is, and which request it answers; that is authenticated, so that nobody can name a stream of another session. The number is not: it says no more than what of its own stream a client has.
type eventIDs struct{ key [32]byte }

func newEventIDs(sessionKey [32]byte) eventIDs {
	mac := hmac.New(sha256.New, sessionKey[:])
	mac.Write([]byte("mcp-sidecar event ids 1"))
	var ids eventIDs
	mac.Sum(ids.key[:0])
	return ids
}

// The kinds of streams that have names.
const (
	standingStream = 's'
	answerStream   = 'a'
)

// streamName is what is said about a stream.
type streamName struct {
	kind    byte
	number  [8]byte // random
	request string  // the raw id of the request that it answers, if it is no longer than maxNamedID
}

// Bounds of an event id: what is longer is not ours.
const (
	maxNamedID = 128
	maxEventID = 320
	macSize    = 16
)

// write returns the name as it stands in ids of events of a session.
func (ids *eventIDs) write(session string, name streamName) string {
	text := append(make([]byte, macSize, macSize+1+len(name.number)+len(name.request)), name.kind)
	text = append(append(text, name.number[:]...), name.request...)
	copy(text, ids.mac(session, text[macSize:]))
	return base64.RawURLEncoding.EncodeToString(text)
}

func (ids *eventIDs) mac(session string, text []byte) []byte {
	mac := hmac.New(sha256.New, ids.key[:])
	mac.Write([]byte(strconv.Itoa(len(session)) + ":" + session))
	mac.Write(text)
	return mac.Sum(nil)[:macSize]
}

// read takes an id apart. Not ok: it is none of this session.
func (ids *eventIDs) read(session, id string) (name streamName, number uint64, ok bool) {
	written, after, found := strings.Cut(id, ".")
	if !found || len(id) > maxEventID {
		return name, 0, false
	}
	number, err := strconv.ParseUint(after, 10, 63)
	if err != nil {
		return name, 0, false
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(written)
	if err != nil || len(text) < macSize+1+len(name.number) || !hmac.Equal(text[:macSize], ids.mac(session, text[macSize:])) {
		return name, 0, false
	}
	text = text[macSize:]
	name.kind = text[0]
	rest := text[1+copy(name.number[:], text[1:]):]
	name.request = string(rest)
	return name, number, true
}

// appendEventHead begins an event of a named stream; without a name it has no id.
func appendEventHead(dst []byte, name string, number uint64) []byte {
	dst = append(dst, eventLine...)
	if name != "" {
		dst = append(append(append(dst, "id: "...), name...), '.')
		dst = append(strconv.AppendUint(dst, number, 10), '\n')
	}
	return dst
}

// appendPriming is an event without data, from which a client learns after what it can resume, and how long to wait before.
func appendPriming(dst []byte, name string, retry int64) []byte {
	dst = append(append(append(dst, "id: "...), name...), ".0\nretry: "...)
	return append(strconv.AppendInt(dst, retry, 10), "\ndata:\n\n"...)
}

// nameable is the raw id of a request if a stream's name can carry it.
func nameable(raw []byte) string {
	if len(raw) > maxNamedID {
		return ""
	}
	return string(raw)
}

// lostAnswer is what a client reads that comes back for an answer that is not kept any more.
func lostAnswer(request string) []byte {
	return rpc.AppendError(nil, []byte(request), rpc.Error{Code: codeInternal, Message: "the answer was lost; the outcome of the request is unknown"})
}
