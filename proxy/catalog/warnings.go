package catalog

import (
	"fmt"
	"strconv"
)

// maxWarnings bounds the warnings: a server that gets everything wrong gets a number instead of a sentence for each tool.
const maxWarnings = 100

// warnings collects sentences for the admin.
type warnings struct {
	kept    []string
	last    []string // said in any case
	unnoted int
}

func (w *warnings) add(format string, args ...any) {
	if len(w.kept) == maxWarnings {
		w.unnoted++
		return
	}
	w.kept = append(w.kept, fmt.Sprintf(format, args...))
}

// more adds a sentence about the list as a whole, which the bound does not hold for.
func (w *warnings) more(sentence string) { w.last = append(w.last, sentence) }

func (w *warnings) all() []string {
	if w.unnoted > 0 {
		w.more(fmt.Sprintf("%d more warnings were left out.", w.unnoted))
	}
	return append(w.kept, w.last...)
}

// findings is what was noticed in a definition that is kept.
type findings struct {
	removed bool // characters were removed from texts
	cut     bool // a text was cut
	left    bool // characters that cannot be seen stand where nothing is altered
}

func (f findings) warn(name string, limits Limits, warn *warnings) {
	if f.removed {
		warn.add("Tool %s: control characters or characters that cannot be seen were removed from its texts.", quote(name))
	}
	if f.cut {
		warn.add("Tool %s: a text of more than %d characters was cut.", quote(name), limits.Description)
	}
	if f.left {
		warn.add("Tool %s: control characters or characters that cannot be seen stand in names or values of its definition, which are never altered.", quote(name))
	}
}

// quote writes a name of a stranger so that it can stand in a sentence, a log or a terminal.
func quote(name string) string {
	const most = 64
	count := 0
	for i := range name {
		if count == most {
			return strconv.Quote(name[:i]) + "…"
		}
		count++
	}
	return strconv.Quote(name)
}
