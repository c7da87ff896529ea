package policy

// Mode is what an agent is doing: acting, or only planning.
type Mode string

// The modes. Plan is the stricter one.
const (
	Act  Mode = "act"
	Plan Mode = "plan"
)

// ParseMode reads a mode as headers, queries and records spell it; empty means Act. Anything else is an error that names the allowed words.
func ParseMode(text string) (Mode, error) { panic("unbuilt") }

// Stricter returns the stricter of two modes.
func (m Mode) Stricter(other Mode) Mode { panic("unbuilt") }

// Agent is whether the caller's agent is the root of its chat or a child that another agent spawned.
type Agent string

// The kinds of agent. Subagent is the stricter one.
const (
	Root     Agent = "root"
	Subagent Agent = "subagent"
)

// ParseAgent reads a kind of agent; empty means Root.
func ParseAgent(text string) (Agent, error) { panic("unbuilt") }

// Stricter returns the stricter of two kinds.
func (a Agent) Stricter(other Agent) Agent { panic("unbuilt") }

// Availability says whether a server is used without being selected.
type Availability string

// The availabilities of the reference system.
const (
	ForceOn    Availability = "force_on"    // always used
	DefaultOn  Availability = "default_on"  // used unless the agent selects servers and leaves it out
	DefaultOff Availability = "default_off" // used only when selected
)

// Pinning says what a changed tool definition leads to.
type Pinning string

// The kinds of pinning. With Warn and Block, changed and new tools are refused in plan mode.
const (
	PinOff   Pinning = "off"
	PinWarn  Pinning = "warn"
	PinBlock Pinning = "block"
)

// Surface is one kind of thing that a server offers.
type Surface string

// The surfaces.
const (
	Tools      Surface = "tools"
	Prompts    Surface = "prompts"
	Resources  Surface = "resources"
	Extensions Surface = "extensions"
)

// DefaultExpose is what a server exposes when its record does not say.
func DefaultExpose() []Surface { return []Surface{Tools, Prompts, Resources} }
