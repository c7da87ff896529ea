package discovery_test

import (
	"slices"
	"strings"
	"testing"

	"mcpsidecar/discovery"
)

func TestChallenges(t *testing.T) {
	const u = "https://mcp.example.com/.well-known/oauth-protected-resource"
	is := func(metadata, code string, scopes ...string) discovery.Challenge {
		return discovery.Challenge{ResourceMetadata: metadata, Error: code, Scopes: scopes}
	}
	one := func(header string) []string { return []string{header} }
	tests := []struct {
		what   string
		header []string
		want   discovery.Challenge
	}{
		{"the specification's example", one(`Bearer resource_metadata="` + u + `", scope="files:read"`), is(u, "", "files:read")},
		{"its other example", one(`Bearer error="insufficient_scope", scope="files:read files:write", resource_metadata="` + u + `", error_description="Needs, more = \"scopes\""`), is(u, "insufficient_scope", "files:read", "files:write")},
		{"nothing", nil, is("", "")},
		{"an empty one", one(``), is("", "")},
		{"only the scheme", one(`Bearer`), is("", "")},
		{"a scheme in another case", one(`bEARER Resource_Metadata="` + u + `"`), is(u, "")},
		{"without a space", one(`Bearer resource_metadata="` + u + `",scope="a"`), is(u, "", "a")},
		{"with spaces", one("Bearer  resource_metadata = \"" + u + "\" \t,\t scope =\t\"a\""), is(u, "", "a")},
		{"without commas", one(`Bearer error="invalid_token" resource_metadata="` + u + `"`), is(u, "invalid_token")},
		{"without quotes", one(`Bearer error=invalid_token, resource_metadata=` + u + `, scope=a`), is(u, "invalid_token", "a")},
		{"escaped quotes", one(`Bearer realm="a \" resource_metadata=\"https://evil.example\"", resource_metadata="` + u + `"`), is(u, "")},
		{"a quoted string in a wrong place", one(`Bearer "x", "resource_metadata=https://evil.example", resource_metadata="` + u + `"`), is(u, "")},
		{"the first of two counts", one(`Bearer scope="a", scope="b"`), is("", "", "a")},
		{"after another scheme", one(`Basic realm="x", error="no", Bearer error="invalid_token"`), is("", "invalid_token")},
		{"before another scheme", one(`Bearer error="invalid_token", Basic realm="x", scope="no"`), is("", "invalid_token")},
		{"after credentials", one(`Negotiate YWJj==, Bearer error="invalid_token"`), is("", "invalid_token")},
		{"in several lines", []string{`Basic realm="x"`, `Bearer scope="a"`, `Bearer error="invalid_token", scope="b"`}, is("", "invalid_token", "a")},
		{"a line ends a scheme", []string{`Bearer`, `scope="a"`}, is("", "")},
		{"another scheme's parameters", one(`DPoP scope="a", resource_metadata="` + u + `"`), is("", "")},
		{"no scheme", one(`resource_metadata="` + u + `"`), is("", "")},
		{"a name that begins alike", one(`BearerX scope="a"`), is("", "")},
		{"a string without an end", one(`Bearer scope="a", resource_metadata="` + u), is("", "", "a")},
		{"an escape without an end", one(`Bearer resource_metadata="a\`), is("", "")},
		{"only an equals sign", one(`Bearer =`), is("", "")},
		{"an empty value", one(`Bearer scope=, error="x"`), is("", "x")},
		{"scopes twice, and what is none", one("Bearer scope=\"a  a b\x7f c\""), is("", "", "a", "c")},
		{"an error that breaks lines", one("Bearer error=\"a\nb\""), is("", "")},
		{"an error without end", one(`Bearer error="` + strings.Repeat("a", 65) + `"`), is("", "")},
		{"a URL without end", one(`Bearer resource_metadata="https://` + strings.Repeat("a", 3000) + `"`), is("", "")},
		{"a header without end", one(`Bearer scope="a", x="` + strings.Repeat("a", 20000) + `", error="late"`), is("", "", "a")},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			got := discovery.ParseChallenge(test.header...)
			if got.ResourceMetadata != test.want.ResourceMetadata || got.Error != test.want.Error || !slices.Equal(got.Scopes, test.want.Scopes) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestScopesAreBounded(t *testing.T) {
	var many []string
	for i := range 3000 {
		many = append(many, "scope"+strings.Repeat("x", i%7)+string(rune('a'+i%26))+strings.Repeat("y", i%11))
	}
	got := discovery.ParseChallenge(`Bearer scope="` + strings.Join(many, " ")[:15000] + `"`)
	if n := len(strings.Join(got.Scopes, " ")); n == 0 || n > 4096 {
		t.Errorf("%d bytes of scopes", n)
	}
}
