package policy

// Rules are one server's rules as stored. Lists hold original names of the server, or patterns in which * stands for any run of characters.
type Rules struct {
	Enabled         bool
	VisibleTo       []string // user names; empty: everyone
	Availability    Availability
	ToolAllowList   []string  // empty: all
	ToolDenyList    []string  // always wins
	Expose          []Surface // nil: DefaultExpose
	AllowInPlanMode bool
	PlanTools       []string // narrows plan mode; empty: all
	PlanReadOnly    bool     // narrows plan mode to tools that were approved with readOnlyHint true
	ToolPinning     Pinning
}

// Approval is what is remembered of a tool when its definition was approved.
type Approval struct {
	Print    Print `json:"print"`
	ReadOnly bool  `json:"read_only"` // its annotations had readOnlyHint: true
}

// Baseline is a server's approved catalog by original tool name. Nil: none was approved yet.
type Baseline map[string]Approval

// Policy is one server's rules, compiled. It is immutable.
type Policy struct{}

// Compile checks and compiles rules. An unknown word, a blank list entry or a duplicate surface is an error (see FieldError).
func Compile(slug string, rules Rules, baseline Baseline) (*Policy, error) { panic("unbuilt") }

// FieldError is one thing that is wrong with rules, by the field's JSON name (tool_allow_list, availability, ...).
type FieldError struct{ Field, Detail string }

// Validate returns everything that is wrong with rules, in the order of the fields. Compile fails exactly when there is something.
func Validate(rules Rules) []FieldError { panic("unbuilt") }

// Selection is which servers a caller asked for. The zero value means that it did not say.
type Selection struct {
	Given bool
	Slugs []string
}

// Request is a question to a policy.
type Request struct {
	User      string
	Mode      Mode
	Agent     Agent
	Selection Selection
	Surface   Surface
	Name      string // original tool name, prompt name or resource URI; empty for a whole surface
	Known     bool   // the server lists such a thing at present. A tool that is not known is refused
	Print     Print  // of the tool's present definition; the zero value for other surfaces
	ReadOnly  bool   // the present definition has readOnlyHint: true. It can only narrow
}

// Decision is the outcome, why, and which rule made it.
type Decision struct {
	Allowed bool
	Reason  Reason
	Rule    string // the deciding field and, for lists, its entry: "tool_deny_list: delete_*"; empty where no single rule decided
	Warning string // set on an allowed tool whose definition is not the approved one
}

// Reason says in one word why a decision is what it is. It is for audit records, metrics and explain, never for a caller outside.
type Reason string

// The reasons, in the order in which rules are asked.
const (
	Allowed           Reason = "allowed"
	Disabled          Reason = "disabled"
	NotVisible        Reason = "not_visible"
	NotSelected       Reason = "not_selected"
	NotExposed        Reason = "not_exposed"
	Unknown           Reason = "unknown"
	NotInAllowList    Reason = "not_in_allow_list"
	InDenyList        Reason = "in_deny_list"
	DefinitionChanged Reason = "definition_changed"
	PlanSubagent      Reason = "plan_subagent"
	PlanNotAllowed    Reason = "plan_not_allowed"
	PlanNotInList     Reason = "plan_not_in_list"
	PlanNotReadOnly   Reason = "plan_not_read_only"
	PlanChanged       Reason = "plan_definition_changed"
)

// Reasons lists every reason, for metrics and documents.
func Reasons() []Reason { panic("unbuilt") }

// Decide judges. It is pure: the same values give the same decision.
func (p *Policy) Decide(Request) Decision { panic("unbuilt") }

// DecideServer judges the server alone: may this caller, in this mode and with this selection, see anything of it? Request.Name, Known and Print are not looked at.
func (p *Policy) DecideServer(Request) Decision { panic("unbuilt") }

// Unmatched returns the entries of allow, deny and plan lists that match none of the names, for the warnings of the management API.
func (p *Policy) Unmatched(names []string) []FieldError { panic("unbuilt") }
