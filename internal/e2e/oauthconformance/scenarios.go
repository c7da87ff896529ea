package main

// scenario is one run of the suite.
type scenario struct {
	name, revision string
	excuse         string // why it does not apply, or what has to be done before it passes; empty: it has to pass
}

// both are the scenarios of OAuth2 that two revisions share.
var both = []string{
	"auth/metadata-default", "auth/metadata-var1", "auth/metadata-var2", "auth/metadata-var3", "auth/basic-cimd",
	"auth/scope-from-www-authenticate", "auth/scope-from-scopes-supported", "auth/scope-omitted-when-undefined", "auth/scope-step-up", "auth/scope-retry-limit",
	"auth/token-endpoint-auth-basic", "auth/token-endpoint-auth-post", "auth/token-endpoint-auth-none", "auth/pre-registration",
}

// newest are those of the newest revision alone.
var newest = []string{
	"auth/resource-mismatch", "auth/offline-access-scope", "auth/offline-access-not-supported", "auth/authorization-server-migration",
	"auth/iss-supported", "auth/iss-not-advertised", "auth/iss-supported-missing", "auth/iss-wrong-issuer", "auth/iss-unexpected", "auth/iss-normalized", "auth/metadata-issuer-mismatch",
}

const extension = "an extension that the sidecar does not have: it signs users in, and never itself in their place"

// all is every scenario for clients, in the suite's order.
func all() (list []scenario) {
	add := func(revision, excuse string, names ...string) {
		for _, name := range names {
			list = append(list, scenario{name, revision, excuse})
		}
	}
	add("2025-03-26", "", "auth/2025-03-26-oauth-metadata-backcompat", "auth/2025-03-26-oauth-endpoint-fallback")
	add("2025-11-25", "", both...)
	add("2026-07-28", "", both...)
	add("2026-07-28", "", newest...)
	add("2025-11-25", "", "initialize", "tools_call", "json-schema-2020-12-preservation", "sse-retry")
	add("2025-11-25", "it is about the form that a client shows its user; the sidecar shows none", "elicitation-sep1034-client-defaults")
	add("2026-07-28", "", "tools_call", "request-metadata", "http-standard-headers", "http-custom-headers", "http-invalid-tool-headers", "json-schema-ref-no-deref", "json-schema-2020-12-preservation")
	add("2026-07-28", "", "sep-2322-client-request-state")
	add("2026-07-28", extension, "auth/client-credentials-jwt", "auth/client-credentials-basic", "auth/enterprise-managed-authorization", "auth/wif-jwt-bearer")
	add("2026-07-28", "an extension that the sidecar does not have: its tokens are bearer tokens", "auth/dpop", "auth/dpop-nonce")
	add("2026-07-28", "an extension about skills, which are the agent's to read", "sep-2640-client-no-prefetch", "sep-2640-client-verify-digest", "sep-2640-client-verify-size", "sep-2640-client-verify-frontmatter")
	return list
}
