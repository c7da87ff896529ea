package importtest_test

// edges say what a package may import, and why.
type edges map[string]string

// row is one package: what of ours and what of others it may import, in files that are not tests.
type row struct {
	ours   edges
	theirs edges // by module path
	never  edges // packages of the standard library that would break what the package is
	test   bool  // an executable contract, for tests only
}

// table is the architecture. A package imports nothing of ours or of others but what stands here; nothing stands here that is not imported.
var table = map[string]row{
	"policy": {
		never: edges{
			"context": "decisions are pure: they wait for nothing", "time": "the same question has the same answer at any time", "os": "no input but the arguments", "io": "no I/O",
			"net": "no I/O", "net/http": "it judges names and modes, whatever way they came", "log": "reasons are returned, not logged", "log/slog": "reasons are returned, not logged",
		},
	},

	"configstore": {
		ours: edges{
			"policy":          "a server's record holds its rules, and writing it checks them",
			"internal/secret": "secret fields are sealed before the engine sees them",
			"configstore/kv":  "records are kept in an engine",
		},
		never: edges{"net/http": "an answer's status is chosen where answers are written"},
	},
	"configstore/storetest": {
		test: true,
		ours: edges{
			"configstore":           "the contract is of this package",
			"configstore/kv/kvtest": "a place where engines are opened, as their own contract says it",
			"internal/secret":       "it makes the keys of the stores it opens",
			"policy":                "records hold rules",
		},
	},
	"configstore/kv":        {},
	"configstore/kv/boltkv": {ours: edges{"configstore/kv": "it is one of these"}, theirs: edges{"go.etcd.io/bbolt": "the file format; nothing else knows it"}},
	"configstore/kv/kvtest": {test: true, ours: edges{"configstore/kv": "the contract is of this package"}},

	"proxy": {
		ours: edges{
			"policy":           "each list and call is judged",
			"configstore":      "it is loaded with the records of servers",
			"proxy/rpc":        "messages are read once and rebuilt from their own bytes",
			"proxy/upstream":   "the way to a server",
			"proxy/catalog":    "the tools that a server lists",
			"proxy/surface":    "what else it lists",
			"proxy/intent":     "calls are unwrapped",
			"internal/caller":  "who asks",
			"internal/audit":   "every call is recorded",
			"internal/metrics": "every call is counted",
			"internal/trace":   "the road of a call is traced, and trace contexts are passed on",
			"internal/front":   "the request id",
			"internal/secret":  "tokens cannot print on their way into a header",
		},
	},
	"proxy/rpc": {theirs: edges{"golang.org/x/sys": "whether the processor has wide registers"}, never: edges{"net/http": "messages are bytes", "encoding/json": "it takes the last of two equal members and ignores case"}},
	"proxy/upstream": {
		ours: edges{
			"proxy/rpc":         "answers are read by the same strict reader as requests",
			"internal/outbound": "words for a connection that failed, in which no address occurs",
		},
		theirs: edges{"github.com/sony/gobreaker": "one breaker per server"},
	},
	"proxy/catalog": {
		ours: edges{
			"policy":       "the fingerprint of a definition",
			"proxy/rpc":    "strings are decoded and written in one way",
			"proxy/intent": "a schema is wrapped when it is shown",
		},
		never: edges{"encoding/json": "definitions are shown byte for byte"},
	},
	"proxy/surface": {
		ours: edges{
			"policy":        "prompts are named like tools",
			"proxy/rpc":     "entries are taken apart by the strict reader",
			"proxy/catalog": "texts are cleaned in one way",
		},
		never: edges{"net/http": "lists are values", "context": "nothing here waits", "encoding/json": "it takes the last of two equal members and ignores case"},
	},
	"proxy/intent": {
		ours:   edges{"proxy/rpc": "schemas and arguments are taken apart by the strict reader"},
		theirs: edges{"github.com/go-json-experiment/json": "jsontext walks a schema token by token, so that all but its references stays as it is"},
		never:  edges{"encoding/json": "schemas survive byte for byte"},
	},

	"discovery": {
		ours: edges{
			"internal/outbound": "words for an address that may not be reached",
			"internal/secret":   "a client secret comes in by it",
		},
		theirs: edges{"github.com/go-json-experiment/json": "documents of strangers are read strictly: exact names, no duplicates"},
		never:  edges{"encoding/json": "it takes the last of two equal members and ignores case"},
	},

	"admin": {
		ours: edges{
			"policy":              "explaining decisions",
			"configstore":         "the records it manages",
			"discovery":           "what an admin is told of a discovery that failed, and our metadata document",
			"internal/caller":     "who asks",
			"internal/credential": "what brings accounts to servers, behind an interface of its own",
			"internal/audit":      "every change is recorded",
			"internal/front":      "the request id",
			"internal/secret":     "secrets come in by it and never go out",
		},
		theirs: edges{
			"github.com/julienschmidt/httprouter": "routes",
			"github.com/go-json-experiment/json":  "requests are decoded strictly: exact names, no duplicates, nothing unknown",
		},
	},

	"internal/audit":   {},
	"internal/bench":   {},
	"internal/caller":  {ours: edges{"configstore": "tokens are looked up", "policy": "a token may pin mode and servers"}},
	"internal/e2e":     {},
	"internal/e2e/rig": {test: true},
	"internal/e2e/conformance": {
		test: true,
		ours: edges{"internal/e2e/rig": "it starts everything"},
	},
	"internal/credential": {
		ours: edges{
			"configstore":     "grants, flows, links and registrations are its records",
			"discovery":       "who signs users in at a server, and who we are there",
			"internal/secret": "tokens are held so that nothing prints them",
		},
		theirs: edges{"golang.org/x/oauth2": "token requests and PKCE", "golang.org/x/time/rate": "token requests spread out"},
	},
	"internal/e2e/matrix": {},
	"internal/e2e/oauthconformance": {
		test: true,
		ours: edges{"internal/e2e/rig": "it starts everything"},
	},
	"internal/demo":  {theirs: edges{"github.com/mark3labs/mcp-go": "the demo server is written as others write theirs"}},
	"internal/front": {ours: edges{"internal/rawtcp": "of a detached answer's client it is told when it goes"}},
	"internal/metrics": {
		theirs: edges{"github.com/prometheus/client_golang": "the registry and the format"},
	},
	"internal/outbound": {ours: edges{"internal/rawtcp": "connections that the scheduler does not notice"}},
	"internal/leak":     {test: true, theirs: edges{"go.uber.org/goleak": "what looks for goroutines"}},
	"internal/rawtcp":   {never: edges{"net/http": "it moves bytes"}},
	"internal/trace/tracetest": {
		test: true,
		theirs: edges{
			"go.opentelemetry.io/proto/otlp": "what is received is OTLP",
			"google.golang.org/protobuf":     "its encoding",
		},
	},
	"internal/trace": {
		theirs: edges{
			"go.opentelemetry.io/otel":       "spans, and their translation into OTLP; nothing else imports it",
			"go.opentelemetry.io/proto/otlp": "OTLP",
			"google.golang.org/protobuf":     "the encoding of OTLP",
		},
	},
	"internal/secret":     {theirs: edges{"github.com/tink-crypto/tink-go": "sealing"}},
	"internal/recall":     {ours: edges{"configstore/kv": "what it keeps outlives the process"}},
	"internal/importtest": {},

	"cmd/mcp-sidecar": {
		ours: edges{
			"admin":                 "mounted",
			"proxy":                 "mounted",
			"policy":                "the words of modes and reasons",
			"configstore":           "opened",
			"discovery":             "handed to what brings accounts to servers",
			"configstore/kv/boltkv": "the engine is chosen here",
			"proxy/upstream":        "limits",
			"internal/audit":        "opened",
			"internal/caller":       "handed to whoever asks who is asking",
			"internal/credential":   "opened",
			"internal/demo":         "started with --demo",
			"internal/front":        "stands before every handler",
			"internal/metrics":      "handed to whoever counts",
			"internal/outbound":     "the client towards strangers",
			"internal/rawtcp":       "what is accepted becomes connections that the scheduler does not notice",
			"internal/recall":       "opened",
			"internal/secret":       "the keys are loaded",
			"internal/trace":        "opened",
		},
		theirs: edges{"github.com/spf13/cobra": "commands", "github.com/spf13/pflag": "flags of commands"},
	},
}

// topLevel is what the repository's root holds, besides dot-files and what .gitignore names.
var topLevel = []string{
	"cmd", "proxy", "configstore", "discovery", "policy", "admin", "internal", "deploy", "docs",
	"go.mod", "go.sum", "Makefile", "Dockerfile", "README.md", "DESIGN.md", "LICENSE",
}

// notYet are entries of topLevel that may still be missing.
var notYet = []string{"deploy"}
