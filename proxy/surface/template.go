package surface

import (
	"regexp"
	"strings"
	"sync"
)

// Limits of matching. A pattern is matched in time that grows with its length times that of the URI, and hostile ones take all of it; so the product is bounded for each question, and what does not fit matches nothing.
const (
	maxTemplate    = 1024 // bytes
	maxExpressions = 16
	maxMatchedURI  = 4096
	matchBudget    = 16 << 20
)

// match says whether one of the templates could have been expanded to this URI. left is what may still be spent.
func (l *List) match(uri string, left *int) bool {
	if len(uri) > maxMatchedURI {
		return false
	}
	for i := range l.Entries {
		e := &l.Entries[i]
		if e.matches == nil || !strings.HasPrefix(uri, e.literal) {
			continue
		}
		if *left -= len(e.Key) * (len(uri) + 1); *left < 0 {
			return false
		}
		if e.matches(uri) {
			return true
		}
	}
	return false
}

// compile reads a URI template (RFC 6570) for matching: it finds out which server a URI belongs to, not what the variables are. It is wider than the RFC in one thing: a variable may stand for characters that an
// expansion would have escaped, because servers' own matchers take them. What cannot be read matches nothing, and so does a template with nothing but an expression in it: it would claim every URI there is.
func compile(template string) (literal string, matches func(string) bool) {
	pattern, literal, ok := translate(template)
	if !ok {
		return "", nil
	}
	compiled := sync.OnceValue(func() *regexp.Regexp {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil
		}
		return re
	})
	return literal, func(uri string) bool {
		re := compiled()
		return re != nil && re.MatchString(uri)
	}
}

// translate makes a regular expression of a template; literal is what stands before its first expression.
func translate(template string) (pattern, literal string, ok bool) {
	if len(template) > maxTemplate {
		return "", "", false
	}
	literal, rest, found := strings.Cut(template, "{")
	if literal == "" || strings.Contains(literal, "}") {
		return "", "", false
	}
	var b strings.Builder
	b.WriteString(`^(?s:` + regexp.QuoteMeta(literal))
	for n := 0; found; n++ {
		expression, after, closed := strings.Cut(rest, "}")
		class, known := classOf(expression)
		if !closed || !known || n == maxExpressions {
			return "", "", false
		}
		var text string
		if text, rest, found = strings.Cut(after, "{"); strings.Contains(text, "}") {
			return "", "", false
		}
		b.WriteString(class + regexp.QuoteMeta(text))
	}
	b.WriteString(`)$`)
	return b.String(), literal, true
}

// operators are what the first character of an expression makes of it (RFC 6570, appendix A). Each may expand to nothing.
var operators = map[byte]string{
	'+': `.*`,
	'#': `(?:#.*)?`,
	'.': `(?:\.[^/?#]*)?`,
	'/': `(?:/[^?#]*)?`,
	';': `(?:;[^/?#]*)?`,
	'?': `(?:\?[^#]*)?`,
	'&': `(?:&[^#]*)?`,
}

// classOf is what an expression can stand for.
func classOf(expression string) (class string, ok bool) {
	if expression == "" {
		return "", false
	}
	if class, found := operators[expression[0]]; found {
		return class, variables.MatchString(expression[1:])
	}
	return `[^/?#]*`, variables.MatchString(expression)
}

// variables are one or more names with their modifiers, of which the length of a prefix is not looked at.
var variables = regexp.MustCompile(`^` + variable + `(?:,` + variable + `)*$`)

const variable = `(?:[A-Za-z0-9_.]|%[0-9A-Fa-f]{2})+(?::[1-9][0-9]{0,3}|\*)?`
