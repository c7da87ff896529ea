package policy

import "strings"

// pattern matches a whole name, case-sensitively; * stands for any run of characters, the empty one included. A pattern takes time linear in the name, since
// each piece between two stars is searched once, from where the one before it ended: the leftmost place leaves the most room for what follows.
type pattern struct {
	prefix, suffix string
	middle         []string // pieces between the first and the last star, in order, none empty
	exact          bool     // no star: prefix is the whole name
}

func parsePattern(text string) pattern {
	pieces := strings.Split(text, "*")
	if len(pieces) == 1 {
		return pattern{prefix: text, exact: true}
	}
	p := pattern{prefix: pieces[0], suffix: pieces[len(pieces)-1]}
	for _, piece := range pieces[1 : len(pieces)-1] {
		if piece != "" {
			p.middle = append(p.middle, piece)
		}
	}
	return p
}

func (p *pattern) match(name string) bool {
	if p.exact {
		return name == p.prefix
	}
	if len(name) < len(p.prefix)+len(p.suffix) || !strings.HasPrefix(name, p.prefix) || !strings.HasSuffix(name, p.suffix) {
		return false
	}
	rest := name[len(p.prefix) : len(name)-len(p.suffix)]
	for _, piece := range p.middle {
		at := strings.Index(rest, piece)
		if at < 0 {
			return false
		}
		rest = rest[at+len(piece):]
	}
	return true
}

// list is one of an admin's lists of tool names, compiled. Exact entries are looked up, the others tried in order.
type list struct {
	field   string
	entries []string
	exact   map[string]string // entry → rule
	wild    []wildcard
}

type wildcard struct {
	pattern
	rule string
}

// compileList also spells the rule of each entry, so that deciding does not have to.
func compileList(field string, entries []string) list {
	l := list{field: field, entries: append([]string(nil), entries...), exact: make(map[string]string, len(entries))}
	for _, entry := range l.entries {
		rule := field + ": " + entry
		if p := parsePattern(entry); p.exact {
			l.exact[entry] = rule
		} else {
			l.wild = append(l.wild, wildcard{pattern: p, rule: rule})
		}
	}
	return l
}

func (l *list) empty() bool { return len(l.entries) == 0 }

// find returns the rule of an entry that matches: the exact one if there is one, else the first pattern.
func (l *list) find(name string) (rule string, found bool) {
	if rule, found = l.exact[name]; found {
		return rule, true
	}
	for i := range l.wild {
		if l.wild[i].match(name) {
			return l.wild[i].rule, true
		}
	}
	return "", false
}
