package proxy

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"mcpsidecar/internal/caller"
	"mcpsidecar/policy"
)

// scope is what a request may reach: who asks, in which mode, of which servers.
type scope struct {
	identity *caller.Identity
	only     string // the slug of /mcp/{slug}; empty on /mcp
	version  string // of the protocol that the client speaks; empty: not known yet
	question policy.Request
}

// The headers and query parameters by which an agent says what it is doing (DESIGN.md, "What an agent says").
const (
	modeHeader    = "Sidecar-Mode"
	agentHeader   = "Sidecar-Agent"
	serversHeader = "Sidecar-Servers"
)

// maxSelection is how many servers one request may list.
const maxSelection = 256

// readScope reads what the request says and makes it as strict as the strictest of token, header and query. The error is fit for the caller and names the value that is wrong.
func (t *turn) readScope(identity *caller.Identity, slug string) error {
	query, err := readQuery(t.r.URL.RawQuery)
	if err != nil {
		return err
	}
	sc := &t.scope
	sc.identity, sc.only = identity, slug
	sc.question.User, sc.question.Mode, sc.question.Agent = identity.User, identity.Mode, identity.Agent
	if err := sc.readMode(t.r.Header, query); err != nil {
		return err
	}
	if err := sc.readAgent(t.r.Header, query); err != nil {
		return err
	}
	return t.proxy.readSelection(sc, t.r.Header, query)
}

// readQuery accepts exactly the parameters that mean something here: a misspelt mode must not mean "act".
func readQuery(raw string) (url.Values, error) {
	if raw == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fmt.Errorf("the query cannot be read")
	}
	for name := range values {
		if name != "mode" && name != "agent" && name != "servers" {
			return nil, fmt.Errorf("unknown query parameter %q: mode, agent and servers are known", clip(name))
		}
	}
	return values, nil
}

// said are the values given by header and query, in that order.
func said(header http.Header, name string, query url.Values, parameter string) []string {
	if len(query) == 0 {
		return header[name]
	}
	return slices.Concat(header[name], query[parameter])
}

func (sc *scope) readMode(header http.Header, query url.Values) error {
	for _, text := range said(header, modeHeader, query, "mode") {
		mode, err := policy.ParseMode(text)
		if err != nil || text == "" {
			return fmt.Errorf("unknown mode %q: act and plan are known", clip(text))
		}
		sc.question.Mode = sc.question.Mode.Stricter(mode)
	}
	return nil
}

func (sc *scope) readAgent(header http.Header, query url.Values) error {
	for _, text := range said(header, agentHeader, query, "agent") {
		agent, err := policy.ParseAgent(text)
		if err != nil || text == "" {
			return fmt.Errorf("unknown kind of agent %q: root and subagent are known", clip(text))
		}
		sc.question.Agent = sc.question.Agent.Stricter(agent)
	}
	return nil
}

// readSelection intersects what the token pins, what header and query list, and the slug of the path, which counts as a selection.
func (p *Proxy) readSelection(sc *scope, header http.Header, query url.Values) error {
	selection := policy.Selection{Given: sc.identity.Servers != nil, Slugs: sc.identity.Servers}
	lists := said(header, serversHeader, query, "servers")
	for _, list := range lists {
		slugs, err := p.readSlugs(sc, list)
		if err != nil {
			return err
		}
		selection = narrow(selection, slugs)
	}
	if sc.only != "" {
		selection = narrow(selection, []string{sc.only})
	}
	sc.question.Selection = selection
	return nil
}

// readSlugs reads one list of slugs; each has to be one that the caller could use if it were selected.
func (p *Proxy) readSlugs(sc *scope, list string) ([]string, error) {
	slugs := []string{}
	current := p.snapshot.Load()
	for text := range strings.SplitSeq(list, ",") {
		slug := strings.TrimSpace(text)
		if slug == "" {
			if strings.TrimSpace(list) == "" {
				break // an empty list: only what is forced
			}
			return nil, fmt.Errorf("the list of servers has an empty entry")
		}
		s := current.bySlug[slug]
		if s == nil || !s.visibleTo(sc.identity.User) {
			return nil, fmt.Errorf("unknown server %q", clip(slug))
		}
		if slugs = append(slugs, slug); len(slugs) > maxSelection {
			return nil, fmt.Errorf("more than %d servers are listed", maxSelection)
		}
	}
	return slugs, nil
}

// visibleTo asks only whether the server is there for this user, not whether the mode or the selection lets it pass.
func (s *server) visibleTo(user string) bool {
	return s.decideServer(policy.Request{User: user, Mode: policy.Act, Agent: policy.Root, Selection: policy.Selection{Given: true, Slugs: []string{s.slug}}}).Allowed
}

// narrow is the intersection of a selection with a list.
func narrow(selection policy.Selection, slugs []string) policy.Selection {
	if !selection.Given {
		return policy.Selection{Given: true, Slugs: slugs}
	}
	both := []string{}
	for _, slug := range slugs {
		if slices.Contains(selection.Slugs, slug) {
			both = append(both, slug)
		}
	}
	return policy.Selection{Given: true, Slugs: both}
}

// tighten makes the scope as strict as what a session was opened with.
func (sc *scope) tighten(s *sealed) {
	sc.question.Mode = sc.question.Mode.Stricter(s.Mode)
	sc.question.Agent = sc.question.Agent.Stricter(s.Agent)
	if s.Selection.Given {
		if sc.question.Selection.Given {
			sc.question.Selection = narrow(s.Selection, sc.question.Selection.Slugs)
		} else {
			sc.question.Selection = s.Selection
		}
	}
}

// clip keeps what a client wrote short enough to be repeated to it.
func clip(text string) string {
	const most = 64
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
