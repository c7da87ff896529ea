package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
)

const (
	maxName = 64 // bytes of an exposed name: what most model providers accept
	maxSlug = 32
	hashed  = 1 + 6 // _ and the hash that closes a changed name
)

// ExposedName is the name under which a tool is shown to agents: slug__tool with characters outside [A-Za-z0-9_-] replaced by _, at most 64 bytes, closed
// by _ and six characters of a hash of slug and tool whenever that changed the name, or the tool has none. A slug has no _, so the first two end it and names of different servers never meet.
func ExposedName(slug, tool string) string {
	name := slug + "__" + tool
	if tool != "" && plain(name) && len(name) <= maxName {
		return name
	}
	return hashedName(slug, tool)
}

// ExposedNames maps original names to exposed ones for all tools of one server. Where an unchanged name would collide with a changed one it gets a hash, too; what still
// collides is left out, so that a public name means exactly one tool. The result does not depend on the order of tools, nor on how often one occurs.
func ExposedNames(slug string, tools []string) map[string]string {
	exposed := make(map[string]string, len(tools))
	for _, tool := range tools {
		exposed[tool] = ExposedName(slug, tool)
	}
	shared := count(exposed)
	for tool, name := range exposed {
		if shared[name] > 1 {
			exposed[tool] = hashedName(slug, tool) // for a changed name that is the same again
		}
	}
	shared = count(exposed)
	for tool, name := range exposed {
		if shared[name] > 1 {
			delete(exposed, tool)
		}
	}
	return exposed
}

// count says how many tools have each exposed name.
func count(exposed map[string]string) map[string]int {
	counts := make(map[string]int, len(exposed))
	for _, name := range exposed {
		counts[name]++
	}
	return counts
}

func hashedName(slug, tool string) string {
	var name strings.Builder
	for _, r := range slug + "__" + tool { // a byte that is not UTF-8 counts as one character
		if !plainRune(r) {
			r = '_'
		}
		name.WriteByte(byte(r))
	}
	text := name.String()
	return text[:min(len(text), maxName-hashed)] + "_" + shortHash(slug, tool)
}

// shortHash is six characters of [a-z0-9], enough that two tools of one server never share them by chance; for malice there is ExposedNames.
func shortHash(slug, tool string) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	sum := sha256.Sum256([]byte(slug + "\x00" + tool))
	n := binary.BigEndian.Uint64(sum[:8])
	var text [6]byte
	for i := range text {
		text[i] = alphabet[n%uint64(len(alphabet))]
		n /= uint64(len(alphabet))
	}
	return string(text[:])
}

func plain(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return !plainRune(r) }) < 0
}

func plainRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}

// ValidSlug says whether a text can be a slug: [a-z0-9] with inner -, at most 32.
func ValidSlug(slug string) bool {
	if slug == "" || len(slug) > maxSlug || slug[0] == '-' || slug[len(slug)-1] == '-' {
		return false
	}
	for i := range len(slug) {
		if c := slug[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
