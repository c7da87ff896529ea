package policy

// ExposedName is the name under which a tool is shown to agents: slug__tool with characters outside [A-Za-z0-9_-] replaced by _, at most 64 bytes, closed
// by _ and six characters of a hash of slug and tool whenever that changed the name.
func ExposedName(slug, tool string) string { panic("unbuilt") }

// ExposedNames maps original names to exposed ones for all tools of one server. Where an unchanged name would collide with a changed one it gets a hash, too; what still
// collides is left out, so that a public name means exactly one tool. The result does not depend on the order of tools.
func ExposedNames(slug string, tools []string) map[string]string { panic("unbuilt") }

// ValidSlug says whether a text can be a slug: [a-z0-9] with inner -, at most 32.
func ValidSlug(slug string) bool { panic("unbuilt") }
