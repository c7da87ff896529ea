package catalog

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"mcpsidecar/policy"
)

// Limits bound a catalog. Zero values mean the defaults in brackets.
type Limits struct {
	Tools       int // of one server [2000]
	Definition  int // bytes of one definition [256 KiB]
	Description int // characters of one description that are shown [16384]; what is longer is cut
}

func (l Limits) withDefaults() Limits {
	if l.Tools <= 0 {
		l.Tools = 2000
	}
	if l.Definition <= 0 {
		l.Definition = 256 << 10
	}
	if l.Description <= 0 {
		l.Description = 16384
	}
	return l
}

// Catalog is the present tools of one server.
type Catalog struct {
	Tools    []Tool   // by name, unique
	Warnings []string // what was dropped or cleaned, one sentence each, naming the tool; escaped, length-capped

	limits Limits
}

// Build makes a catalog from the raw tool objects of all pages. The definitions were read strictly already. A tool whose name occurs twice is dropped altogether.
func Build(definitions [][]byte, limits Limits) *Catalog {
	return Rebuild(nil, definitions, limits)
}

// Rebuild makes the same catalog as Build, but takes over from an earlier one (or one made for another credential; nil: none) the tools whose definitions have not changed by a byte. That is what a
// refreshed list nearly always is, and it saves taking fingerprints and keeping a second copy.
func Rebuild(earlier *Catalog, definitions [][]byte, limits Limits) *Catalog {
	limits = limits.withDefaults()
	if earlier != nil && earlier.limits != limits {
		earlier = nil
	}
	var warn warnings
	listed := unambiguous(locateAll(definitions, &warn), &warn)
	tools := make([]Tool, 0, min(len(listed), limits.Tools))
	for i, d := range listed {
		if len(tools) == limits.Tools {
			warn.more(fmt.Sprintf("The server lists more than %d tools; %d were left out, from %s on.", limits.Tools, len(listed)-i, quote(d.name)))
			break
		}
		tool, err := earlier.reuse(d, limits)
		if err != nil {
			warn.add("Tool %s was dropped: %v.", quote(d.name), err)
			continue
		}
		tool.found.warn(d.name, limits, &warn)
		tools = append(tools, *tool)
	}
	slices.SortFunc(tools, func(a, b Tool) int { return cmp.Compare(a.Name, b.Name) })
	return &Catalog{Tools: slices.Clip(tools), Warnings: warn.all(), limits: limits}
}

// reuse returns the tool that the same definition made before, or else reads it.
func (c *Catalog) reuse(d definition, limits Limits) (*Tool, error) {
	if c != nil {
		if t := c.Find(d.name); t != nil && bytes.Equal(t.Raw, d.text) {
			return t, nil
		}
	}
	return read(d, limits)
}

// locateAll finds the parts of every definition that has a name at all.
func locateAll(definitions [][]byte, warn *warnings) []definition {
	listed := make([]definition, 0, len(definitions))
	for i, text := range definitions {
		d, ok := locate(text)
		if !ok || d.name == "" {
			warn.add("Entry %d of the list was dropped: it is not an object whose name is a string that is not empty.", i+1)
			continue
		}
		listed = append(listed, d)
	}
	return listed
}

// unambiguous drops every definition whose name another one has, too; also when one of the two would be dropped for another reason, since the server might still mean it when it is called.
func unambiguous(listed []definition, warn *warnings) []definition {
	times := make(map[string]int, len(listed))
	for _, d := range listed {
		times[d.name]++
	}
	return slices.DeleteFunc(listed, func(d definition) bool {
		n := times[d.name]
		if n > 1 {
			warn.add("Tool %s was dropped: its name is listed %d times, so it is not clear which tool it means.", quote(d.name), n)
			times[d.name] = noted
		}
		return n > 1 || n == noted
	})
}

// noted stands instead of a count for a name that was warned of already.
const noted = -1

// Find returns the tool with this original name, or nil.
func (c *Catalog) Find(name string) *Tool {
	i, found := slices.BinarySearchFunc(c.Tools, name, func(t Tool, name string) int { return cmp.Compare(t.Name, name) })
	if !found {
		return nil
	}
	return &c.Tools[i]
}

// Baseline is what approving this catalog means.
func (c *Catalog) Baseline() policy.Baseline {
	baseline := make(policy.Baseline, len(c.Tools))
	for i := range c.Tools {
		t := &c.Tools[i]
		baseline[t.Name] = policy.Approval{Print: t.Print, ReadOnly: t.ReadOnly}
	}
	return baseline
}

// Names lists the original names.
func (c *Catalog) Names() []string {
	names := make([]string, len(c.Tools))
	for i := range c.Tools {
		names[i] = c.Tools[i].Name
	}
	return names
}
