package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Policy is one server's rules, compiled. It is immutable.
type Policy struct {
	slug         string
	enabled      bool
	visibleTo    map[string]struct{} // empty: everyone
	availability Availability
	expose       []Surface
	allow, deny  list
	planAllowed  bool
	planTools    list
	planReadOnly bool
	pinning      Pinning
	baseline     Baseline // nil: none was approved yet

	availabilityRule, pinningRule string // spelled once, so that deciding does not have to
}

// Compile checks and compiles rules. An unknown word, a blank list entry or a duplicate surface is an error, which joins a FieldError for each thing that is wrong.
func Compile(slug string, rules Rules, baseline Baseline) (*Policy, error) {
	if err := joined(Validate(rules)); err != nil {
		return nil, fmt.Errorf("the rules of server %q: %w", slug, err)
	}
	p := &Policy{
		slug:         slug,
		enabled:      rules.Enabled,
		visibleTo:    make(map[string]struct{}, len(rules.VisibleTo)),
		availability: orDefault(rules.Availability, DefaultOff),
		expose:       slices.Clone(rules.Expose),
		allow:        compileList("tool_allow_list", rules.ToolAllowList),
		deny:         compileList("tool_deny_list", rules.ToolDenyList),
		planAllowed:  rules.AllowInPlanMode,
		planTools:    compileList("plan_tools", rules.PlanTools),
		planReadOnly: rules.PlanReadOnly,
		pinning:      orDefault(rules.ToolPinning, PinWarn),
		baseline:     maps.Clone(baseline),
	}
	p.availabilityRule = "availability: " + string(p.availability)
	p.pinningRule = "tool_pinning: " + string(p.pinning)
	if rules.Expose == nil {
		p.expose = DefaultExpose()
	}
	for _, user := range rules.VisibleTo {
		p.visibleTo[user] = struct{}{}
	}
	return p, nil
}

func joined(found []FieldError) error {
	errs := make([]error, len(found))
	for i, one := range found {
		errs[i] = one
	}
	return errors.Join(errs...)
}

func orDefault[Word ~string](word, otherwise Word) Word {
	if word == "" {
		return otherwise
	}
	return word
}

// Selection is which servers a caller asked for. The zero value means that it did not say.
type Selection struct {
	Given bool
	Slugs []string
}

// Request is a question to a policy.
type Request struct {
	User      string
	Mode      Mode  // anything but Act is judged as Plan
	Agent     Agent // anything but Root is judged as Subagent
	Selection Selection
	Surface   Surface
	Name      string // original tool name, prompt name or resource URI. A tool without a name is refused; see DecideSurface for the whole of it
	Known     bool   // the server lists such a thing at present. A tool that is not known is refused
	Print     Print  // of the tool's present definition; the zero value for other surfaces
	ReadOnly  bool   // the present definition has readOnlyHint: true. It can only narrow
}

// Unmatched returns the entries of allow, deny and plan lists that match none of the names, for the warnings of the management API.
func (p *Policy) Unmatched(names []string) []FieldError {
	known := make(map[string]struct{}, len(names))
	for _, name := range names {
		known[name] = struct{}{}
	}
	var found []FieldError
	for _, l := range []*list{&p.allow, &p.deny, &p.planTools} {
		for i, entry := range l.entries {
			if !matchesAny(entry, names, known) {
				found = append(found, FieldError{Field: l.field, Detail: fmt.Sprintf("entry %d %q matches no tool that the server lists", i, entry)})
			}
		}
	}
	return found
}

func matchesAny(entry string, names []string, known map[string]struct{}) bool {
	pattern := parsePattern(entry)
	if pattern.exact {
		_, found := known[entry]
		return found
	}
	return slices.ContainsFunc(names, pattern.match)
}
