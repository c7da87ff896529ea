package surface

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"mcpsidecar/policy"
	"mcpsidecar/proxy/catalog"
	"mcpsidecar/proxy/rpc"
)

// Kind is what a list is of.
type Kind uint8

// The kinds.
const (
	Prompts Kind = iota
	Resources
	Templates
)

// words are what the specification calls a kind's things.
var words = [...]struct{ method, member, key, one string }{
	Prompts:   {"prompts/list", "prompts", "name", "prompt"},
	Resources: {"resources/list", "resources", "uri", "resource"},
	Templates: {"resources/templates/list", "resourceTemplates", "uriTemplate", "resource template"},
}

// Method is the method that lists this kind.
func (k Kind) Method() string { return words[k].method }

// Member is the member of its result that holds the list.
func (k Kind) Member() string { return words[k].member }

// Limits of what is taken from one server.
const (
	maxEntries   = 10_000
	maxTemplates = 1000      // each of which keeps a pattern once it was matched
	maxEntry     = 256 << 10 // bytes
	maxKey       = 4096      // bytes: it becomes part of a header
)

// most is how many entries of this kind are taken.
func (k Kind) most() int {
	if k == Templates {
		return maxTemplates
	}
	return maxEntries
}

// Entry is one prompt, resource or template.
type Entry struct {
	Key string // its name, URI or URI template, as the server gives it
	Raw []byte // as it was listed, but for what is hidden in its texts

	exposed string            // of a prompt: the name in a list of several servers; empty: it has none
	renamed []byte            // Raw with that name
	matches func(string) bool // of a template
	literal string            // of a template: what every URI of it begins with
}

// List is what one server lists of one kind.
type List struct {
	Kind     Kind
	Slug     string
	Entries  []Entry  // by key, unique
	Warnings []string // what was left out, one sentence each

	byKey     map[string]*Entry
	byExposed []*Entry // of prompts: in the order of their exposed names
}

// Read makes a list from the raw elements of all pages, which were read strictly already. A prompt whose name occurs twice is dropped altogether, since it is not clear which one would be got; of a URI that
// occurs twice the first stays, since both are the same to whoever reads.
func Read(kind Kind, slug string, elements [][]byte) *List {
	l := &List{Kind: kind, Slug: slug}
	l.Entries = l.atMost(kind.most(), l.unique(l.readable(elements)))
	slices.SortFunc(l.Entries, func(a, b Entry) int { return cmp.Compare(a.Key, b.Key) })
	l.byKey = make(map[string]*Entry, len(l.Entries))
	for i := range l.Entries {
		e := &l.Entries[i]
		l.byKey[e.Key] = e
		if kind == Templates {
			e.literal, e.matches = compile(e.Key)
		}
	}
	if kind == Prompts {
		l.expose()
	}
	return l
}

// readable are the elements that can be shown at all.
func (l *List) readable(elements [][]byte) []Entry {
	entries := make([]Entry, 0, len(elements))
	for i, raw := range elements {
		key := ""
		if len(raw) > 0 && raw[0] == '{' && len(raw) <= maxEntry {
			key, _ = rpc.String(rpc.Find(raw, words[l.Kind].key))
		}
		if key == "" || len(key) > maxKey || catalog.Hides(key) {
			l.warn("Entry %d of %s was left out: it has no %s, one that is too long, or one with characters that cannot be seen.", i+1, l.Kind.Method(), words[l.Kind].key)
			continue
		}
		clean, removed := catalog.CleanEntry(raw, words[l.Kind].key)
		if removed {
			l.warn("Hidden characters were removed from the texts of the %s %.100q.", words[l.Kind].one, key)
		}
		entries = append(entries, Entry{Key: key, Raw: clean})
	}
	return entries
}

// unique drops what is listed more than once.
func (l *List) unique(entries []Entry) []Entry {
	times := make(map[string]int, len(entries))
	for _, e := range entries {
		times[e.Key]++
	}
	seen := make(map[string]bool, len(entries))
	return slices.DeleteFunc(entries, func(e Entry) bool {
		if times[e.Key] == 1 {
			return false
		}
		again := seen[e.Key]
		seen[e.Key] = true
		if !again {
			l.warn("The %s %.100q is listed %d times.", words[l.Kind].one, e.Key, times[e.Key])
		}
		return again || l.Kind == Prompts
	})
}

// atMost leaves out what is too much, once it is known what is listed more than once.
func (l *List) atMost(most int, entries []Entry) []Entry {
	if len(entries) <= most {
		return entries
	}
	l.warn("The server lists more than %d %ss; the rest was left out.", most, words[l.Kind].one)
	return slices.Clone(entries[:most])
}

// maxWarnings is how many sentences about one list are kept.
const maxWarnings = 20

func (l *List) warn(format string, args ...any) {
	if len(l.Warnings) < maxWarnings {
		l.Warnings = append(l.Warnings, fmt.Sprintf(format, args...))
	}
}

// expose names the prompts for a list of several servers.
func (l *List) expose() {
	names := make([]string, len(l.Entries))
	for i := range l.Entries {
		names[i] = l.Entries[i].Key
	}
	exposed := policy.ExposedNames(l.Slug, names)
	for i := range l.Entries {
		e := &l.Entries[i]
		if e.exposed = exposed[e.Key]; e.exposed == "" {
			continue
		}
		e.renamed = rename(e.Raw, words[l.Kind].key, e.exposed)
		l.byExposed = append(l.byExposed, e)
	}
	slices.SortFunc(l.byExposed, func(a, b *Entry) int { return cmp.Compare(a.exposed, b.exposed) })
}

// rename replaces the member of an entry that is its key.
func rename(raw []byte, member, key string) []byte {
	parts, err := rpc.EditObject(nil, raw, rpc.Edit{Name: member, Value: rpc.AppendString(nil, key)})
	if err != nil {
		return raw // cannot be: it was read strictly
	}
	return bytes.Join(parts, nil)
}

// Find returns the entry with this original key, or nil.
func (l *List) Find(key string) *Entry { return l.byKey[key] }

// FindExposed returns the prompt with this exposed name, or nil.
func (l *List) FindExposed(name string) *Entry {
	i, found := slices.BinarySearchFunc(l.byExposed, name, func(e *Entry, name string) int { return cmp.Compare(e.exposed, name) })
	if !found {
		return nil
	}
	return l.byExposed[i]
}

// Same says whether an agent could see no difference between two lists.
func (l *List) Same(other *List) bool {
	return slices.EqualFunc(l.Entries, other.Entries, func(a, b Entry) bool { return bytes.Equal(a.Raw, b.Raw) })
}

// prefix begins a URI that says which server it belongs to.
const prefix = "sidecar+"

// Qualify is the URI by which an agent asks for a URI of one server among several.
func Qualify(slug, uri string) string { return prefix + slug + ":" + uri }

// Unqualify undoes Qualify; ok is false for a URI that says nothing of a server.
func Unqualify(qualified string) (slug, uri string, ok bool) {
	rest, found := strings.CutPrefix(qualified, prefix)
	if !found {
		return "", qualified, false
	}
	slug, uri, found = strings.Cut(rest, ":")
	if !found || uri == "" || !policy.ValidSlug(slug) {
		return "", qualified, false
	}
	return slug, uri, true
}
