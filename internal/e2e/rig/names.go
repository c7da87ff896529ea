package rig

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
)

// PlainNames is a Forwarder that lets a client use one server's own names at an endpoint that puts "slug__" before them: what the client names gets the prefix, and from what it is answered
// the prefix is cut. The names of other servers stay as they are. The slug must be a word that occurs nowhere else.
func PlainNames(target string, header http.Header, slug string) (*httptest.Server, error) {
	prefix := slug + "__"
	change := func(r *http.Request, body []byte) []byte {
		for name, values := range header {
			r.Header[name] = values
		}
		method, changed := prefixed(body, prefix)
		if name := r.Header.Get("Mcp-Name"); name != "" && isNamed(method) {
			r.Header.Set("Mcp-Name", exposed(name, prefix))
		}
		return changed
	}
	return forwarder(target, change, func(r *http.Response) error {
		r.Header.Del("Content-Length")
		r.ContentLength = -1
		r.Body = &cut{from: r.Body, word: []byte(prefix)}
		return nil
	})
}

// isNamed says whether a method names a tool or a prompt in its params, and then in a header as well.
func isNamed(method string) bool { return method == "tools/call" || method == "prompts/get" }

// prefixed puts the prefix before the name in a request that has one. What cannot be read passes as it is: it is meant to be wrong.
func prefixed(body []byte, prefix string) (method string, changed []byte) {
	var message, params, ref map[string]json.RawMessage
	if json.Unmarshal(body, &message) != nil || json.Unmarshal(message["method"], &method) != nil || json.Unmarshal(message["params"], &params) != nil {
		return method, body
	}
	switch {
	case isNamed(method) && prefixName(params, prefix):
	case method == "completion/complete" && json.Unmarshal(params["ref"], &ref) == nil && prefixName(ref, prefix):
		params["ref"] = encode(ref)
	default:
		return method, body
	}
	message["params"] = encode(params)
	return method, encode(message)
}

// prefixName says whether the object has a name, which it changes.
func prefixName(object map[string]json.RawMessage, prefix string) bool {
	var name string
	if json.Unmarshal(object["name"], &name) != nil || name == "" {
		return false
	}
	object["name"] = encode(exposed(name, prefix))
	return true
}

// exposed is the name that the endpoint has for what the client knows under a plain one, or under another server's.
func exposed(name, prefix string) string {
	if strings.Contains(name, "__") {
		return name
	}
	return prefix + name
}

// encode writes what was read or is a text, so that it cannot fail.
func encode(value any) []byte {
	text, _ := json.Marshal(value)
	return text
}

// cut reads without a word, wherever it occurs, across reads as well.
type cut struct {
	from io.ReadCloser
	word []byte

	ready, held []byte // to be handed out; the end of what was read, which could be the word's beginning
	err         error  // of from, once held is handed out
}

func (c *cut) Close() error { return c.from.Close() }

func (c *cut) Read(p []byte) (int, error) {
	for len(c.ready) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.fill()
	}
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

// fill reads once.
func (c *cut) fill() {
	chunk := make([]byte, 32<<10)
	var n int
	n, c.err = c.from.Read(chunk)
	text := bytes.ReplaceAll(append(c.held, chunk[:n]...), c.word, nil)
	keep := 0
	if c.err == nil {
		keep = c.beginning(text)
	}
	c.ready, c.held = text[:len(text)-keep], bytes.Clone(text[len(text)-keep:])
}

// beginning is how many bytes at the end of a text are the beginning of the word.
func (c *cut) beginning(text []byte) int {
	for n := min(len(c.word)-1, len(text)); n > 0; n-- {
		if bytes.HasSuffix(text, c.word[:n]) {
			return n
		}
	}
	return 0
}
