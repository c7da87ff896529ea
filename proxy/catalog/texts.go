package catalog

import (
	"cmp"
	"slices"
	"unicode/utf8"

	"mcpsidecar/proxy/rpc"
)

// texts collects what has to be cleaned in one definition: the strings that a model reads as prose.
type texts struct {
	text    []byte
	longest int
	edits   []edit
	found   findings
}

// edit replaces a part of the text.
type edit struct {
	at   span
	with []byte
}

// schema looks at the texts of one subschema.
func (t *texts) schema(s subschema) {
	for _, m := range s.members {
		switch string(m.key) {
		case "title", "description", "$comment":
			if t.text[m.value.from] == '"' {
				t.look(m.value)
			}
		}
	}
}

// look cleans one raw string, if it needs to be.
func (t *texts) look(at span) {
	raw := at.of(t.text)
	if len(raw) <= t.longest && plain(raw) {
		return
	}
	text, ok := rpc.String(raw)
	if !ok {
		return
	}
	clean := cleanText(text)
	if clean != text {
		t.found.removed = true
	}
	if short := cutText(clean, t.longest); short != clean {
		t.found.cut = true
		clean = short
	}
	if clean != text {
		t.edits = append(t.edits, edit{at, rpc.AppendString(nil, clean)})
	}
}

// apply returns the text with all edits made.
func (t *texts) apply() []byte {
	slices.SortFunc(t.edits, func(a, b edit) int { return cmp.Compare(a.at.from, b.at.from) })
	size := len(t.text)
	for _, e := range t.edits {
		size += len(e.with) - (e.at.to - e.at.from)
	}
	clean := make([]byte, 0, size)
	done := 0
	for _, e := range t.edits {
		clean = append(clean, t.text[done:e.at.from]...)
		clean = append(clean, e.with...)
		done = e.at.to
	}
	return append(clean, t.text[done:]...)
}

// plain says of a raw string that it is ASCII without other escapes than \n \t \" \\ \/, so that there is nothing to be cleaned in it: the quick answer for almost every text there is.
func plain(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		switch b := raw[i]; {
		case b >= utf8.RuneSelf || b == 0x7f:
			return false
		case b == '\\':
			i++
			if i == len(raw) {
				return false
			}
			switch raw[i] {
			case 'n', 't', '"', '\\', '/':
			default:
				return false
			}
		}
	}
	return true
}

// hiddenInside says whether any string of a JSON text, names of members included, has characters that cleaning would remove.
func hiddenInside(text []byte) bool {
	if plain(text) {
		return false
	}
	for c := (cursor{text: text}); c.at < len(text) && !c.bad; {
		if text[c.at] != '"' {
			c.at++
			continue
		}
		raw := c.literal().of(text)
		if plain(raw) {
			continue
		}
		if decoded, ok := rpc.String(raw); ok && hidden(decoded) {
			return true
		}
	}
	return false
}
