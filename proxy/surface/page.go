package surface

import (
	"cmp"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"mcpsidecar/policy"
)

// How much one page has at most; at least one entry.
const (
	pageEntries = 500
	pageBytes   = 1 << 20
)

// Merge is several servers' lists of one kind as one: sorted by server, and then by name. It is a view that costs nothing to make.
type Merge struct {
	Kind  Kind
	Lists []*List // of the servers that the caller may see, in the order of slug + "__"
	Whole bool    // the list of all servers, with names that say which one; otherwise that of a single server, with its own names
}

// ErrCursor says that a cursor is not one of this list.
var ErrCursor = errors.New("the cursor is not one of this list")

// position is where a page begins: after this entry, which may be gone by now.
type position struct{ slug, name string }

// AppendPage appends the entries of one page, separated by commas. cursor is empty for the first page; next is empty after the last.
func (m Merge) AppendPage(dst []byte, cursor string) (page []byte, next string, err error) {
	var after position
	if cursor != "" {
		if after, err = m.decode(cursor); err != nil {
			return dst, "", err
		}
	}
	begin, count := len(dst), 0
	for _, l := range m.Lists {
		if l.Slug+"__" < after.slug+"__" && after.slug != "" {
			continue
		}
		for i, n := m.start(l, after), m.len(l); i < n; i++ {
			e := m.at(l, i)
			text := m.render(l, e)
			if count > 0 && (count == pageEntries || len(dst)-begin+len(text) > pageBytes) {
				return dst, m.encode(after), nil
			}
			if count > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, text...)
			after = position{l.Slug, m.name(e)}
			count++
		}
	}
	return dst, "", nil
}

// len, at and name look at a list in the order in which it is shown.
func (m Merge) len(l *List) int {
	if m.byExposed() {
		return len(l.byExposed)
	}
	return len(l.Entries)
}

func (m Merge) at(l *List, i int) *Entry {
	if m.byExposed() {
		return l.byExposed[i]
	}
	return &l.Entries[i]
}

func (m Merge) name(e *Entry) string {
	if m.byExposed() {
		return e.exposed
	}
	return e.Key
}

func (m Merge) byExposed() bool { return m.Whole && m.Kind == Prompts }

// start is the first entry of a list after a position.
func (m Merge) start(l *List, after position) int {
	if l.Slug != after.slug {
		return 0
	}
	i, found := 0, false
	compare := func(e *Entry) int { return cmp.Compare(m.name(e), after.name) }
	if m.byExposed() {
		i, found = slices.BinarySearchFunc(l.byExposed, after, func(e *Entry, _ position) int { return compare(e) })
	} else {
		i, found = slices.BinarySearchFunc(l.Entries, after, func(e Entry, _ position) int { return compare(&e) })
	}
	if found {
		i++
	}
	return i
}

// render is an entry as this list shows it.
func (m Merge) render(l *List, e *Entry) []byte {
	switch {
	case m.byExposed():
		return e.renamed
	case m.Whole && m.ambiguous(e.Key):
		return rename(e.Raw, words[m.Kind].key, Qualify(l.Slug, e.Key))
	}
	return e.Raw
}

// ambiguous says whether a URI has to say which server it belongs to: because several list it, or because it looks as if it said so already.
func (m Merge) ambiguous(key string) bool {
	if strings.HasPrefix(key, prefix) {
		return true
	}
	_, more := m.Owner(key)
	return more
}

// Owner returns the one list that has a URI or template; more says that several have it, and then it means none of them.
func (m Merge) Owner(key string) (owner *List, more bool) {
	for _, l := range m.Lists {
		if l.byKey[key] == nil {
			continue
		}
		if owner != nil {
			return nil, true
		}
		owner = l
	}
	return owner, false
}

// Matching returns the one list of templates that has one for a URI; nil if none has, or several have. Where the budget does not suffice to know, none has: a server could use it up and then be the only one that was asked.
func (m Merge) Matching(uri string) (owner *List) {
	left := matchBudget
	for _, l := range m.Lists {
		found := l.match(uri, &left)
		if left < 0 || found && owner != nil {
			return nil
		}
		if found {
			owner = l
		}
	}
	return owner
}

// encode makes a cursor. It is no secret: whoever forges one sees a part of a list that is his to see.
func (m Merge) encode(after position) string {
	return base64.RawURLEncoding.EncodeToString([]byte(m.mark() + after.slug + "\x00" + after.name))
}

func (m Merge) decode(cursor string) (position, error) {
	if len(cursor) > 2*maxKey {
		return position{}, ErrCursor
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return position{}, ErrCursor
	}
	rest, ours := strings.CutPrefix(string(text), m.mark())
	slug, name, whole := strings.Cut(rest, "\x00")
	if !ours || !whole || name == "" || !policy.ValidSlug(slug) {
		return position{}, ErrCursor
	}
	return position{slug, name}, nil
}

// mark tells the cursors of one list from those of another.
func (m Merge) mark() string {
	if m.Whole {
		return "1" + words[m.Kind].key + "*"
	}
	return "1" + words[m.Kind].key + "="
}
