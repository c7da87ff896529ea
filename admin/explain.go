package admin

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

// ExplainQuery is a question about one tool: by its exposed name, or by server and original name.
type ExplainQuery struct {
	User    string `json:"user" doc:"on whose behalf; left out: somebody who may see the server"`
	Mode    string `json:"mode" doc:"act (default) or plan"`
	Agent   string `json:"agent" doc:"root (default) or subagent"`
	Servers string `json:"servers" doc:"the selection, slugs separated by commas; left out: none was made"`
	Tool    string `json:"tool" doc:"exposed name, or with server the original one"`
	Server  string `json:"server" doc:"slug of the server; then tool is the original name"`
}

func (ExplainQuery) required() []string { return []string{"tool"} }

// Explanation says whether a tool may be used and why.
type Explanation struct {
	Decision
	Explanation string `json:"explanation" doc:"the reason in plain words"`
	Note        string `json:"note,omitempty" doc:"what the answer could not be based on"`
	ServerID    string `json:"server_id,omitempty" doc:"the server whose tool it is"`
	Slug        string `json:"slug,omitempty" doc:"its slug"`
	Tool        string `json:"tool,omitempty" doc:"the tool's original name"`
	Exposed     string `json:"exposed,omitempty" doc:"the tool's exposed name"`

	secrets []secret.Value
}

func (e Explanation) hidden() []secret.Value { return e.secrets }

// inWords is each of policy's reasons as an admin would say it; a test holds it against policy's list.
var inWords = map[policy.Reason]string{
	policy.Allowed:           "The tool is listed and may be called.",
	policy.Disabled:          "The server is disabled.",
	policy.NotVisible:        "The server's visible_to does not name this user.",
	policy.NotSelected:       "The server is not among the selected ones and is not used without being selected.",
	policy.NotExposed:        "The server does not expose its tools.",
	policy.Unknown:           "The server does not list such a tool at present.",
	policy.NotInAllowList:    "The server has a tool_allow_list, and no entry of it matches the tool.",
	policy.InDenyList:        "An entry of the server's tool_deny_list matches the tool.",
	policy.DefinitionChanged: "The tool's definition is not the approved one, and tool_pinning is block.",
	policy.PlanSubagent:      "In plan mode a subagent sees no external server.",
	policy.PlanNotAllowed:    "The server is not allowed in plan mode.",
	policy.PlanNotInList:     "The server has plan_tools, and no entry of it matches the tool.",
	policy.PlanNotReadOnly:   "In plan mode this server offers only tools that were approved as read-only and still say so.",
	policy.PlanChanged:       "The tool's definition is not the approved one, which plan mode demands.",
}

func (a *API) explain(ctx context.Context, req *request, query ExplainQuery) (Explanation, error) {
	servers, err := a.config.Store.Servers(ctx)
	if err != nil {
		return Explanation{}, fromStore(err)
	}
	question, err := query.question(servers)
	if err != nil {
		return Explanation{}, err
	}
	slug := query.slug()
	at := slices.IndexFunc(servers, func(s configstore.Server) bool { return s.Slug == slug })
	if at < 0 {
		return Explanation{Decision: Decision{Reason: policy.Unknown}, Explanation: "No server has a tool of this name."}, nil
	}
	return a.explainTool(ctx, req, servers[at], question, query)
}

// slug is that of the server that the query is about. A slug has no underscore, so an exposed name splits in one way only.
func (q ExplainQuery) slug() string {
	if q.Server != "" {
		return q.Server
	}
	slug, _, _ := strings.Cut(q.Tool, "__")
	return slug
}

func (q ExplainQuery) question(servers []configstore.Server) (policy.Request, error) {
	var problems []policy.FieldError
	if q.Tool == "" {
		problems = append(problems, problem("tool", "is required"))
	}
	question, err := ToolsQuery{User: q.User, Mode: q.Mode, Agent: q.Agent}.question()
	if wrong := (*invalidError)(nil); errors.As(err, &wrong) {
		problems = append(problems, wrong.problems...)
	}
	if q.Servers != "" {
		slugs := strings.Split(q.Servers, ",")
		for i := range slugs {
			slugs[i] = strings.TrimSpace(slugs[i])
		}
		if detail := unknownSlug(slugs, servers); detail != "" {
			problems = append(problems, problem("servers", detail))
		}
		question.Selection = policy.Selection{Given: true, Slugs: slugs}
	}
	if q.Server != "" {
		if detail := unknownSlug([]string{q.Server}, servers); detail != "" {
			problems = append(problems, problem("server", detail))
		}
	}
	return question, invalid(problems)
}

func (a *API) explainTool(ctx context.Context, req *request, server configstore.Server, question policy.Request, query ExplainQuery) (Explanation, error) {
	tools, note, err := a.knownTools(ctx, req, server)
	if err != nil {
		return Explanation{}, err
	}
	if question.User == "" {
		server.Rules.VisibleTo = nil
	}
	compiled, err := a.compile(ctx, server)
	if err != nil {
		return Explanation{}, err
	}
	question.Name = query.Tool
	tool, found := query.find(tools)
	if found {
		question = about(question, tool)
	}
	decision := decisionOf(compiled.Decide(question))
	return Explanation{
		Decision: decision, Explanation: inWords[decision.Reason], Note: note, ServerID: server.ID, Slug: server.Slug,
		Tool: tool.Name, Exposed: tool.Exposed, secrets: secretsOf(server),
	}, nil
}

func (q ExplainQuery) find(tools []PresentTool) (PresentTool, bool) {
	at := slices.IndexFunc(tools, func(t PresentTool) bool {
		if q.Server != "" {
			return t.Name == q.Tool
		}
		return t.Exposed != "" && t.Exposed == q.Tool
	})
	if at < 0 {
		return PresentTool{}, false
	}
	return tools[at], true
}

// knownTools are a server's present tools, or those of its approved catalog while the present ones cannot be told.
func (a *API) knownTools(ctx context.Context, req *request, server configstore.Server) ([]PresentTool, string, error) {
	if present, err := a.present(ctx, req, server); err == nil {
		return present.Tools, "", nil
	}
	catalog, err := a.config.Store.Catalog(ctx, server.ID)
	if errors.Is(err, configstore.ErrNotFound) {
		return nil, "The server's tools cannot be told at present, and none were approved.", nil
	}
	if err != nil {
		return nil, "", fromStore(err)
	}
	names := slices.Sorted(maps.Keys(catalog.Baseline))
	exposed := policy.ExposedNames(server.Slug, names)
	tools := make([]PresentTool, 0, len(names))
	for _, name := range names {
		approved := catalog.Baseline[name]
		tools = append(tools, PresentTool{Name: name, Exposed: exposed[name], ReadOnly: approved.ReadOnly, Print: approved.Print})
	}
	return tools, "The server's tools cannot be told at present: the answer is about the approved ones.", nil
}
