package policy

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Rules are one server's rules as stored. Lists hold original names of the server, or patterns in which * stands for any run of characters.
type Rules struct {
	Enabled         bool
	VisibleTo       []string     // user names; empty: everyone
	Availability    Availability // empty: DefaultOff
	ToolAllowList   []string     // empty: all
	ToolDenyList    []string     // always wins
	Expose          []Surface    // nil: DefaultExpose; empty but not nil: nothing
	AllowInPlanMode bool
	PlanTools       []string // narrows plan mode; empty: all
	PlanReadOnly    bool     // narrows plan mode to tools that were approved with readOnlyHint true
	ToolPinning     Pinning  // empty: PinWarn
}

// What rules may hold at most. A tool name that is longer than an entry can still be matched with a star.
const (
	MaxEntries   = 1000  // of each list of tools
	MaxEntry     = 256   // bytes of one entry
	MaxVisibleTo = 10000 // users
	maxUser      = 128   // bytes of a user name
	maxSurfaces  = 16    // enough to name every wrong word of an honest mistake
)

// FieldError is one thing that is wrong with rules, by the field's JSON name (tool_allow_list, availability, ...).
type FieldError struct{ Field, Detail string }

func (e FieldError) Error() string { return e.Field + ": " + e.Detail }

// Validate returns everything that is wrong with rules, in the order of the fields. Compile fails exactly when there is something.
//
// Entries have to be trimmed already: one with spaces around it could never match, which would open a deny list. For the same reason a blank entry is an
// error and not dropped: an allow list of nothing but blanks would become an empty one, and that means all.
func Validate(rules Rules) []FieldError {
	var c checker
	c.entries("visible_to", rules.VisibleTo, MaxVisibleTo, checkUser)
	checkWord(&c, "availability", rules.Availability, ForceOn, DefaultOn, DefaultOff)
	c.entries("tool_allow_list", rules.ToolAllowList, MaxEntries, checkEntry)
	c.entries("tool_deny_list", rules.ToolDenyList, MaxEntries, checkEntry)
	c.surfaces(rules.Expose)
	c.entries("plan_tools", rules.PlanTools, MaxEntries, checkEntry)
	checkWord(&c, "tool_pinning", rules.ToolPinning, PinOff, PinWarn, PinBlock)
	return c.found
}

// checker collects what is wrong.
type checker struct{ found []FieldError }

func (c *checker) add(field, format string, args ...any) {
	c.found = append(c.found, FieldError{Field: field, Detail: fmt.Sprintf(format, args...)})
}

// entries checks a list, each entry with check; entries are counted from 0 as in JSON.
func (c *checker) entries(field string, list []string, most int, check func(string) string) {
	if len(list) > most {
		c.add(field, "has %d entries; at most %d are allowed", len(list), most)
		return
	}
	for i, entry := range list {
		if wrong := check(entry); wrong != "" {
			c.add(field, "entry %d %s", i, wrong)
		}
	}
}

// checkEntry says what is wrong with one entry of a list of tools, or nothing.
func checkEntry(entry string) string {
	switch trimmed := strings.TrimSpace(entry); {
	case trimmed == "":
		return "is blank"
	case len(entry) > MaxEntry:
		return fmt.Sprintf("is longer than %d bytes", MaxEntry)
	case !utf8.ValidString(entry):
		return "is not valid UTF-8"
	case trimmed != entry:
		return fmt.Sprintf("%q has spaces around it", entry)
	}
	return ""
}

// checkUser says what is wrong with one user of visible_to. One that can be nobody's name would hide the server without anybody noticing why.
func checkUser(user string) string {
	switch {
	case strings.TrimSpace(user) == "":
		return "is blank"
	case len(user) > maxUser:
		return fmt.Sprintf("is longer than %d bytes", maxUser)
	case strings.Trim(user, userCharacters) != "":
		return fmt.Sprintf("%q is no user name: those are made of A-Z a-z 0-9 . _ @ + -", user)
	}
	return ""
}

const userCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@+-"

// surfaces checks expose.
func (c *checker) surfaces(expose []Surface) {
	const field = "expose"
	known := []Surface{Tools, Prompts, Resources, Extensions}
	if len(expose) > maxSurfaces {
		c.add(field, "has %d entries; there are only %d surfaces", len(expose), len(known))
		return
	}
	for i, surface := range expose {
		if !slices.Contains(known, surface) {
			c.add(field, "entry %d: %s", i, unknownWord(surface, known))
		} else if slices.Contains(expose[:i], surface) {
			c.add(field, "entry %d: %s occurs twice", i, surface)
		}
	}
}

// checkWord checks that a field is empty, which means its default, or has one of the allowed words.
func checkWord[Word ~string](c *checker, field string, word Word, allowed ...Word) {
	if word != "" && !slices.Contains(allowed, word) {
		c.add(field, "%s", unknownWord(word, allowed))
	}
}

func unknownWord[Word ~string](word Word, allowed []Word) string {
	words := make([]string, len(allowed))
	for i := range allowed {
		words[i] = string(allowed[i])
	}
	last := len(words) - 1
	return fmt.Sprintf("%s is not one of %s and %s", quoted(string(word)), strings.Join(words[:last], ", "), words[last])
}
