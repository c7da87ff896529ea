package configstore

import (
	"time"

	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

const (
	prefixServer = "server/"
	prefixSlug   = "slug/"
)

func serverKey(id string) string { return prefixServer + id }
func slugKey(slug string) string { return prefixSlug + slug }

// slugRecord is who has a slug.
type slugRecord struct {
	ServerID string `json:"server_id"`
}

// serverRecord is a Server as it is stored. Its field names are forever. Lists keep the difference between none (null) and an empty one ([]).
type serverRecord struct {
	ID          string    `json:"id"`
	DisplayName string    `json:"display_name"`
	Slug        string    `json:"slug"`
	Description string    `json:"description"`
	IconURL     string    `json:"icon_url"`
	Transport   Transport `json:"transport"`
	URL         string    `json:"url"`

	AuthType            AuthType          `json:"auth_type"`
	OAuth2ClientID      string            `json:"oauth2_client_id"`
	OAuth2ClientSecret  []byte            `json:"oauth2_client_secret"` // sealed, like all secrets here
	OAuth2AuthURL       string            `json:"oauth2_auth_url"`
	OAuth2TokenURL      string            `json:"oauth2_token_url"`
	OAuth2RevocationURL string            `json:"oauth2_revocation_url"`
	OAuth2Scopes        string            `json:"oauth2_scopes"`
	OAuth2Issuer        string            `json:"oauth2_issuer"`
	APIKeyHeader        string            `json:"api_key_header"`
	APIKeyValue         []byte            `json:"api_key_value"`
	CustomHeaders       map[string][]byte `json:"custom_headers"`

	Enabled         bool                `json:"enabled"`
	VisibleTo       []string            `json:"visible_to"`
	Availability    policy.Availability `json:"availability"`
	ToolAllowList   []string            `json:"tool_allow_list"`
	ToolDenyList    []string            `json:"tool_deny_list"`
	Expose          []policy.Surface    `json:"expose"`
	AllowInPlanMode bool                `json:"allow_in_plan_mode"`
	PlanTools       []string            `json:"plan_tools"`
	PlanReadOnly    bool                `json:"plan_read_only"`
	ToolPinning     policy.Pinning      `json:"tool_pinning"`

	ModelIntent    bool     `json:"model_intent"`
	ForwardHeaders []string `json:"forward_headers"`
	TimeoutMS      int      `json:"timeout_ms"`
	MaxConcurrent  int      `json:"max_concurrent"`

	CreatedBy string    `json:"created_by"`
	UpdatedBy string    `json:"updated_by"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Revision  uint64    `json:"revision"`
}

// The places for which a server's secrets are sealed.
func clientSecretPlace(id string) string { return serverKey(id) + "/oauth2_client_secret" }
func apiKeyPlace(id string) string       { return serverKey(id) + "/api_key_value" }
func headerPlace(id, name string) string { return serverKey(id) + "/custom_headers/" + name }

// sealServer turns a server into its stored form.
func (c codec) sealServer(s Server) (serverRecord, error) {
	stored := serverRecord{
		ID: s.ID, DisplayName: s.DisplayName, Slug: s.Slug, Description: s.Description, IconURL: s.IconURL, Transport: s.Transport, URL: s.URL,
		AuthType: s.AuthType, OAuth2ClientID: s.OAuth2ClientID, OAuth2AuthURL: s.OAuth2AuthURL, OAuth2TokenURL: s.OAuth2TokenURL,
		OAuth2RevocationURL: s.OAuth2RevocationURL, OAuth2Scopes: s.OAuth2Scopes, OAuth2Issuer: s.OAuth2Issuer, APIKeyHeader: s.APIKeyHeader,
		Enabled: s.Rules.Enabled, VisibleTo: s.Rules.VisibleTo, Availability: s.Rules.Availability, ToolAllowList: s.Rules.ToolAllowList,
		ToolDenyList: s.Rules.ToolDenyList, Expose: s.Rules.Expose, AllowInPlanMode: s.Rules.AllowInPlanMode, PlanTools: s.Rules.PlanTools,
		PlanReadOnly: s.Rules.PlanReadOnly, ToolPinning: s.Rules.ToolPinning,
		ModelIntent: s.ModelIntent, ForwardHeaders: s.ForwardHeaders, TimeoutMS: s.TimeoutMS, MaxConcurrent: s.MaxConcurrent,
		CreatedBy: s.CreatedBy, UpdatedBy: s.UpdatedBy, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, Revision: s.Revision,
	}
	var err error
	if stored.OAuth2ClientSecret, err = c.sealText(s.OAuth2ClientSecret, clientSecretPlace(s.ID)); err != nil {
		return stored, err
	}
	if stored.APIKeyValue, err = c.sealText(s.APIKeyValue, apiKeyPlace(s.ID)); err != nil {
		return stored, err
	}
	stored.CustomHeaders, err = c.sealHeaders(s.ID, s.CustomHeaders)
	return stored, err
}

func (c codec) sealHeaders(id string, headers map[string]secret.Value) (map[string][]byte, error) {
	if len(headers) == 0 {
		return nil, nil
	}
	sealed := make(map[string][]byte, len(headers))
	for name, value := range headers {
		var err error
		if sealed[name], err = c.sealText(value, headerPlace(id, name)); err != nil {
			return nil, err
		}
	}
	return sealed, nil
}

// openServer turns a stored form back into a server.
func (c codec) openServer(stored serverRecord) (Server, error) {
	s := Server{
		ID: stored.ID, DisplayName: stored.DisplayName, Slug: stored.Slug, Description: stored.Description, IconURL: stored.IconURL, Transport: stored.Transport, URL: stored.URL,
		AuthType: stored.AuthType, OAuth2ClientID: stored.OAuth2ClientID, OAuth2AuthURL: stored.OAuth2AuthURL, OAuth2TokenURL: stored.OAuth2TokenURL,
		OAuth2RevocationURL: stored.OAuth2RevocationURL, OAuth2Scopes: stored.OAuth2Scopes, OAuth2Issuer: stored.OAuth2Issuer, APIKeyHeader: stored.APIKeyHeader,
		Rules: policy.Rules{
			Enabled: stored.Enabled, VisibleTo: stored.VisibleTo, Availability: stored.Availability, ToolAllowList: stored.ToolAllowList,
			ToolDenyList: stored.ToolDenyList, Expose: stored.Expose, AllowInPlanMode: stored.AllowInPlanMode, PlanTools: stored.PlanTools,
			PlanReadOnly: stored.PlanReadOnly, ToolPinning: stored.ToolPinning,
		},
		ModelIntent: stored.ModelIntent, ForwardHeaders: stored.ForwardHeaders, TimeoutMS: stored.TimeoutMS, MaxConcurrent: stored.MaxConcurrent,
		CreatedBy: stored.CreatedBy, UpdatedBy: stored.UpdatedBy, CreatedAt: stored.CreatedAt, UpdatedAt: stored.UpdatedAt, Revision: stored.Revision,
	}
	var err error
	if s.OAuth2ClientSecret, err = c.openText(stored.OAuth2ClientSecret, clientSecretPlace(s.ID)); err != nil {
		return s, err
	}
	if s.APIKeyValue, err = c.openText(stored.APIKeyValue, apiKeyPlace(s.ID)); err != nil {
		return s, err
	}
	s.CustomHeaders, err = c.openHeaders(s.ID, stored.CustomHeaders)
	return s, err
}

func (c codec) openHeaders(id string, sealed map[string][]byte) (map[string]secret.Value, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	headers := make(map[string]secret.Value, len(sealed))
	for name, value := range sealed {
		var err error
		if headers[name], err = c.openText(value, headerPlace(id, name)); err != nil {
			return nil, err
		}
	}
	return headers, nil
}
