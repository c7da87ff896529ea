package upstream

import (
	"math/rand/v2"
	"sync/atomic"

	"mcpsidecar/proxy/rpc"
)

// Members of _meta that say who asks, and how.
const (
	metaVersion      = `"io.modelcontextprotocol/protocolVersion":`
	metaClient       = `"io.modelcontextprotocol/clientInfo":`
	metaCapabilities = `"io.modelcontextprotocol/clientCapabilities":`
	metaLogLevel     = `"io.modelcontextprotocol/logLevel":`
)

// implementation is a raw Implementation object.
func implementation(name, version string) []byte {
	text := rpc.AppendString([]byte(`{"name":`), name)
	text = rpc.AppendString(append(text, `,"version":`...), version)
	return append(text, '}')
}

// identity is what every modern request says in _meta about the one who asks.
func (c *Conn) identity(version string) []byte {
	return appendIdentity(nil, version, c.clientInfo(), c.capabilities())
}

func appendIdentity(text []byte, version string, clientInfo, capabilities []byte) []byte {
	text = append(append(append(append(text, metaVersion...), '"'), version...), '"')
	text = append(append(append(text, ','), metaClient...), clientInfo...)
	return append(append(append(text, ','), metaCapabilities...), capabilities...)
}

// identityFor is the identity of one request: that of the Conn, unless the request comes with its client's own.
func (c *Conn) identityFor(l *link, call *Call) []byte {
	if l.identity == nil || call.ClientInfo == nil && call.Capabilities == nil {
		return l.identity
	}
	info, capabilities := call.ClientInfo, call.Capabilities
	if info == nil {
		info = c.clientInfo()
	}
	if capabilities == nil {
		capabilities = c.capabilities()
	}
	return appendIdentity(make([]byte, 0, 160+len(info)+len(capabilities)), modernVersion, info, capabilities)
}

// ServerInfo is the raw Implementation of the server, or nil while nothing is known of it.
func (c *Conn) ServerInfo() []byte {
	if l := c.current.Load(); l != nil {
		return l.info.ServerInfo
	}
	return nil
}

func (c *Conn) clientInfo() []byte {
	if c.cfg.ClientInfo != nil {
		return c.cfg.ClientInfo
	}
	return c.server.ourselves
}

func (c *Conn) capabilities() []byte {
	if c.cfg.Capabilities != nil {
		return c.cfg.Capabilities
	}
	return []byte("{}")
}

// request builds the body of a request.
func (b *body) request(id []byte, call *Call, identity []byte) {
	b.begin(160 + len(identity) + len(call.Method) + membersRoom(call.Params) + membersRoom(call.Meta))
	b.add(`{"jsonrpc":"2.0","id":`)
	b.span(id)
	b.add(`,"method":`)
	b.text = rpc.AppendString(b.text, call.Method)
	b.add(`,"params":{`)
	more := b.members(call.Params, false)
	b.meta(id, call, identity, more)
	b.add(`}}`)
	b.end()
}

// meta adds the _meta member, if there is anything to say in it. The progress token is the id, which nothing else on this connection carries.
func (b *body) meta(id []byte, call *Call, identity []byte, more bool) {
	if identity == nil && !call.Progress && len(call.Meta) == 0 {
		return
	}
	if more {
		b.add(`,`)
	}
	b.add(`"_meta":{`)
	b.text = append(b.text, identity...)
	more = identity != nil
	if identity != nil && call.LogLevel != "" {
		b.add(`,`, metaLogLevel)
		b.text = rpc.AppendString(b.text, call.LogLevel)
	}
	if call.Progress {
		if more {
			b.add(`,`)
		}
		b.add(`"progressToken":`)
		b.text = append(b.text, id...)
		more = true
	}
	b.members(call.Meta, more)
	b.add(`}`)
}

// members adds members of an object; more says whether some came before, and is returned for those that come after.
func (b *body) members(members []rpc.Member, more bool) bool {
	for i := range members {
		if more {
			b.add(`,`)
		}
		more = true
		if m := &members[i]; m.Raw != nil {
			b.text = append(b.text, m.Raw...)
		} else {
			b.text = rpc.AppendString(b.text, m.Name)
		}
		b.add(`:`)
		b.span(members[i].Value)
	}
	return more
}

// membersRoom estimates how much of the text the members take.
func membersRoom(members []rpc.Member) (room int) {
	for i := range members {
		room += 4 + len(members[i].Raw) + len(members[i].Name)
		if len(members[i].Value) <= inlineSpan {
			room += len(members[i].Value)
		}
	}
	return room
}

// notification builds the body of a notification.
func (b *body) notification(method string, params []rpc.Member) {
	b.begin(64 + len(method) + membersRoom(params))
	b.add(`{"jsonrpc":"2.0","method":`)
	b.text = rpc.AppendString(b.text, method)
	if len(params) > 0 {
		b.add(`,"params":{`)
		b.members(params, false)
		b.add(`}`)
	}
	b.add(`}`)
	b.end()
}

// reply builds the answer to a request of the server.
func (b *body) reply(id, result []byte, failure *rpc.Error) {
	b.begin(0)
	if failure != nil {
		b.text = rpc.AppendError(b.text, id, *failure)
	} else {
		b.text = append(b.text, `{"jsonrpc":"2.0","id":`...)
		b.text = append(b.text, id...)
		b.add(`,"result":`)
		b.span(result)
		b.add(`}`)
	}
	b.end()
}

// lastID is the id of the last request of this process. No two requests share one, whoever makes them: should a connection ever bring an answer twice, nobody else takes it for theirs. It begins at random, so that another
// process' ids are others, and stays within what every parser reads alike.
var lastID atomic.Int64

func init() { lastID.Store(rand.Int64N(1 << 50)) }

func nextID() int64 { return lastID.Add(1) }

// known methods and versions of the protocol.
const (
	modernVersion = "2026-07-28"
	newestLegacy  = "2025-11-25"
	// versionHeaderSince is the first version whose requests carry the version in a header.
	versionHeaderSince = "2025-06-18"

	methodDiscover    = "server/discover"
	methodInitialize  = "initialize"
	methodInitialized = "notifications/initialized"
	methodCancelled   = "notifications/cancelled"
	methodListen      = "subscriptions/listen"
	methodPing        = "ping"
	methodProgress    = "notifications/progress"
	methodLog         = "notifications/message"
)

var legacyVersions = []string{newestLegacy, "2025-06-18", "2025-03-26", "2024-11-05"}

// JSON-RPC errors that only a modern server sends, and the one that says nothing.
const (
	codeHeaderMismatch     = -32020
	codeMissingCapability  = -32021
	codeUnsupportedVersion = -32022
	codeMethodNotFound     = -32601
)
