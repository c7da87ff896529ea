package rpc

// words are the names and methods that messages repeat. Decoding one of them allocates nothing; nothing else depends on this list.
var words = wordSet(
	"jsonrpc", "id", "method", "params", "result", "error", "code", "message", "data",
	"name", "title", "description", "arguments", "_meta", "content", "structuredContent", "isError", "type", "text", "uri", "mimeType", "blob", "annotations", "icons", "resource",
	"tools", "prompts", "resources", "resourceTemplates", "nextCursor", "cursor", "inputSchema", "outputSchema", "execution", "resultType", "ttlMs", "cacheScope",
	"progressToken", "progress", "total", "requestId", "reason", "level", "logger", "inputRequests", "inputResponses", "requestState",
	"protocolVersion", "supportedVersions", "capabilities", "clientInfo", "serverInfo", "instructions", "version", "roots", "sampling", "elicitation", "logging", "completions", "experimental", "extensions", "listChanged",
	"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint",
	"io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientInfo", "io.modelcontextprotocol/clientCapabilities", "io.modelcontextprotocol/serverInfo", "io.modelcontextprotocol/logLevel",
	"$schema", "$defs", "$ref", "properties", "required", "items", "enum", "default", "format", "additionalProperties", "anyOf", "oneOf", "allOf", "x-mcp-header",
	"initialize", "ping", "server/discover", "tools/list", "tools/call", "notifications/initialized", "notifications/cancelled", "notifications/progress", "notifications/message",
	"notifications/tools/list_changed", "notifications/prompts/list_changed", "notifications/resources/list_changed",
	"prompts/list", "prompts/get", "resources/list", "resources/read", "resources/templates/list", "completion/complete", "logging/setLevel", "subscriptions/listen",
	"endpoint",
)

func wordSet(list ...string) map[string]string {
	set := make(map[string]string, len(list))
	for _, word := range list {
		set[word] = word
	}
	return set
}

// intern returns the text as a string, sharing one copy of a word that messages repeat.
func intern(text []byte) string {
	if word, ok := words[string(text)]; ok {
		return word
	}
	return string(text)
}
