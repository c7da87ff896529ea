package admin

import (
	"slices"
	"strconv"
	"strings"
)

// precondition is the If-Match of a request: the entity tags of which the present one must be one. The zero value asks for nothing.
type precondition struct {
	given bool
	any   bool
	tags  []string
}

// preconditionOf reads the lines of If-Match. What cannot be read matches nothing, and so refuses the request.
func preconditionOf(lines []string) precondition {
	if len(lines) == 0 {
		return precondition{}
	}
	p := precondition{given: true}
	for tag := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		tag = strings.TrimSpace(tag)
		p.any = p.any || tag == "*"
		p.tags = append(p.tags, tag)
	}
	return p
}

// check returns errChanged unless the present tag will do. Weak tags never do, as RFC 9110 has it.
func (p precondition) check(present string) error {
	if !p.given || p.any || slices.Contains(p.tags, present) {
		return nil
	}
	return errChanged
}

func revisionTag(revision uint64) string { return `"` + strconv.FormatUint(revision, 10) + `"` }
