package admin

import (
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
)

// Server is a server as the API shows it. Secrets are not among its fields, only whether there are any.
type Server struct {
	ID          string `json:"id" doc:"minted here, never reused"`
	DisplayName string `json:"display_name" doc:"what people see"`
	Slug        string `json:"slug" doc:"what agents see: the first part of exposed tool names"`
	Description string `json:"description" doc:"free text"`
	IconURL     string `json:"icon_url" doc:"an image, for pages"`
	Transport   string `json:"transport" enum:"streamable_http,sse," doc:"how the server speaks; empty unless the caller is an admin"`
	URL         string `json:"url" doc:"where the server is; empty unless the caller is an admin"`

	AuthType            string      `json:"auth_type" enum:"none,oauth2,api_key,custom_headers" doc:"how the sidecar proves itself to the server"`
	AuthConnected       bool        `json:"auth_connected" doc:"whether calls of this caller can be authenticated"`
	Connection          *Connection `json:"connection,omitzero" doc:"how this caller stands with the server; left out unless auth_type is oauth2"`
	OAuth2ClientID      string      `json:"oauth2_client_id" doc:"empty unless the caller is an admin"`
	HasOAuth2Secret     bool        `json:"has_oauth2_secret" doc:"whether a client secret is stored"`
	OAuth2AuthURL       string      `json:"oauth2_auth_url" doc:"empty unless the caller is an admin"`
	OAuth2TokenURL      string      `json:"oauth2_token_url" doc:"empty unless the caller is an admin"`
	OAuth2RevocationURL string      `json:"oauth2_revocation_url" doc:"empty unless the caller is an admin"`
	OAuth2Scopes        string      `json:"oauth2_scopes" doc:"separated by spaces; empty unless the caller is an admin"`
	OAuth2Issuer        string      `json:"oauth2_issuer" doc:"the pinned issuer; empty unless the caller is an admin"`
	APIKeyHeader        string      `json:"api_key_header" doc:"empty unless the caller is an admin"`
	HasAPIKey           bool        `json:"has_api_key" doc:"whether an API key is stored"`
	HasCustomHeaders    bool        `json:"has_custom_headers" doc:"whether custom headers are stored"`

	ToolAllowList   []string         `json:"tool_allow_list" doc:"original tool names or patterns with *; empty: all"`
	ToolDenyList    []string         `json:"tool_deny_list" doc:"always wins"`
	Availability    string           `json:"availability" enum:"force_on,default_on,default_off" doc:"whether the server is used without being selected"`
	Enabled         bool             `json:"enabled" doc:"a server that is not does not exist for anybody but admins"`
	ModelIntent     bool             `json:"model_intent" doc:"whether the model is asked to say what it wants"`
	AllowInPlanMode bool             `json:"allow_in_plan_mode" doc:"whether root agents may use it while they plan"`
	Expose          []policy.Surface `json:"expose" doc:"the surfaces that pass"`
	PlanTools       []string         `json:"plan_tools" doc:"narrows plan mode; empty: all"`
	PlanReadOnly    bool             `json:"plan_read_only" doc:"narrows plan mode to tools that were approved as read-only"`
	ToolPinning     string           `json:"tool_pinning" enum:"off,warn,block" doc:"what a changed tool definition leads to"`
	VisibleTo       []string         `json:"visible_to" doc:"user names; empty: everyone. Empty unless the caller is an admin"`
	ForwardHeaders  []string         `json:"forward_headers" doc:"request headers of the agent that are passed on; empty unless the caller is an admin"`
	TimeoutMS       int              `json:"timeout_ms" doc:"of one call; 0: the default"`
	MaxConcurrent   int              `json:"max_concurrent" doc:"calls at the same time; 0: the default"`

	CreatedAt time.Time `json:"created_at" doc:"when it was registered"`
	UpdatedAt time.Time `json:"updated_at" doc:"when it was last changed"`

	revision uint64
}

func (s Server) etag() string { return revisionTag(s.revision) }

// Written is a server right after it was created or changed.
type Written struct {
	Server
	Warnings []Validation `json:"warnings" doc:"entries of lists that match no tool of the server, as far as its tools are known; and what else the change has brought about"`
}

func serverOf(s configstore.Server) Server {
	return Server{
		ID: s.ID, DisplayName: s.DisplayName, Slug: s.Slug, Description: s.Description, IconURL: s.IconURL,
		Transport: string(s.Transport), URL: s.URL,

		AuthType:       string(s.AuthType),
		OAuth2ClientID: s.OAuth2ClientID, HasOAuth2Secret: !s.OAuth2ClientSecret.IsZero(),
		OAuth2AuthURL: s.OAuth2AuthURL, OAuth2TokenURL: s.OAuth2TokenURL, OAuth2RevocationURL: s.OAuth2RevocationURL,
		OAuth2Scopes: s.OAuth2Scopes, OAuth2Issuer: s.OAuth2Issuer,
		APIKeyHeader: s.APIKeyHeader, HasAPIKey: !s.APIKeyValue.IsZero(), HasCustomHeaders: len(s.CustomHeaders) > 0,

		ToolAllowList: list(s.Rules.ToolAllowList), ToolDenyList: list(s.Rules.ToolDenyList),
		Availability: string(s.Rules.Availability), Enabled: s.Rules.Enabled, ModelIntent: s.ModelIntent,
		AllowInPlanMode: s.Rules.AllowInPlanMode, Expose: exposed(s.Rules),
		PlanTools: list(s.Rules.PlanTools), PlanReadOnly: s.Rules.PlanReadOnly, ToolPinning: string(s.Rules.ToolPinning),
		VisibleTo: list(s.Rules.VisibleTo), ForwardHeaders: list(s.ForwardHeaders),
		TimeoutMS: s.TimeoutMS, MaxConcurrent: s.MaxConcurrent,

		CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(), revision: s.Revision,
	}
}

// redacted is what somebody who cannot change the server sees of it.
func (s Server) redacted() Server {
	s.Transport, s.URL = "", ""
	s.OAuth2ClientID, s.OAuth2AuthURL, s.OAuth2TokenURL = "", "", ""
	s.OAuth2RevocationURL, s.OAuth2Scopes, s.OAuth2Issuer = "", "", ""
	s.APIKeyHeader = ""
	s.VisibleTo, s.ForwardHeaders = list[string](nil), list[string](nil)
	return s
}

// list copies a list; it is never null in JSON.
func list[T any](of []T) []T { return append([]T{}, of...) }

func exposed(rules policy.Rules) []policy.Surface {
	if rules.Expose == nil {
		return policy.DefaultExpose()
	}
	return list(rules.Expose)
}
