package configstore

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

// FieldError is one thing that is wrong with a record, by the field's JSON name.
type FieldError = policy.FieldError

// What a server's fields may hold at most; the lists of rules are policy's.
const (
	MaxDisplayName   = 200 // bytes, like all of these
	MaxDescription   = 4096
	MaxURL           = 2048
	MaxSecret        = 16 << 10
	MaxScopes        = 4096
	MaxClientID      = 1024
	MaxCustomHeaders = 100 // names
	MaxForwarded     = 100 // names
	MaxHeaderName    = 128
	MaxTimeoutMS     = 600_000
	MaxConcurrent    = 10_000
)

// Validate returns everything that is wrong with a normalized server, in the order of the fields; create and update use the same. Addresses are not judged here: whether one may be reached is
// known when it is dialled.
func (s *Server) Validate() []FieldError {
	var c checker
	c.identity(s)
	c.oauth2(s)
	c.apiKey(s)
	c.customHeaders(s)
	c.rules(s.Rules)
	c.forwardHeaders(s.ForwardHeaders)
	c.limit("timeout_ms", s.TimeoutMS, MaxTimeoutMS)
	c.limit("max_concurrent", s.MaxConcurrent, MaxConcurrent)
	return c.found
}

// checker collects what is wrong. A detail continues a sentence that begins with the field's name.
type checker struct{ found []FieldError }

func (c *checker) add(field, format string, args ...any) {
	c.found = append(c.found, FieldError{Field: field, Detail: fmt.Sprintf(format, args...)})
}

func (c *checker) identity(s *Server) {
	c.required("display_name", s.DisplayName)
	c.text("display_name", s.DisplayName, MaxDisplayName, "")
	switch {
	case s.Slug == "":
		c.add("slug", "is required")
	case !policy.ValidSlug(s.Slug):
		c.add("slug", "must be 1 to 32 of a-z and 0-9, with - between them")
	}
	c.text("description", s.Description, MaxDescription, "\n\r\t")
	c.icon(s.IconURL)
	c.word("transport", string(s.Transport), string(StreamableHTTP), string(SSE))
	c.required("url", s.URL)
	c.address("url", s.URL, webAddress)
	c.word("auth_type", string(s.AuthType), string(AuthNone), string(AuthOAuth2), string(AuthAPIKey), string(AuthCustomHeaders))
}

func (c *checker) oauth2(s *Server) {
	c.handmade(s)
	c.text("oauth2_client_id", s.OAuth2ClientID, MaxClientID, "")
	c.secret("oauth2_client_secret", s.OAuth2ClientSecret, "")
	c.address("oauth2_auth_url", s.OAuth2AuthURL, webAddress)
	c.address("oauth2_token_url", s.OAuth2TokenURL, webAddress)
	c.address("oauth2_revocation_url", s.OAuth2RevocationURL, secureAddress)
	c.text("oauth2_scopes", s.OAuth2Scopes, MaxScopes, "")
	c.address("oauth2_issuer", s.OAuth2Issuer, issuerAddress)
}

// handmade judges what an admin gives by hand. What is not given is discovered, but one endpoint cannot be used without the other, and neither they nor a secret without the client that they are for.
func (c *checker) handmade(s *Server) {
	if s.AuthType != AuthOAuth2 {
		return
	}
	endpoints := s.OAuth2AuthURL != "" && s.OAuth2TokenURL != ""
	switch {
	case s.OAuth2ClientID != "":
	case endpoints:
		c.add("oauth2_client_id", "is required where oauth2_auth_url and oauth2_token_url are given")
	case !s.OAuth2ClientSecret.IsZero():
		c.add("oauth2_client_id", "is required where oauth2_client_secret is given")
	}
	const both = "is required where %s is given: give both, or neither to have them discovered"
	switch {
	case s.OAuth2AuthURL == "" && s.OAuth2TokenURL != "":
		c.add("oauth2_auth_url", both, "oauth2_token_url")
	case s.OAuth2AuthURL != "" && s.OAuth2TokenURL == "":
		c.add("oauth2_token_url", both, "oauth2_auth_url")
	}
}

func (c *checker) apiKey(s *Server) {
	if s.APIKeyHeader != "" {
		c.headerName("api_key_header", s.APIKeyHeader, reservedForUs)
	} else if s.AuthType == AuthAPIKey {
		c.add("api_key_header", "is required for auth_type api_key")
	}
	if s.AuthType == AuthAPIKey && s.APIKeyValue.IsZero() {
		c.add("api_key_value", "is required for auth_type api_key")
	}
	c.headerValue("api_key_value", "", s.APIKeyValue)
}

// rules are policy's to judge, but that availability has to be said is the record's.
func (c *checker) rules(rules policy.Rules) {
	found := policy.Validate(rules)
	if rules.Availability == "" {
		at := slices.IndexFunc(found, func(e FieldError) bool { return e.Field != "visible_to" })
		if at < 0 {
			at = len(found)
		}
		missing := FieldError{Field: "availability", Detail: "is required: one of force_on, default_on and default_off"}
		found = slices.Insert(found, at, missing)
	}
	c.found = append(c.found, found...)
}

func (c *checker) required(field, value string) {
	if value == "" {
		c.add(field, "is required")
	}
}

func (c *checker) limit(field string, value, most int) {
	if value < 0 || value > most {
		c.add(field, "must be between 0 and %d", most)
	}
}

func (c *checker) word(field, value string, known ...string) {
	list := strings.Join(known[:len(known)-1], ", ") + " and " + known[len(known)-1]
	switch {
	case value == "":
		c.add(field, "is required: one of %s", list)
	case !slices.Contains(known, value):
		c.add(field, "must be one of %s", list)
	}
}

// text bounds a text and keeps control characters out of lists and logs, but for those that are allowed.
func (c *checker) text(field, value string, most int, allowed string) {
	switch {
	case len(value) > most:
		c.add(field, "may have at most %d bytes", most)
	case !utf8.ValidString(value):
		c.add(field, "must be valid UTF-8")
	case strings.ContainsFunc(value, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune(allowed, r) }):
		c.add(field, "may not contain control characters")
	}
}

// secret bounds a secret without ever repeating it.
func (c *checker) secret(field string, value secret.Value, whose string) {
	switch text := value.Reveal(); {
	case len(text) > MaxSecret:
		c.add(field, "%smay have at most %d bytes", whose, MaxSecret)
	case !utf8.ValidString(text):
		c.add(field, "%smust be valid UTF-8", whose)
	case strings.ContainsFunc(text, unicode.IsControl):
		c.add(field, "%smay not contain line breaks or other control characters", whose)
	}
}
