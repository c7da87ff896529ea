package admin

import (
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

// ServerChange is what a request says about a server. Absent and null mean that nothing is said.
type ServerChange struct {
	DisplayName *string `json:"display_name,omitzero" doc:"what people see"`
	Slug        *string `json:"slug,omitzero" doc:"what agents see: a-z, 0-9 and inner -, at most 32 characters"`
	Description *string `json:"description,omitzero" doc:"free text"`
	IconURL     *string `json:"icon_url,omitzero" doc:"an image, for pages"`
	Transport   *string `json:"transport,omitzero" enum:"streamable_http,sse" doc:"how the server speaks"`
	URL         *string `json:"url,omitzero" doc:"where the server is. Another origin needs the stored secrets to be sent again"`

	AuthType            *string                `json:"auth_type,omitzero" enum:"none,oauth2,api_key,custom_headers" doc:"how the sidecar proves itself. Changing it clears the fields of the other types"`
	OAuth2ClientID      *string                `json:"oauth2_client_id,omitzero" doc:"for oauth2; left out: the sidecar registers itself"`
	OAuth2ClientSecret  *secretText            `json:"oauth2_client_secret,omitzero" doc:"for oauth2; never shown again, empty clears"`
	OAuth2AuthURL       *string                `json:"oauth2_auth_url,omitzero" doc:"for oauth2, together with oauth2_token_url; both left out: discovered"`
	OAuth2TokenURL      *string                `json:"oauth2_token_url,omitzero" doc:"for oauth2, together with oauth2_auth_url"`
	OAuth2RevocationURL *string                `json:"oauth2_revocation_url,omitzero" doc:"for oauth2"`
	OAuth2Scopes        *string                `json:"oauth2_scopes,omitzero" doc:"for oauth2, separated by spaces; left out: what the server asks for"`
	OAuth2Issuer        *string                `json:"oauth2_issuer,omitzero" doc:"for oauth2: the exact issuer that is accepted, whatever metadata say"`
	APIKeyHeader        *string                `json:"api_key_header,omitzero" doc:"for api_key"`
	APIKeyValue         *secretText            `json:"api_key_value,omitzero" doc:"for api_key, sent as it is; never shown again, empty clears"`
	CustomHeaders       *map[string]secretText `json:"custom_headers,omitzero" doc:"for custom_headers; replaced as a whole and never shown again, empty clears"`

	ToolAllowList   *[]string         `json:"tool_allow_list,omitzero" doc:"original tool names or patterns with *; empty: all"`
	ToolDenyList    *[]string         `json:"tool_deny_list,omitzero" doc:"always wins"`
	Availability    *string           `json:"availability,omitzero" enum:"force_on,default_on,default_off" doc:"whether the server is used without being selected"`
	Enabled         *bool             `json:"enabled,omitzero" doc:"default false"`
	ModelIntent     *bool             `json:"model_intent,omitzero" doc:"whether the model is asked to say what it wants"`
	AllowInPlanMode *bool             `json:"allow_in_plan_mode,omitzero" doc:"whether root agents may use it while they plan"`
	Expose          *[]policy.Surface `json:"expose,omitzero" doc:"the surfaces that pass; default tools, prompts and resources"`
	PlanTools       *[]string         `json:"plan_tools,omitzero" doc:"narrows plan mode; empty: all"`
	PlanReadOnly    *bool             `json:"plan_read_only,omitzero" doc:"narrows plan mode to tools that were approved as read-only"`
	ToolPinning     *string           `json:"tool_pinning,omitzero" enum:"off,warn,block" doc:"what a changed tool definition leads to; default warn"`
	VisibleTo       *[]string         `json:"visible_to,omitzero" doc:"user names; empty: everyone"`
	ForwardHeaders  *[]string         `json:"forward_headers,omitzero" doc:"request headers of the agent that are passed on; default none"`
	TimeoutMS       *int              `json:"timeout_ms,omitzero" doc:"of one call; 0: the default"`
	MaxConcurrent   *int              `json:"max_concurrent,omitzero" doc:"calls at the same time; 0: the default"`

	problems []policy.FieldError // found while reading
}

func (c *ServerChange) keep(problems []policy.FieldError) { c.problems = problems }

// NewServer is what a request says about a server that is to be created.
type NewServer struct{ ServerChange }

func (NewServer) required() []string {
	return []string{"display_name", "slug", "transport", "url", "auth_type", "availability"}
}

// secretText is a secret on its way in. It has no way out: it encodes as what it prints as.
type secretText struct{ secret.Value }

// UnmarshalJSON reads a JSON string.
func (s *secretText) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	s.Value = secret.New(text)
	return nil
}

// MarshalJSON keeps the text in.
func (s secretText) MarshalJSON() ([]byte, error) { return []byte(`"[redacted]"`), nil }

// apply makes the change on a record and judges the result; checkURL judges addresses that are new to it. It is pure, so that it can be tried before it is done inside a transaction.
func (c ServerChange) apply(s *configstore.Server, checkURL func(string) error) error {
	before := *s
	c.set(s)
	if s.AuthType != before.AuthType && before.AuthType != "" { // a new server keeps what it is sent
		s.ClearOtherAuth()
	}
	unnamed := unnamedKey(*s)
	s.Normalize()
	problems := slices.Concat(c.problems, c.blankWords(), unnamed, c.masks(), withoutValues(s.Validate(), *s))
	problems = append(problems, newAddresses(before, *s, checkURL)...)
	problems = append(problems, c.strayedSecrets(before, *s)...)
	return invalid(problems)
}

func (c ServerChange) set(s *configstore.Server) {
	set(&s.DisplayName, c.DisplayName)
	set(&s.Slug, c.Slug)
	set(&s.Description, c.Description)
	set(&s.IconURL, c.IconURL)
	setWord(&s.Transport, c.Transport)
	set(&s.URL, c.URL)

	setWord(&s.AuthType, c.AuthType)
	set(&s.OAuth2ClientID, c.OAuth2ClientID)
	setSecret(&s.OAuth2ClientSecret, c.OAuth2ClientSecret)
	set(&s.OAuth2AuthURL, c.OAuth2AuthURL)
	set(&s.OAuth2TokenURL, c.OAuth2TokenURL)
	set(&s.OAuth2RevocationURL, c.OAuth2RevocationURL)
	set(&s.OAuth2Scopes, c.OAuth2Scopes)
	set(&s.OAuth2Issuer, c.OAuth2Issuer)
	set(&s.APIKeyHeader, c.APIKeyHeader)
	setSecret(&s.APIKeyValue, c.APIKeyValue)
	c.setCustomHeaders(s)

	set(&s.Rules.ToolAllowList, c.ToolAllowList)
	set(&s.Rules.ToolDenyList, c.ToolDenyList)
	setWord(&s.Rules.Availability, c.Availability)
	set(&s.Rules.Enabled, c.Enabled)
	set(&s.ModelIntent, c.ModelIntent)
	set(&s.Rules.AllowInPlanMode, c.AllowInPlanMode)
	set(&s.Rules.Expose, c.Expose)
	set(&s.Rules.PlanTools, c.PlanTools)
	set(&s.Rules.PlanReadOnly, c.PlanReadOnly)
	setWord(&s.Rules.ToolPinning, c.ToolPinning)
	set(&s.Rules.VisibleTo, c.VisibleTo)
	set(&s.ForwardHeaders, c.ForwardHeaders)
	set(&s.TimeoutMS, c.TimeoutMS)
	set(&s.MaxConcurrent, c.MaxConcurrent)
}

func (c ServerChange) setCustomHeaders(s *configstore.Server) {
	if c.CustomHeaders == nil {
		return
	}
	s.CustomHeaders = map[string]secret.Value{}
	for name, value := range *c.CustomHeaders {
		s.CustomHeaders[name] = value.Value
	}
}

// set writes what a request says. Lists are copied, since the same change may be applied twice and normalizing works in place.
func set[T any](field *T, said *T) {
	if said == nil {
		return
	}
	switch said := any(*said).(type) {
	case []string:
		*field = any(list(said)).(T)
	case []policy.Surface:
		*field = any(list(said)).(T)
	default:
		*field = said.(T)
	}
}

func setWord[W ~string](field *W, said *string) {
	if said != nil {
		*field = W(strings.TrimSpace(*said))
	}
}

func setSecret(field *secret.Value, said *secretText) {
	if said != nil {
		*field = said.Value
	}
}

// blankWords finds words of a closed set that were sent empty. Left out they keep their value or get the default; empty they mean nothing.
func (c ServerChange) blankWords() (problems []policy.FieldError) {
	for _, word := range []struct {
		field string
		said  *string
		known string
	}{
		{"transport", c.Transport, "streamable_http or sse"},
		{"auth_type", c.AuthType, "none, oauth2, api_key or custom_headers"},
		{"availability", c.Availability, "force_on, default_on or default_off"},
		{"tool_pinning", c.ToolPinning, "off, warn or block"},
	} {
		if word.said != nil && strings.TrimSpace(*word.said) == "" {
			problems = append(problems, problem(word.field, "must be "+word.known))
		}
	}
	return problems
}

// unnamedKey finds an API key of which nobody said in which header it goes. The reference system has no default for it here, and to guess is to send a secret where it may not belong.
func unnamedKey(s configstore.Server) []policy.FieldError {
	if s.AuthType == configstore.AuthAPIKey && strings.TrimSpace(s.APIKeyHeader) == "" {
		return []policy.FieldError{problem("api_key_header", "is required for auth_type api_key")}
	}
	return nil
}

// missing finds what a new server must have.
func (c NewServer) missing() (problems []policy.FieldError) {
	form := formOf(reflect.TypeFor[NewServer]())
	for _, name := range c.required() {
		said := reflect.ValueOf(c).FieldByIndex(form.fields[name]).Interface().(*string)
		if said == nil || strings.TrimSpace(*said) == "" {
			problems = append(problems, problem(name, "is required"))
		}
	}
	return problems
}

// masks finds secrets that are what a page shows in place of one. Stored as sent, they would replace the real one.
func (c ServerChange) masks() (problems []policy.FieldError) {
	const detail = "is a mask and not a secret: leave the field out to keep what is stored"
	if c.OAuth2ClientSecret != nil && masked(c.OAuth2ClientSecret.Reveal()) {
		problems = append(problems, problem("oauth2_client_secret", detail))
	}
	if c.APIKeyValue != nil && masked(c.APIKeyValue.Reveal()) {
		problems = append(problems, problem("api_key_value", detail))
	}
	if c.CustomHeaders != nil && slices.ContainsFunc(slices.Collect(maps.Values(*c.CustomHeaders)), func(v secretText) bool { return masked(v.Reveal()) }) {
		problems = append(problems, problem("custom_headers", detail))
	}
	return problems
}

func masked(text string) bool {
	text = strings.TrimSpace(text)
	return text != "" && (strings.EqualFold(text, "[redacted]") || strings.Trim(text, "*•●·∙") == "")
}

// newAddresses judges the addresses that the change brings. Those that are stored already were judged then, and must not stand in the way of, say, disabling the server.
func newAddresses(before, after configstore.Server, checkURL func(string) error) (problems []policy.FieldError) {
	for _, address := range []struct{ field, before, after string }{
		{"url", before.URL, after.URL},
		{"oauth2_auth_url", before.OAuth2AuthURL, after.OAuth2AuthURL},
		{"oauth2_token_url", before.OAuth2TokenURL, after.OAuth2TokenURL},
		{"oauth2_revocation_url", before.OAuth2RevocationURL, after.OAuth2RevocationURL},
		{"oauth2_issuer", before.OAuth2Issuer, after.OAuth2Issuer},
	} {
		if address.after == "" || address.after == address.before {
			continue
		}
		if err := checkURL(address.after); err != nil {
			problems = append(problems, problem(address.field, err.Error()))
		}
	}
	return problems
}

// strayedSecrets finds secrets that are kept while the place they go to becomes another: a stored secret was given for one place, and who can write a record must not be able to send it elsewhere.
func (c ServerChange) strayedSecrets(before, after configstore.Server) (problems []policy.FieldError) {
	const detail = "was stored for another address: send it again together with the new one, or empty to clear it"
	if origin(before.URL) != origin(after.URL) {
		if c.APIKeyValue == nil && !before.APIKeyValue.IsZero() && !after.APIKeyValue.IsZero() {
			problems = append(problems, problem("api_key_value", detail))
		}
		if c.CustomHeaders == nil && len(before.CustomHeaders) > 0 && len(after.CustomHeaders) > 0 {
			problems = append(problems, problem("custom_headers", detail))
		}
	}
	if c.OAuth2ClientSecret == nil && !before.OAuth2ClientSecret.IsZero() && !after.OAuth2ClientSecret.IsZero() && !subset(secretOrigins(after), secretOrigins(before)) {
		problems = append(problems, problem("oauth2_client_secret", detail))
	}
	return problems
}

// secretOrigins is where a client secret may be sent.
func secretOrigins(s configstore.Server) (origins []string) {
	token := s.OAuth2TokenURL
	if token == "" { // which is discovered then, by asking the server
		token = s.URL
	}
	for _, address := range []string{token, s.OAuth2RevocationURL, s.OAuth2Issuer} {
		if address != "" {
			origins = append(origins, origin(address))
		}
	}
	return origins
}

func subset(part, whole []string) bool {
	return !slices.ContainsFunc(part, func(one string) bool { return !slices.Contains(whole, one) })
}

// origin is the part of a URL that says who answers there.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	port := u.Port()
	switch {
	case port == "" && u.Scheme == "https":
		port = "443"
	case port == "" && u.Scheme == "http":
		port = "80"
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}
