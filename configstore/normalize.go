package configstore

import (
	"strings"

	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

// DefaultAPIKeyHeader carries an API key where the admin names no header.
const DefaultAPIKeyHeader = "Authorization"

// Normalize trims texts and list entries, and fills defaults. A blank list entry stays, so that Validate can refuse it: dropping it could turn an allow list into none. There is no default
// for transport and availability, which a new server must say.
func (s *Server) Normalize() {
	for _, text := range []*string{
		&s.DisplayName, &s.Slug, &s.Description, &s.IconURL, &s.URL, &s.OAuth2ClientID, &s.OAuth2AuthURL, &s.OAuth2TokenURL,
		&s.OAuth2RevocationURL, &s.OAuth2Scopes, &s.OAuth2Issuer, &s.APIKeyHeader,
	} {
		*text = strings.TrimSpace(*text)
	}
	trimWord(&s.Transport)
	trimWord(&s.AuthType)
	trimWord(&s.Rules.Availability)
	trimWord(&s.Rules.ToolPinning)
	for _, list := range []*[]string{&s.Rules.VisibleTo, &s.Rules.ToolAllowList, &s.Rules.ToolDenyList, &s.Rules.PlanTools, &s.ForwardHeaders} {
		*list = trimmed(*list)
	}
	s.Rules.Expose = trimmed(s.Rules.Expose)
	s.OAuth2ClientSecret = trimSecret(s.OAuth2ClientSecret)
	s.APIKeyValue = trimSecret(s.APIKeyValue)
	s.CustomHeaders = trimHeaders(s.CustomHeaders)
	s.fillDefaults()
}

func (s *Server) fillDefaults() {
	if s.AuthType == "" {
		s.AuthType = AuthNone
	}
	if s.AuthType == AuthAPIKey && s.APIKeyHeader == "" {
		s.APIKeyHeader = DefaultAPIKeyHeader
	}
	if s.Rules.ToolPinning == "" {
		s.Rules.ToolPinning = policy.PinWarn
	}
	if s.Rules.Expose == nil {
		s.Rules.Expose = policy.DefaultExpose()
	}
}

// ClearOtherAuth empties the fields that belong to other auth types than the server's.
func (s *Server) ClearOtherAuth() {
	if s.AuthType != AuthOAuth2 {
		s.OAuth2ClientID, s.OAuth2AuthURL, s.OAuth2TokenURL, s.OAuth2RevocationURL, s.OAuth2Scopes, s.OAuth2Issuer = "", "", "", "", "", ""
		s.OAuth2ClientSecret = secret.Value{}
	}
	if s.AuthType != AuthAPIKey {
		s.APIKeyHeader = ""
		s.APIKeyValue = secret.Value{}
	}
	if s.AuthType != AuthCustomHeaders {
		s.CustomHeaders = nil
	}
}

func trimWord[Word ~string](word *Word) { *word = Word(strings.TrimSpace(string(*word))) }

// trimmed returns a list of its own; nil stays nil, and an empty list stays one.
func trimmed[Entry ~string](list []Entry) []Entry {
	if list == nil {
		return nil
	}
	entries := make([]Entry, len(list))
	for i, entry := range list {
		entries[i] = Entry(strings.TrimSpace(string(entry)))
	}
	return entries
}

func trimSecret(v secret.Value) secret.Value { return secret.New(strings.TrimSpace(v.Reveal())) }

// trimHeaders trims names and values. Two names that differ only in the spaces around them stay two, so that Validate refuses the one with spaces and neither is lost.
func trimHeaders(headers map[string]secret.Value) map[string]secret.Value {
	if headers == nil {
		return nil
	}
	result := make(map[string]secret.Value, len(headers))
	for name, value := range headers {
		short := strings.TrimSpace(name)
		if _, taken := headers[short]; taken && short != name || hasName(result, short) {
			short = name
		}
		result[short] = trimSecret(value)
	}
	return result
}

func hasName(headers map[string]secret.Value, name string) bool {
	_, there := headers[name]
	return there
}
