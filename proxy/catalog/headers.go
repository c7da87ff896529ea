package catalog

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"mcpsidecar/proxy/rpc"
)

// HasHeaders says whether arguments are mirrored into headers.
func (t *Tool) HasHeaders() bool { return t.mirror != nil }

// SetHeaders mirrors arguments (a raw object, or nil) into Mcp-Param-* headers as the 2026-07-28 specification says. An argument that is absent or null leaves no header; one that no header can carry,
// such as an integer beyond the safe range, is an error that names the header.
func (t *Tool) SetHeaders(header http.Header, arguments []byte) error {
	if t.mirror == nil {
		return nil
	}
	values, err := t.mirror.values(arguments)
	if err != nil {
		return err
	}
	for _, name := range t.mirror.all {
		value, given := values[name]
		if !given {
			header.Del(name)
			continue
		}
		text, err := headerText(value)
		if err != nil {
			return fmt.Errorf("the argument for the header %s %w", shortHeader(name), err)
		}
		header.Set(name, rpc.EncodeHeader(text))
	}
	return nil
}

// CheckHeaders holds the Mcp-Param-* headers that a client sent against the arguments: a recognised header that is malformed or differs, or is missing where the argument is present, is an error that
// names it. Integers are compared as numbers. Unrecognised ones are ignored.
func (t *Tool) CheckHeaders(header http.Header, arguments []byte) error {
	if t.mirror == nil {
		return nil
	}
	values, err := t.mirror.values(arguments)
	if err != nil {
		return err
	}
	for _, name := range t.mirror.all {
		value, given := values[name]
		if err := checkHeader(header[name], value, given); err != nil {
			return fmt.Errorf("the header %s %w", shortHeader(name), err)
		}
	}
	return nil
}

// CheckWrappedHeaders does the same for a call of a tool that is shown with the intent wrapper; arguments are as they came, not unwrapped. A client mirrors what stands at the path in the schema that it was
// shown, inside properties: of a model that left the wrapper out, nothing.
func (t *Tool) CheckWrappedHeaders(header http.Header, arguments []byte) error {
	if t.mirror == nil {
		return nil
	}
	return t.CheckHeaders(header, rpc.Find(arguments, "properties"))
}

// shortHeader keeps errors short where a server chose a long name.
func shortHeader(name string) string {
	const most = 128
	if len(name) > most {
		return name[:most] + "…"
	}
	return name
}

// values finds the arguments to be mirrored, by header; those that are null are absent.
func (m *mirror) values(arguments []byte) (map[string][]byte, error) {
	if len(arguments) == 0 {
		return nil, nil
	}
	found := make(map[string][]byte, len(m.all))
	c := cursor{text: arguments}
	m.collect(&c, found)
	if c.bad {
		return nil, errors.New("the arguments are not valid JSON")
	}
	return found, nil
}

func (m *mirror) collect(c *cursor, found map[string][]byte) {
	if c.peek() != '{' {
		c.skip()
		return
	}
	c.members(func(name span) {
		next := m.inner[string(c.key(name))]
		if next == nil {
			c.skip()
			return
		}
		c.peek()
		from := c.at
		next.collect(c, found)
		value := c.text[from:c.at]
		if next.header != "" && !c.bad && string(value) != "null" {
			found[next.header] = value
		}
	})
}

// headerText writes a raw argument as the specification says: a string as it is, an integer in decimal, a boolean as a word.
func headerText(value []byte) (string, error) {
	switch value[0] {
	case '"':
		text, _ := rpc.String(value)
		return text, nil
	case 't', 'f':
		return string(value), nil
	case '{', '[':
		return "", fmt.Errorf("is neither a string, an integer nor a boolean")
	}
	n, ok := integer(string(value))
	if !ok {
		return "", fmt.Errorf("is not an integer between -%d and %d", maxSafe, maxSafe)
	}
	return strconv.FormatInt(n, 10), nil
}

// checkHeader judges one header: sent is how it came, value the raw argument.
func checkHeader(sent []string, value []byte, given bool) error {
	switch {
	case len(sent) > 1:
		return fmt.Errorf("was sent %d times", len(sent))
	case !given && len(sent) == 1:
		return fmt.Errorf("was sent, but its argument is absent or null")
	case !given:
		return nil
	case len(sent) == 0:
		return fmt.Errorf("is missing, but its argument is present")
	}
	text, err := rpc.DecodeHeader(sent[0])
	if err != nil {
		return err
	}
	want, err := headerText(value)
	if err != nil {
		return fmt.Errorf("mirrors an argument that %w", err)
	}
	if text == want || sameInteger(text, want, value) {
		return nil
	}
	return fmt.Errorf("does not match its argument")
}

// sameInteger says whether a header means the integer that a number argument is.
func sameInteger(text, want string, value []byte) bool {
	if value[0] == '"' || value[0] == 't' || value[0] == 'f' {
		return false
	}
	n, ok := integer(text)
	return ok && strconv.FormatInt(n, 10) == want
}
