package matrix_test

// exception is what a client and a server cannot do together although each can do it with others.
type exception struct {
	client, clientEra, server, serverEra, feature string // empty: any
	but                                           but
	reason                                        string
}

// but says where they can.
type but string

const (
	through  but = "through" // the sidecar; directly it goes well at times, and is no good all the same
	directly but = "directly"
)

// goesAway is why the calls of a client go on without it.
const goesAway = "mcp-go's client just goes away, which in this revision is not to give up: it may come back for the answer. Its own server takes it so all the same"

var exceptions = []exception{
	{client: "mcp-go", clientEra: legacy, server: "mcp-go", serverEra: legacy, feature: "cancellation", but: directly, reason: goesAway},
	{client: "mcp-go", clientEra: legacy, feature: "cancellation", reason: goesAway},
	{server: "conformance", serverEra: legacy, feature: "resumption", but: through, reason: "the server keeps nothing of its streams"},
	{
		client: "go-sdk", clientEra: modern, server: "mcp-go", serverEra: modern, feature: "cancellation", but: through,
		reason: "go-sdk's client announces that it gives up, in a way that mcp-go's server refuses, and then goes away",
	},
	{
		client: "go-sdk", clientEra: modern, server: "mcp-go", serverEra: modern, feature: "roots",
		reason: "mcp-go's server asks for roots without params, which go-sdk's client cannot read",
	},
}

// reason is why a feature does not work between a client and a server, and where it does all the same; or nothing.
func reason(c client, s served, feature string) (why string, where but) {
	if why := s.lacks[feature]; why != "" {
		return why, ""
	}
	if why := c.cannot[feature]; why != "" {
		return why, ""
	}
	is := func(pattern, value string) bool { return pattern == "" || pattern == value }
	for _, e := range exceptions {
		if is(e.client, c.name) && is(e.clientEra, c.era) && is(e.server, s.name) && is(e.serverEra, s.era) && is(e.feature, feature) {
			return e.reason, e.but
		}
	}
	return "", ""
}
