package configstore_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

type change = func(*configstore.Server)

func plain(slug string) configstore.Server {
	s := example(slug)
	s.AuthType = configstore.AuthNone
	s.ClearOtherAuth()
	return s
}

func oauth2(s *configstore.Server) {
	s.AuthType, s.OAuth2ClientID, s.OAuth2AuthURL, s.OAuth2TokenURL = configstore.AuthOAuth2, "client", "https://as.example/authorize", "https://as.example/token"
}

func apiKey(s *configstore.Server) {
	s.AuthType, s.APIKeyHeader, s.APIKeyValue = configstore.AuthAPIKey, "X-Key", secret.New("key")
}

// headers sets custom headers: names and values in turn.
func headers(pairs ...string) change {
	return func(s *configstore.Server) {
		s.AuthType, s.CustomHeaders = configstore.AuthCustomHeaders, map[string]secret.Value{}
		for i := 0; i < len(pairs); i += 2 {
			s.CustomHeaders[pairs[i]] = secret.New(pairs[i+1])
		}
	}
}

func both(changes ...change) change {
	return func(s *configstore.Server) {
		for _, c := range changes {
			c(s)
		}
	}
}

// field sets a text field by its name in Go.
func field(name, value string) change {
	return func(s *configstore.Server) {
		f := reflect.ValueOf(s).Elem().FieldByName(name)
		if f.Kind() == reflect.String {
			f.SetString(value)
		} else {
			f.Set(reflect.ValueOf(secret.New(value)))
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }

// wrong lists what is wrong as "field detail".
func wrong(s configstore.Server) (found []string) {
	s.Normalize()
	for _, e := range s.Validate() {
		found = append(found, e.Field+" "+e.Detail)
	}
	return found
}

func TestWhatIsValid(t *testing.T) {
	for name, change := range map[string]change{
		"nothing special":         func(*configstore.Server) {},
		"spaces around":           both(field("DisplayName", "  Name "), field("URL", " https://h.example "), field("Slug", "\tslug\n")),
		"a transport of old":      field("Transport", "sse"),
		"http":                    field("URL", "http://127.0.0.1:8931/mcp?x=1"),
		"an upper-case scheme":    field("URL", "HTTPS://Example.COM"),
		"an IPv6 address":         field("URL", "http://[::1]:80/"),
		"a longest address":       field("URL", "https://h.example/"+long(2048-18)),
		"lines in a description":  field("Description", "one\ntwo\tthree"),
		"an emoji":                field("IconURL", "🐙"),
		"a path of an icon":       field("IconURL", "/icon/a:b.svg"),
		"an image":                field("IconURL", "data:image/png;base64,AAAA"),
		"oauth2":                  oauth2,
		"oauth2, all discovered":  field("AuthType", "oauth2"),
		"oauth2, a client":        both(oauth2, field("OAuth2AuthURL", ""), field("OAuth2TokenURL", "")),
		"oauth2, with its secret": both(oauth2, field("OAuth2AuthURL", ""), field("OAuth2TokenURL", ""), field("OAuth2ClientSecret", "s")),
		"half of another type":    field("OAuth2AuthURL", "https://as.example/authorize"),
		"oauth2 with all":         both(oauth2, field("OAuth2ClientSecret", "s"), field("OAuth2RevocationURL", "https://as.example/revoke"), field("OAuth2Scopes", "a b:c"), field("OAuth2Issuer", "https://as.example/")),
		"revocation on loopback":  both(oauth2, field("OAuth2RevocationURL", "http://localhost:9/revoke")),
		"revocation on 127.0.0.1": both(oauth2, field("OAuth2RevocationURL", "http://127.0.0.1/revoke")),
		"revocation on ::1":       both(oauth2, field("OAuth2RevocationURL", "http://[::1]/revoke")),
		"api key":                 apiKey,
		"api key, default header": both(apiKey, field("APIKeyHeader", " ")),
		"custom headers":          headers("X-A", "a", "X-B", "b\tc", "Authorization", "Bearer x", "Cookie", "a=b"),
		"a secret of another kind": func(s *configstore.Server) {
			apiKey(s)
			s.AuthType = configstore.AuthNone
		},
		"all of the rules": func(s *configstore.Server) {
			s.Rules = policy.Rules{
				Availability: policy.ForceOn, VisibleTo: []string{"alice", " a.b_c@d+e-f "}, ToolAllowList: []string{"a", "get_*"}, ToolDenyList: []string{"*"},
				Expose: []policy.Surface{policy.Extensions}, PlanTools: []string{"a"}, ToolPinning: policy.PinBlock,
			}
		},
		"nothing exposed":   func(s *configstore.Server) { s.Rules.Expose = []policy.Surface{} },
		"forwarded headers": func(s *configstore.Server) { s.ForwardHeaders = []string{"X-Tenant", " traceparent "} },
		"limits":            func(s *configstore.Server) { s.TimeoutMS, s.MaxConcurrent = 600_000, 10_000 },
		"a large secret":    both(apiKey, field("APIKeyValue", long(16<<10))),
	} {
		s := plain("one")
		change(&s)
		if found := wrong(s); found != nil {
			t.Errorf("%s: %q", name, found)
		}
	}
}

func TestWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name   string
		change change
		want   []string // the beginnings of what is wrong, in order
	}{
		{"no name", field("DisplayName", "  "), []string{"display_name is required"}},
		{"a long name", field("DisplayName", long(201)), []string{"display_name may have at most 200"}},
		{"a line in a name", field("DisplayName", "a\nb"), []string{"display_name may not contain control"}},
		{"an escape in a name", field("DisplayName", "a\x1b[31m"), []string{"display_name may not contain control"}},
		{"broken UTF-8", field("DisplayName", "a\xff"), []string{"display_name must be valid UTF-8"}},
		{"no slug", field("Slug", ""), []string{"slug is required"}},
		{"an upper-case slug", field("Slug", "Abc"), []string{"slug must be"}},
		{"an underscore in a slug", field("Slug", "a_b"), []string{"slug must be"}},
		{"a slug with - at its end", field("Slug", "a-"), []string{"slug must be"}},
		{"a long slug", field("Slug", long(33)), []string{"slug must be"}},
		{"a long description", field("Description", long(4097)), []string{"description may have at most"}},
		{"a zero byte in a description", field("Description", "a\x00"), []string{"description may not contain control"}},
		{"a long icon", field("IconURL", "/"+long(2048)), []string{"icon_url may have at most"}},
		{"a script for an icon", field("IconURL", "javascript:alert(1)"), []string{"icon_url must be"}},
		{"a page for an icon", field("IconURL", "DATA:text/html,x"), []string{"icon_url must be"}},
		{"no transport", field("Transport", ""), []string{"transport is required"}},
		{"stdio", field("Transport", "stdio"), []string{"transport must be one of streamable_http and sse"}},
		{"no address", field("URL", " "), []string{"url is required"}},
		{"no scheme", field("URL", "h.example/mcp"), []string{"url must begin with"}},
		{"a file", field("URL", "file:///etc/passwd"), []string{"url must begin with"}},
		{"a relative address", field("URL", "//h.example"), []string{"url must begin with"}},
		{"no host", field("URL", "https:///mcp"), []string{"url must have a host"}},
		{"only a port", field("URL", "https://:443/mcp"), []string{"url must have a host"}},
		{"an opaque address", field("URL", "https:h.example"), []string{"url must have a host"}},
		{"a password", field("URL", "https://u:p@h.example"), []string{"url may not carry"}},
		{"a user name", field("URL", "https://u@h.example"), []string{"url may not carry"}},
		{"a fragment", field("URL", "https://h.example/#x"), []string{"url may not have a fragment"}},
		{"an empty fragment", field("URL", "https://h.example/#"), []string{"url may not have a fragment"}},
		{"a port too high", field("URL", "https://h.example:65536"), []string{"url must have a port"}},
		{"port 0", field("URL", "https://h.example:0"), []string{"url must have a port"}},
		{"half a port", field("URL", "https://h.example:"), []string{"url must have a port"}},
		{"a port that is none", field("URL", "https://h.example:x"), []string{"url is not a valid address"}},
		{"a line in an address", field("URL", "https://h.example/a\r\nX: y"), []string{"url is not a valid address"}},
		{"a space in an address", field("URL", "https://h.example/a b"), []string{"url may not contain spaces"}},
		{"a backslash in an address", field("URL", `https://h.example\@evil`), []string{"url is not a valid address"}},
		{"a long address", field("URL", "https://h.example/"+long(2048)), []string{"url may have at most"}},
		{"an unknown auth type", field("AuthType", "user_oidc"), []string{"auth_type must be one of none, oauth2, api_key and custom_headers"}},
		{"oauth2 addresses without a client", both(oauth2, field("OAuth2ClientID", "  ")), []string{"oauth2_client_id is required where oauth2_auth_url"}},
		{"an oauth2 secret without a client", both(field("AuthType", "oauth2"), field("OAuth2ClientSecret", "s")), []string{"oauth2_client_id is required where oauth2_client_secret"}},
		{"oauth2 without a token address", both(oauth2, field("OAuth2TokenURL", " ")), []string{"oauth2_token_url is required where oauth2_auth_url is given"}},
		{"oauth2 without an authorization address", both(oauth2, field("OAuth2AuthURL", "")), []string{"oauth2_auth_url is required where oauth2_token_url is given"}},
		{"one oauth2 address and nothing else", both(oauth2, field("OAuth2ClientID", ""), field("OAuth2AuthURL", "")), []string{"oauth2_auth_url is required where oauth2_token_url is given"}},
		{"oauth2 with bad addresses", both(oauth2, field("OAuth2AuthURL", "ftp://x"), field("OAuth2TokenURL", "https://")), []string{"oauth2_auth_url must begin", "oauth2_token_url must have a host"}},
		{"a client id with a line", both(oauth2, field("OAuth2ClientID", "a\nb")), []string{"oauth2_client_id may not"}},
		{"a long client secret", both(oauth2, field("OAuth2ClientSecret", long(16<<10+1))), []string{"oauth2_client_secret may have at most"}},
		{"plain revocation", both(oauth2, field("OAuth2RevocationURL", "http://as.example/revoke")), []string{"oauth2_revocation_url must be https"}},
		{"almost localhost", both(oauth2, field("OAuth2RevocationURL", "http://localhost.evil.example/")), []string{"oauth2_revocation_url must be https"}},
		{"revocation without a host", both(oauth2, field("OAuth2RevocationURL", "https:///revoke")), []string{"oauth2_revocation_url must have a host"}},
		{"scopes with a line", both(oauth2, field("OAuth2Scopes", "a\nb")), []string{"oauth2_scopes may not"}},
		{"an issuer with a query", both(oauth2, field("OAuth2Issuer", "https://as.example?x")), []string{"oauth2_issuer may not have a query"}},
		{"an issuer that is none", both(oauth2, field("OAuth2Issuer", "as")), []string{"oauth2_issuer must begin"}},
		{"oauth2 addresses of another type", field("OAuth2TokenURL", "nonsense"), []string{"oauth2_token_url must begin"}},
		{"api key without a value", both(apiKey, field("APIKeyValue", " ")), []string{"api_key_value is required"}},
		{"a header that is none", both(apiKey, field("APIKeyHeader", "X Key")), []string{"api_key_header has"}},
		{"a header of the connection", both(apiKey, field("APIKeyHeader", "Transfer-Encoding")), []string{"api_key_header has Transfer-Encoding"}},
		{"a header of the protocol", both(apiKey, field("APIKeyHeader", "mcp-session-id")), []string{"api_key_header has mcp-session-id"}},
		{"a key with a line", both(apiKey, field("APIKeyValue", "a\r\nX: y")), []string{"api_key_value may not contain line breaks"}},
		{"a key with a zero byte", both(apiKey, field("APIKeyValue", "a\x00b")), []string{"api_key_value may not contain"}},
		{"a long key", both(apiKey, field("APIKeyValue", long(16<<10+1))), []string{"api_key_value may have at most"}},
		{"no custom headers", headers(), []string{"custom_headers needs at least one"}},
		{"a nameless header", headers("", "x"), []string{`custom_headers has ""`}},
		{"a header without a value", headers("X-A", " "), []string{`custom_headers has no value for "X-A"`}},
		{"a colon in a name", headers("X:A", "x"), []string{`custom_headers has "X:A"`}},
		{"a line in a header", headers("X-A", "a\nb"), []string{"custom_headers the value of X-A may not contain line breaks"}},
		{"a header twice", headers("X-A", "a", "x-a", "b"), []string{`custom_headers has "x-a" twice`}},
		{"a header twice but for spaces", headers("X-A", "a", " X-A", "b"), []string{`custom_headers has " X-A"`}},
		{"reserved headers", headers("Host", "x", "connection", "x", "Content-Length", "1", "Content-Type", "x", "MCP-Protocol-Version", "x", "TE", "x", "Keep-Alive", "x", "Upgrade", "x"),
			slices.Repeat([]string{"custom_headers has "}, 8)},
		{"no availability", func(s *configstore.Server) { s.Rules.Availability = "" }, []string{"availability is required"}},
		{"an unknown availability", func(s *configstore.Server) { s.Rules.Availability = "always" }, []string{"availability "}},
		{"blank entries", func(s *configstore.Server) {
			s.Rules.ToolAllowList, s.Rules.ToolDenyList, s.Rules.PlanTools = []string{"a", "  "}, []string{""}, []string{"\t"}
		}, []string{"tool_allow_list entry 1 is blank", "tool_deny_list entry 0 is blank", "plan_tools entry 0 is blank"}},
		{"somebody who cannot be", func(s *configstore.Server) { s.Rules.VisibleTo = []string{"alice", "a b", ""} }, []string{"visible_to entry 1", "visible_to entry 2"}},
		{"visible to nobody, and no availability", func(s *configstore.Server) {
			s.Rules = policy.Rules{VisibleTo: []string{""}, ToolDenyList: []string{""}}
		},
			[]string{"visible_to entry 0", "availability is required", "tool_deny_list entry 0"}},
		{"unknown words", func(s *configstore.Server) {
			s.Rules.Expose, s.Rules.ToolPinning = []policy.Surface{"tool"}, "pin"
		}, []string{"expose ", "tool_pinning "}},
		{"headers not to forward", func(s *configstore.Server) {
			s.ForwardHeaders = []string{"Authorization", "cookie", "Host", "Connection", "Mcp-Session-Id", "Sidecar-User", "X-Forwarded-For", "Proxy-Authorization", "Content-Type"}
		}, slices.Repeat([]string{"forward_headers has "}, 9)},
		{"a blank header to forward", func(s *configstore.Server) { s.ForwardHeaders = []string{"X-A", " "} }, []string{"forward_headers entry 1 is blank"}},
		{"a header to forward twice", func(s *configstore.Server) { s.ForwardHeaders = []string{"X-A", "x-a"} }, []string{`forward_headers has "x-a" twice`}},
		{"a pattern of headers to forward", func(s *configstore.Server) { s.ForwardHeaders = []string{"X-*", "*"} }, []string{`forward_headers has "X-*"`, `forward_headers has "*"`}},
		{"a negative limit", func(s *configstore.Server) { s.TimeoutMS, s.MaxConcurrent = -1, -1 }, []string{"timeout_ms must be", "max_concurrent must be"}},
		{"a limit too high", func(s *configstore.Server) { s.TimeoutMS, s.MaxConcurrent = 600_001, 10_001 }, []string{"timeout_ms must be", "max_concurrent must be"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := plain("one")
			c.change(&s)
			found := wrong(s)
			ok := len(found) == len(c.want)
			for i := 0; ok && i < len(found); i++ {
				ok = strings.HasPrefix(found[i], c.want[i])
			}
			if !ok {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

func TestManyAreTooMany(t *testing.T) {
	s := plain("one")
	s.CustomHeaders = map[string]secret.Value{}
	for i := range configstore.MaxCustomHeaders + 1 {
		s.CustomHeaders[fmt.Sprintf("X-%d", i)] = secret.New("x")
	}
	for i := range 1001 {
		s.ForwardHeaders = append(s.ForwardHeaders, fmt.Sprintf("X-%d", i))
		s.Rules.ToolAllowList = append(s.Rules.ToolAllowList, fmt.Sprintf("tool-%d", i))
	}
	found := wrong(s)
	if len(found) != 3 || !strings.HasPrefix(found[0], "custom_headers ") || !strings.HasPrefix(found[1], "tool_allow_list ") || !strings.HasPrefix(found[2], "forward_headers ") {
		t.Errorf("found %q", found)
	}
}

// Whatever is wrong everywhere is said in the order of the record, and no secret is repeated.
func TestErrorsComeInTheOrderOfTheFields(t *testing.T) {
	s := configstore.Server{AuthType: "x", OAuth2ClientSecret: secret.New("canary\n"), OAuth2AuthURL: "x", OAuth2RevocationURL: "x", OAuth2Issuer: "x", APIKeyValue: secret.New("canary\x00"),
		CustomHeaders: map[string]secret.Value{"X-A": secret.New("canary\r1")}, ForwardHeaders: []string{""}, TimeoutMS: -1, MaxConcurrent: -1, URL: "https://user:canary@h"}
	s.OAuth2ClientSecret = secret.New("can\nary")
	s.APIKeyValue = secret.New("can\x00ary")
	s.Rules.ToolPinning, s.Rules.VisibleTo = "x", []string{""}
	var fields []string
	for _, line := range wrong(s) {
		name, _, _ := strings.Cut(line, " ")
		fields = append(fields, name)
		if strings.Contains(line, "canary") {
			t.Errorf("a secret is repeated: %s", line)
		}
	}
	want := []string{"display_name", "slug", "transport", "url", "auth_type", "oauth2_client_secret", "oauth2_auth_url", "oauth2_revocation_url", "oauth2_issuer", "api_key_value",
		"custom_headers", "visible_to", "availability", "tool_pinning", "forward_headers", "timeout_ms", "max_concurrent"}
	if !slices.Equal(fields, want) {
		t.Errorf("got  %q\nwant %q", fields, want)
	}
}

func TestNormalize(t *testing.T) {
	s := configstore.Server{
		DisplayName: " n ", Slug: " s ", URL: " u ", Transport: " sse ", APIKeyValue: secret.New(" k "), OAuth2ClientSecret: secret.New("  "),
		CustomHeaders: map[string]secret.Value{" X-A ": secret.New(" v ")}, ForwardHeaders: []string{" a ", " "},
	}
	s.Rules.ToolAllowList = []string{" a ", "  ", "b"}
	s.Normalize()
	if s.DisplayName != "n" || s.Slug != "s" || s.URL != "u" || s.Transport != configstore.SSE || s.APIKeyValue.Reveal() != "k" || !s.OAuth2ClientSecret.IsZero() || s.CustomHeaders["X-A"].Reveal() != "v" {
		t.Errorf("not trimmed: %+v", s)
	}
	if !slices.Equal(s.Rules.ToolAllowList, []string{"a", "", "b"}) || !slices.Equal(s.ForwardHeaders, []string{"a", ""}) {
		t.Errorf("the lists are %q and %q: a blank entry must stay, or the list could open", s.Rules.ToolAllowList, s.ForwardHeaders)
	}
	if s.AuthType != configstore.AuthNone || s.Rules.ToolPinning != policy.PinWarn || !slices.Equal(s.Rules.Expose, policy.DefaultExpose()) || s.APIKeyHeader != "" || s.Rules.Availability != "" {
		t.Errorf("the defaults are %+v", s)
	}
	s.AuthType = configstore.AuthAPIKey
	s.Normalize()
	if s.APIKeyHeader != "Authorization" {
		t.Errorf("the header of an API key is %q", s.APIKeyHeader)
	}
	s.Rules.Expose = []policy.Surface{}
	s.Normalize()
	if s.Rules.Expose == nil || len(s.Rules.Expose) != 0 {
		t.Error("nothing exposed became the default")
	}
}

func TestNormalizeDoesNotWriteToListsThatOthersHold(t *testing.T) {
	list := []string{" a "}
	named := map[string]secret.Value{" a ": secret.New(" v ")}
	s := configstore.Server{ForwardHeaders: list, CustomHeaders: named}
	s.Normalize()
	if list[0] != " a " || len(named) != 1 || named[" a "].Reveal() != " v " {
		t.Errorf("it wrote to %q, %v", list, named)
	}
}

func TestClearOtherAuth(t *testing.T) {
	full := func() configstore.Server {
		s := example("one")
		oauth2(&s)
		apiKey(&s)
		s.OAuth2ClientSecret, s.OAuth2RevocationURL, s.OAuth2Scopes, s.OAuth2Issuer = secret.New("x"), "x", "x", "x"
		return s
	}
	for kind, want := range map[configstore.AuthType][3]bool{
		configstore.AuthNone: {}, configstore.AuthOAuth2: {true, false, false}, configstore.AuthAPIKey: {false, true, false}, configstore.AuthCustomHeaders: {false, false, true},
	} {
		s := full()
		s.AuthType = kind
		s.ClearOtherAuth()
		oauth2Text := s.OAuth2ClientID + s.OAuth2AuthURL + s.OAuth2TokenURL + s.OAuth2RevocationURL + s.OAuth2Scopes + s.OAuth2Issuer + s.OAuth2ClientSecret.Reveal()
		apiKeyText := s.APIKeyHeader + s.APIKeyValue.Reveal()
		if got := [3]bool{oauth2Text != "", apiKeyText != "", len(s.CustomHeaders) > 0}; got != want {
			t.Errorf("%s keeps oauth2, api key, headers: %v, want %v", kind, got, want)
		}
		if kind == configstore.AuthOAuth2 && (s.OAuth2ClientSecret.IsZero() || s.OAuth2RevocationURL == "" || s.OAuth2Scopes == "" || s.OAuth2Issuer == "") {
			t.Error("oauth2 lost a field of its own")
		}
	}
}
