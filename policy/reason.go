package policy

import "slices"

// Decision is the outcome, why, and which rule made it.
type Decision struct {
	Allowed bool
	Reason  Reason
	Rule    string // the deciding field and, for lists, its entry: "tool_deny_list: delete_*"; empty where no single rule decided
	Warning string // set on an allowed tool whose definition is not the approved one
}

// Reason says in one word why a decision is what it is. It is for audit records, metrics and explain, never for a caller outside.
type Reason string

// The reasons. Those that refuse stand in the order in which their rules are asked.
const (
	Allowed           Reason = "allowed"
	Disabled          Reason = "disabled"
	NotVisible        Reason = "not_visible"
	NotSelected       Reason = "not_selected"
	NotExposed        Reason = "not_exposed"
	InDenyList        Reason = "in_deny_list"
	Unknown           Reason = "unknown"
	NotInAllowList    Reason = "not_in_allow_list"
	DefinitionChanged Reason = "definition_changed"
	PlanSubagent      Reason = "plan_subagent"
	PlanNotAllowed    Reason = "plan_not_allowed"
	PlanNotInList     Reason = "plan_not_in_list"
	PlanChanged       Reason = "plan_definition_changed"
	PlanNotReadOnly   Reason = "plan_not_read_only"
)

var reasons = []Reason{
	Allowed, Disabled, NotVisible, NotSelected, NotExposed, InDenyList, Unknown, NotInAllowList, DefinitionChanged,
	PlanSubagent, PlanNotAllowed, PlanNotInList, PlanChanged, PlanNotReadOnly,
}

// Reasons lists every reason, for metrics and documents.
func Reasons() []Reason { return slices.Clone(reasons) }

// refuse and pass make decisions; pass keeps the rule that admitted, if one did.
func refuse(reason Reason, rule string) Decision { return Decision{Reason: reason, Rule: rule} }
func pass(rule string) Decision                  { return Decision{Allowed: true, Reason: Allowed, Rule: rule} }
