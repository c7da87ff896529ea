package policy

import "slices"

// Decide judges one thing. It is pure: the same values give the same decision. The order in which rules are asked stands in the package's documentation.
func (p *Policy) Decide(r Request) Decision {
	if d := p.server(r); !d.Allowed {
		return d
	}
	if d := p.surface(r.Surface); !d.Allowed {
		return d
	}
	if r.Surface != Tools {
		return p.planSurface(r)
	}
	d := p.tool(r)
	if !d.Allowed || r.Mode == Act {
		return d
	}
	if plan := p.planServer(r); !plan.Allowed {
		return plan
	}
	return p.planTool(r, d)
}

// DecideServer judges the server alone: may this caller, in this mode and with this selection, see anything of it? Request.Surface, Name, Known, Print and ReadOnly are not looked at.
func (p *Policy) DecideServer(r Request) Decision {
	if d := p.server(r); !d.Allowed {
		return d
	}
	return p.planServer(r)
}

// DecideSurface judges a surface as a whole: is there any point in asking the server for its list? Request.Name, Known, Print and ReadOnly are not looked at.
func (p *Policy) DecideSurface(r Request) Decision {
	if d := p.server(r); !d.Allowed {
		return d
	}
	if d := p.surface(r.Surface); !d.Allowed {
		return d
	}
	return p.planSurface(r)
}

// server asks what does not depend on the mode: enabled, visible, selected.
func (p *Policy) server(r Request) Decision {
	if !p.enabled {
		return refuse(Disabled, "enabled")
	}
	if _, listed := p.visibleTo[r.User]; len(p.visibleTo) > 0 && !listed {
		return refuse(NotVisible, "visible_to")
	}
	if !p.selected(r.Selection) {
		return refuse(NotSelected, p.availabilityRule)
	}
	return pass("")
}

func (p *Policy) selected(s Selection) bool {
	switch {
	case p.availability == ForceOn:
		return true
	case s.Given:
		return slices.Contains(s.Slugs, p.slug)
	}
	return p.availability == DefaultOn
}

// surface asks whether a surface is exposed at all. One that nobody knows cannot be in the list, since Compile refuses such words.
func (p *Policy) surface(s Surface) Decision {
	if !slices.Contains(p.expose, s) {
		return refuse(NotExposed, "expose")
	}
	return pass("")
}

// maxToolName is longer than the name of any tool that is offered. Holding what is longer against a thousand patterns would take as long as whoever asks for it likes.
const maxToolName = 4096

// tool asks what act mode asks about one tool.
func (p *Policy) tool(r Request) Decision {
	if len(r.Name) > maxToolName {
		return refuse(Unknown, "")
	}
	if rule, denied := p.deny.find(r.Name); denied {
		return refuse(InDenyList, rule)
	}
	if !r.Known || r.Name == "" {
		return refuse(Unknown, "")
	}
	rule, listed := p.allow.find(r.Name)
	if !listed && !p.allow.empty() {
		return refuse(NotInAllowList, p.allow.field)
	}
	return p.pinned(r, pass(rule))
}

// pinned asks what becomes of a tool whose definition is not the approved one.
func (p *Policy) pinned(r Request, d Decision) Decision {
	if p.pinning == PinOff {
		return d
	}
	s := p.standing(r)
	switch {
	case s.approved():
		return d
	case p.pinning == PinBlock:
		return refuse(DefinitionChanged, p.pinningRule)
	}
	d.Warning = s.warning()
	return d
}

// planServer asks what plan mode asks about the server as a whole; in act mode it asks nothing.
func (p *Policy) planServer(r Request) Decision {
	switch {
	case r.Mode == Act:
		return pass("")
	case r.Agent != Root:
		return refuse(PlanSubagent, "")
	case !p.planAllowed:
		return refuse(PlanNotAllowed, "allow_in_plan_mode")
	}
	return pass("")
}

// planSurface asks what plan mode asks about everything that is no tool. What an extension method does nobody can tell, so that it passes only where plan mode narrows nothing: otherwise it would be the way around.
func (p *Policy) planSurface(r Request) Decision {
	d := p.planServer(r)
	switch {
	case !d.Allowed || r.Mode == Act || r.Surface != Extensions:
		return d
	case !p.planTools.empty():
		return refuse(PlanNotInList, p.planTools.field)
	case p.planReadOnly:
		return refuse(PlanNotReadOnly, "plan_read_only")
	}
	return d
}

// planTool asks what plan mode asks about one tool. It starts from what act mode decided, so it can only narrow.
func (p *Policy) planTool(r Request, act Decision) Decision {
	if !p.planTools.empty() {
		rule, listed := p.planTools.find(r.Name)
		if !listed {
			return refuse(PlanNotInList, p.planTools.field)
		}
		act.Rule = rule
	}
	s := p.standing(r)
	if p.pinning != PinOff && !s.approved() {
		return refuse(PlanChanged, p.pinningRule)
	}
	if p.planReadOnly {
		return p.readOnly(r, s, act)
	}
	return act
}

// readOnly asks whether an admin approved this very definition while it had the hint. The server's own word of today is not enough.
func (p *Policy) readOnly(r Request, s standing, act Decision) Decision {
	const rule = "plan_read_only"
	switch {
	case !p.baseline[r.Name].ReadOnly || !r.ReadOnly:
		return refuse(PlanNotReadOnly, rule)
	case s != sameAsApproved:
		return refuse(PlanChanged, rule)
	}
	return act
}

// standing is how a tool's present definition relates to what was approved.
type standing uint8

const (
	sameAsApproved standing = iota
	nothingApproved
	notApproved
	changedSince
)

func (p *Policy) standing(r Request) standing {
	if p.baseline == nil {
		return nothingApproved
	}
	approval, found := p.baseline[r.Name]
	switch {
	case !found:
		return notApproved
	case approval.Print != r.Print || r.Print == Print{}: // what has no print cannot be compared, so it counts as changed
		return changedSince
	}
	return sameAsApproved
}

// approved is whether pinning has nothing against the tool: the first catalog that is seen becomes the approved one.
func (s standing) approved() bool { return s == sameAsApproved || s == nothingApproved }

func (s standing) warning() string {
	if s == notApproved {
		return "the tool is not in the approved catalog"
	}
	return "the definition of the tool is not the approved one"
}
