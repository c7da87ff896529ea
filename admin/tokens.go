package admin

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/caller"
	"mcpsidecar/policy"
)

// Token is an API token as the API shows it: without its text, which nobody has but its owner.
type Token struct {
	ID        string     `json:"id" doc:"the public part of the token's text"`
	Name      string     `json:"name" doc:"what it is for"`
	Role      string     `json:"role" enum:"admin,user,agent" doc:"what it opens"`
	User      string     `json:"user" doc:"on whose behalf; empty for agents, which name a user in each request"`
	Mode      string     `json:"mode" enum:"act,plan," doc:"pinned mode; empty: not pinned"`
	Agent     string     `json:"agent" enum:"root,subagent," doc:"pinned kind of agent; empty: not pinned"`
	Servers   []string   `json:"servers,omitzero" doc:"pinned selection of slugs; left out: not pinned"`
	CreatedBy string     `json:"created_by" doc:"who minted it"`
	CreatedAt time.Time  `json:"created_at" doc:"when"`
	ExpiresAt *time.Time `json:"expires_at,omitzero" doc:"left out: never"`
}

// MintedToken is a token with its text, which is shown this once.
type MintedToken struct {
	Token
	Text string `json:"token" doc:"the token itself; it is not kept and cannot be shown again"`
}

// NewToken is what a request says about a token that is to be minted.
type NewToken struct {
	Name      string    `json:"name" doc:"what it is for"`
	Role      string    `json:"role" enum:"admin,user,agent" doc:"what it opens"`
	User      string    `json:"user,omitzero" doc:"on whose behalf; role user needs one, role agent has none"`
	Mode      string    `json:"mode,omitzero" enum:"act,plan," doc:"pins the mode"`
	Agent     string    `json:"agent,omitzero" enum:"root,subagent," doc:"pins the kind of agent"`
	Servers   *[]string `json:"servers,omitzero" doc:"pins the selection, by slug"`
	ExpiresIn *int64    `json:"expires_in,omitzero" doc:"seconds from now; left out: never"`

	problems []policy.FieldError // found while reading
}

func (t *NewToken) keep(problems []policy.FieldError) { t.problems = problems }
func (NewToken) required() []string                   { return []string{"name", "role"} }

// What a token may have.
const (
	maxTokenName = 128
	maxTokenLife = 100 * 365 * 24 * 3600 // seconds; what is meant to be longer has no expiry
)

func tokenOf(stored configstore.APIToken) Token {
	token := Token{
		ID: stored.ID, Name: stored.Name, Role: string(stored.Role), User: stored.User,
		Mode: string(stored.Mode), Agent: string(stored.Agent), Servers: slices.Clone(stored.Servers),
		CreatedBy: stored.CreatedBy, CreatedAt: stored.CreatedAt.UTC(),
	}
	if !stored.ExpiresAt.IsZero() {
		at := stored.ExpiresAt.UTC()
		token.ExpiresAt = &at
	}
	return token
}

func (a *API) listTokens(ctx context.Context, _ *request, _ nothing) ([]Token, error) {
	stored, err := a.config.Store.Tokens(ctx)
	if err != nil {
		return nil, fromStore(err)
	}
	tokens := make([]Token, 0, len(stored))
	for _, token := range stored {
		tokens = append(tokens, tokenOf(token))
	}
	return tokens, nil
}

func (a *API) createToken(ctx context.Context, req *request, in NewToken) (MintedToken, error) {
	servers, err := a.config.Store.Servers(ctx)
	if err != nil {
		return MintedToken{}, fromStore(err)
	}
	in.trim()
	if err := invalid(append(in.wrong(servers), in.looser(req.caller)...)); err != nil {
		return MintedToken{}, err
	}
	minted := caller.Mint()
	record := in.record(req.caller.User, time.Now())
	record.ID, record.Hash = minted.ID, minted.Hash
	change := audit.Change{Action: "create", Kind: "token", ID: record.ID, Fields: in.given()}
	var stored configstore.APIToken
	err = a.commit(ctx, req, change, func() (err error) {
		stored, err = a.config.Store.CreateToken(ctx, record)
		return err
	})
	if err != nil {
		return MintedToken{}, err
	}
	return MintedToken{Token: tokenOf(stored), Text: minted.Text}, nil
}

func (t *NewToken) trim() {
	for _, text := range []*string{&t.Name, &t.Role, &t.User, &t.Mode, &t.Agent} {
		*text = strings.TrimSpace(*text)
	}
}

// wrong is everything that is wrong with a trimmed request.
func (t NewToken) wrong(servers []configstore.Server) []policy.FieldError {
	problems := slices.Clone(t.problems)
	say := func(field, detail string) { problems = append(problems, problem(field, detail)) }
	if !printable(t.Name) || t.Name == "" || utf8.RuneCountInString(t.Name) > maxTokenName {
		say("name", "must be a text of 1 to 128 printable characters")
	}
	if _, err := caller.ParseRole(t.Role); err != nil {
		say("role", "must be admin, user or agent")
	}
	switch {
	case t.User != "" && caller.ValidUser(t.User) != nil:
		say("user", "must have 1 to 128 letters, digits and . _ @ + -")
	case t.Role == string(caller.User) && t.User == "":
		say("user", "is required for role user")
	case t.Role == string(caller.Agent) && t.User != "":
		say("user", "must be left out for role agent, which names a user in each request")
	}
	if _, err := policy.ParseMode(t.Mode); err != nil {
		say("mode", "must be act or plan")
	}
	if _, err := policy.ParseAgent(t.Agent); err != nil {
		say("agent", "must be root or subagent")
	}
	if t.ExpiresIn != nil && (*t.ExpiresIn <= 0 || *t.ExpiresIn > maxTokenLife) {
		say("expires_in", "must be a positive number of seconds, and at most a hundred years")
	}
	if t.Servers != nil {
		if detail := unknownSlug(*t.Servers, servers); detail != "" {
			say("servers", detail)
		}
	}
	return problems
}

// looser is what would let the new token do more than the one that asks for it: what a token pins holds for whatever is made with it.
func (t NewToken) looser(who *caller.Identity) (problems []policy.FieldError) {
	if who.Mode == policy.Plan && t.Mode != string(policy.Plan) {
		problems = append(problems, problem("mode", "must be plan, as it is for the token that asks"))
	}
	if who.Agent == policy.Subagent && t.Agent != string(policy.Subagent) {
		problems = append(problems, problem("agent", "must be subagent, as it is for the token that asks"))
	}
	if who.Servers != nil && (t.Servers == nil || !subset(*t.Servers, who.Servers)) {
		problems = append(problems, problem("servers", "must be among those of the token that asks"))
	}
	return problems
}

// unknownSlug names the first slug that no server has.
func unknownSlug(slugs []string, servers []configstore.Server) string {
	known := make(map[string]bool, len(servers))
	for _, server := range servers {
		known[server.Slug] = true
	}
	for _, slug := range slugs {
		switch {
		case known[slug]:
		case policy.ValidSlug(slug):
			return "names a server that does not exist: " + strconv.Quote(slug)
		default: // and may be anything, so it is not repeated
			return "has an entry that is no slug"
		}
	}
	return ""
}

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

func (t NewToken) record(by string, now time.Time) configstore.APIToken {
	record := configstore.APIToken{Name: t.Name, Role: t.Role, User: t.User, Mode: t.Mode, Agent: t.Agent, CreatedBy: by, CreatedAt: now}
	if t.Servers != nil {
		record.Servers = list(*t.Servers)
		slices.Sort(record.Servers)
		record.Servers = slices.Compact(record.Servers)
	}
	if t.ExpiresIn != nil {
		record.ExpiresAt = now.Add(time.Duration(*t.ExpiresIn) * time.Second)
	}
	return record
}

// given names the fields that the request sets.
func (t NewToken) given() []string {
	fields := []string{"name", "role"}
	for _, field := range []struct {
		name string
		set  bool
	}{{"user", t.User != ""}, {"mode", t.Mode != ""}, {"agent", t.Agent != ""}, {"servers", t.Servers != nil}, {"expires_in", t.ExpiresIn != nil}} {
		if field.set {
			fields = append(fields, field.name)
		}
	}
	return fields
}

func (a *API) revokeToken(ctx context.Context, req *request, _ nothing) (nothing, error) {
	tokens, err := a.config.Store.Tokens(ctx)
	if err != nil {
		return nothing{}, fromStore(err)
	}
	if !slices.ContainsFunc(tokens, func(t configstore.APIToken) bool { return t.ID == req.name }) {
		return nothing{}, errNotFound
	}
	change := audit.Change{Action: "revoke", Kind: "token", ID: req.name}
	return nothing{}, a.commit(ctx, req, change, func() error { return a.config.Store.RevokeToken(ctx, req.name) })
}
