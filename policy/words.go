package policy

import "fmt"

// Mode is what an agent is doing: acting, or only planning.
type Mode string

// The modes. Plan is the stricter one.
const (
	Act  Mode = "act"
	Plan Mode = "plan"
)

// ParseMode reads a mode as headers, queries and records spell it; empty means Act. Anything else is an error that names the allowed words.
func ParseMode(text string) (Mode, error) {
	switch mode := Mode(text); mode {
	case "":
		return Act, nil
	case Act, Plan:
		return mode, nil
	}
	return "", fmt.Errorf("unknown mode %s: it is act or plan", quoted(text))
}

// Stricter returns the stricter of two modes. Empty counts as Act, as in ParseMode, and a word that is no mode as Plan.
func (m Mode) Stricter(other Mode) Mode {
	if m.acts() && other.acts() {
		return Act
	}
	return Plan
}

func (m Mode) acts() bool { return m == Act || m == "" }

// Agent is whether the caller's agent is the root of its chat or a child that another agent spawned.
type Agent string

// The kinds of agent. Subagent is the stricter one.
const (
	Root     Agent = "root"
	Subagent Agent = "subagent"
)

// ParseAgent reads a kind of agent; empty means Root.
func ParseAgent(text string) (Agent, error) {
	switch agent := Agent(text); agent {
	case "":
		return Root, nil
	case Root, Subagent:
		return agent, nil
	}
	return "", fmt.Errorf("unknown kind of agent %s: it is root or subagent", quoted(text))
}

// Stricter returns the stricter of two kinds. Empty counts as Root, as in ParseAgent, and a word that is no kind as Subagent.
func (a Agent) Stricter(other Agent) Agent {
	if a.isRoot() && other.isRoot() {
		return Root
	}
	return Subagent
}

func (a Agent) isRoot() bool { return a == Root || a == "" }

// Availability says whether a server is used without being selected.
type Availability string

// The availabilities of the reference system. Empty means DefaultOff.
const (
	ForceOn    Availability = "force_on"    // always used
	DefaultOn  Availability = "default_on"  // used unless the agent selects servers and leaves it out
	DefaultOff Availability = "default_off" // used only when selected
)

// Pinning says what a changed tool definition leads to.
type Pinning string

// The kinds of pinning. Empty means PinWarn. With PinWarn and PinBlock, changed and new tools are refused in plan mode.
const (
	PinOff   Pinning = "off"   // definitions are not compared, except where plan_read_only needs it
	PinWarn  Pinning = "warn"  // changed and new tools are allowed with a warning
	PinBlock Pinning = "block" // changed and new tools are refused until an admin approves the catalog
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

// quoted shows a text from outside inside an error, escaped and not longer than a line.
func quoted(text string) string {
	const enough = 64
	if len(text) > enough {
		return fmt.Sprintf("%q…", text[:enough])
	}
	return fmt.Sprintf("%q", text)
}
