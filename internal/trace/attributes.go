package trace

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// Attr is one attribute of a span or event.
type Attr = attribute.KeyValue

// The names of attributes: those of OpenTelemetry's semantic conventions for MCP, and our own.
const (
	Method          = "mcp.method.name"
	ProtocolVersion = "mcp.protocol.version"
	RequestID       = "jsonrpc.request.id"
	Operation       = "gen_ai.operation.name"
	ToolName        = "gen_ai.tool.name"
	PromptName      = "gen_ai.prompt.name"
	ErrorType       = "error.type"
	StatusCode      = "rpc.response.status_code"
	Transport       = "network.transport"
	Protocol        = "network.protocol.name"
	ServerAddress   = "server.address"
	ServerPort      = "server.port"

	Server    = "mcp_sidecar.server"     // slug
	OwnID     = "mcp_sidecar.request_id" // the request's id in the log and the audit record, which has the user
	Mode      = "mcp_sidecar.mode"
	Decision  = "mcp_sidecar.decision"
	Reason    = "mcp_sidecar.reason"
	Outcome   = "mcp_sidecar.outcome"
	ServerEra = "mcp_sidecar.server_era"
	List      = "mcp_sidecar.list"
)

// maxText bounds what any attribute may hold.
const maxText = 256

// Text is an attribute. A text that is empty makes one that is left out.
func Text(key, value string) Attr {
	if value == "" {
		return Attr{}
	}
	if len(value) > maxText {
		value = value[:maxText]
	}
	return attribute.String(key, strings.ToValidUTF8(value, "?")) // one that is not would have its whole batch refused
}

// Number is an attribute. A zero makes one that is left out.
func Number(key string, value int) Attr {
	if value == 0 {
		return Attr{}
	}
	return attribute.Int(key, value)
}

// given are the attributes that are not left out, in place.
func given(attrs []Attr) []Attr {
	kept := attrs[:0]
	for _, a := range attrs {
		if a.Valid() {
			kept = append(kept, a)
		}
	}
	return kept
}
