package admin

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/caller"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

// askGrace is how long a server may take to answer an admin.
const askGrace = 20 * time.Second

// Tested is the outcome of a test connection.
type Tested struct {
	Reachable       bool           `json:"reachable" doc:"whether the server answered as an MCP server does"`
	Era             string         `json:"era,omitempty" enum:"modern,legacy" doc:"of the protocol that it speaks"`
	ProtocolVersion string         `json:"protocol_version,omitempty" doc:"that was agreed on"`
	ServerInfo      jsontext.Value `json:"server_info,omitempty" doc:"as the server describes itself"`
	Tools           []string       `json:"tools" doc:"original names"`
	ToolCount       int            `json:"tool_count" doc:"how many tools it lists"`
	Milliseconds    int64          `json:"milliseconds" doc:"how long it took"`
	Reason          string         `json:"reason,omitempty" doc:"in plain words, why it was not reached"`

	secrets []secret.Value
}

func (t Tested) hidden() []secret.Value { return t.secrets }

func (a *API) testServer(ctx context.Context, req *request, _ nothing) (Tested, error) {
	server, err := a.server(ctx, req)
	if err != nil {
		return Tested{}, err
	}
	return a.test(ctx, server), nil
}

// testUnsaved tries what a request says. It stores nothing, and knows no secret but those that the request brings.
func (a *API) testUnsaved(ctx context.Context, _ *request, in NewServer) (Tested, error) {
	server := configstore.Server{ID: configstore.NewID()}
	if err := a.fill(&server, in); err != nil {
		return Tested{}, err
	}
	return a.test(ctx, server), nil
}

func (a *API) test(ctx context.Context, server configstore.Server) Tested {
	ctx, cancel := context.WithTimeout(ctx, askGrace)
	defer cancel()
	probe := a.config.Servers.Probe(ctx, server)
	return Tested{
		Reachable: probe.Reachable, Era: probe.Era, ProtocolVersion: probe.ProtocolVersion,
		ServerInfo: readable(probe.ServerInfo), Tools: list(probe.Tools), ToolCount: probe.ToolCount,
		Milliseconds: probe.Milliseconds, Reason: probe.Reason, secrets: secretsOf(server),
	}
}

// readable encodes what a server says of itself, unless it cannot be.
func readable(info any) jsontext.Value {
	if info == nil {
		return nil
	}
	encoded, err := encode(info)
	if err != nil {
		return nil
	}
	return encoded
}

// ToolsQuery says for whom tools are judged.
type ToolsQuery struct {
	User  string `json:"user" doc:"on whose behalf; left out: somebody who may see the server"`
	Mode  string `json:"mode" doc:"act (default) or plan"`
	Agent string `json:"agent" doc:"root (default) or subagent"`
}

// Tools are a server's present tools with the decision on each.
type Tools struct {
	Tools     []Tool       `json:"tools" doc:"sorted as the server's catalog is"`
	Warnings  []string     `json:"warnings" doc:"about the catalog as a whole"`
	Unmatched []Validation `json:"unmatched" doc:"entries of lists that match no tool"`
	FetchedAt time.Time    `json:"fetched_at" doc:"when the catalog was fetched"`
	Stale     bool         `json:"stale" doc:"whether the last attempt to fetch it anew failed"`

	secrets []secret.Value
}

func (t Tools) hidden() []secret.Value { return t.secrets }

// Tool is one of them.
type Tool struct {
	Name        string   `json:"name" doc:"as the server calls it"`
	Exposed     string   `json:"exposed" doc:"as agents see it"`
	Description string   `json:"description" doc:"the server's words"`
	ReadOnly    bool     `json:"read_only" doc:"whether the server says that it changes nothing"`
	Decision    Decision `json:"decision" doc:"whether it may be used, and why"`
}

// Decision is what policy says about a tool.
type Decision struct {
	Allowed bool          `json:"allowed" doc:"whether the tool is listed and may be called"`
	Reason  policy.Reason `json:"reason" doc:"why, in one word"`
	Rule    string        `json:"rule,omitempty" doc:"the field and entry that decided, if one did"`
	Warning string        `json:"warning,omitempty" doc:"about an allowed tool whose definition is not the approved one"`
}

func (a *API) listTools(ctx context.Context, req *request, query ToolsQuery) (Tools, error) {
	question, err := query.question()
	if err != nil {
		return Tools{}, err
	}
	server, err := a.server(ctx, req)
	if err != nil {
		return Tools{}, err
	}
	present, err := a.present(ctx, req, server)
	if err != nil {
		return Tools{}, err
	}
	if query.User == "" {
		server.Rules.VisibleTo = nil // nobody in particular: somebody who may see it
	}
	compiled, err := a.compile(ctx, server)
	if err != nil {
		return Tools{}, err
	}
	question.Selection = policy.Selection{Given: true, Slugs: []string{server.Slug}}
	tools := Tools{
		Tools: []Tool{}, Warnings: list(present.Warnings), Unmatched: validations(compiled.Unmatched(names(present.Tools))),
		FetchedAt: present.FetchedAt.UTC(), Stale: present.Stale, secrets: secretsOf(server),
	}
	for _, tool := range present.Tools {
		tools.Tools = append(tools.Tools, Tool{
			Name: tool.Name, Exposed: tool.Exposed, Description: tool.Description, ReadOnly: tool.ReadOnly,
			Decision: decisionOf(compiled.Decide(about(question, tool))),
		})
	}
	return tools, nil
}

// question turns the query's words into a request to policy.
func (q ToolsQuery) question() (policy.Request, error) {
	var problems []policy.FieldError
	mode, err := policy.ParseMode(q.Mode)
	if err != nil {
		problems = append(problems, problem("mode", "must be act or plan"))
	}
	agent, err := policy.ParseAgent(q.Agent)
	if err != nil {
		problems = append(problems, problem("agent", "must be root or subagent"))
	}
	if q.User != "" && caller.ValidUser(q.User) != nil {
		problems = append(problems, problem("user", "is not a user name"))
	}
	return policy.Request{User: q.User, Mode: mode, Agent: agent, Surface: policy.Tools}, invalid(problems)
}

// about completes a question with the tool that it is about.
func about(question policy.Request, tool PresentTool) policy.Request {
	question.Name, question.Known, question.Print, question.ReadOnly = tool.Name, true, tool.Print, tool.ReadOnly
	return question
}

func decisionOf(d policy.Decision) Decision {
	return Decision{Allowed: d.Allowed, Reason: d.Reason, Rule: d.Rule, Warning: d.Warning}
}

// present asks for a server's tools as the caller is shown them: never with the account of the user for whom they are judged.
func (a *API) present(ctx context.Context, req *request, server configstore.Server) (Present, error) {
	ctx, cancel := context.WithTimeout(ctx, askGrace)
	defer cancel()
	present, err := a.config.Servers.Present(ctx, server.ID, req.caller.User)
	if errors.Is(err, ErrNoAccount) {
		return Present{}, &noAccountError{server.Slug, a.connectURL(server.ID)}
	}
	if err != nil {
		return Present{}, &unreachableError{scrubbed(err.Error(), server)}
	}
	return present, nil
}

// connectURL is where a browser with a page session connects its own account.
func (a *API) connectURL(serverID string) string {
	return strings.TrimSuffix(a.config.Accounts.RedirectURI(serverID), "callback") + "connect"
}

// compile makes the policy that is in force: the stored rules with the approved catalog.
func (a *API) compile(ctx context.Context, server configstore.Server) (*policy.Policy, error) {
	catalog, err := a.config.Store.Catalog(ctx, server.ID)
	if err != nil && !errors.Is(err, configstore.ErrNotFound) {
		return nil, fromStore(err)
	}
	return policy.Compile(server.Slug, server.Rules, catalog.Baseline)
}
