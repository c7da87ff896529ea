package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/spf13/pflag"
)

// kind is how a field of a server is given on the command line.
type kind int

const (
	textField    kind = iota
	boolField         // --name, --name=false
	numberField       // --name 5
	listField         // --name a,b; --name "" empties it
	secretField       // --name FILE, the field is the file's content
	headersField      // --name FILE, lines of the form "Name: value"
)

// serverField is one field of a server's record that has a flag.
type serverField struct {
	flag, field string // on the command line, in the API
	kind        kind
	usage       string
}

// serverFields are the flags of server create and update. What has none can be given with --file.
var serverFields = []serverField{
	{"slug", "slug", textField, "short `name` that opens the names of its tools: a-z, 0-9 and inner -"},
	{"name", "display_name", textField, "`name` for people; without one, the slug"},
	{"description", "description", textField, "`text` for people"},
	{"url", "url", textField, "MCP endpoint `URL` of the server"},
	{"transport", "transport", textField, "`transport`: streamable_http or sse"},
	{"auth-type", "auth_type", textField, "`how` we prove ourselves: none, api_key, custom_headers or oauth2"},
	{"api-key-header", "api_key_header", textField, "`header` that carries the API key"},
	{"api-key-file", "api_key_value", secretField, "`file` with the header's value, - for stdin"},
	{"headers-file", "custom_headers", headersField, "`file` of lines such as X-Key: value, - for stdin"},
	{"availability", "availability", textField, "`when` it is used: force_on, default_on or default_off"},
	{"enabled", "enabled", boolField, "whether it is used at all"},
	{"allow", "tool_allow_list", listField, "`tools` that may be used, * is a wildcard; empty: all"},
	{"deny", "tool_deny_list", listField, "`tools` that may not be used, whatever else says so"},
	{"allow-in-plan-mode", "allow_in_plan_mode", boolField, "whether it is used in plan mode"},
	{"plan-tools", "plan_tools", listField, "`tools` that may be used in plan mode; empty: all"},
	{"plan-read-only", "plan_read_only", boolField, "in plan mode, only tools that were approved as reading"},
	{"tool-pinning", "tool_pinning", textField, "`what` a changed tool leads to: off, warn or block"},
	{"model-intent", "model_intent", boolField, "ask the model to say what it wants with each call"},
	{"expose", "expose", listField, "`surfaces` that pass: tools, prompts, resources, extensions"},
	{"forward-headers", "forward_headers", listField, "request `headers` of the agent that are passed on"},
	{"visible-to", "visible_to", listField, "`users` who may see it; empty: everyone"},
	{"timeout-ms", "timeout_ms", numberField, "`milliseconds` that a call may take; 0: the default"},
	{"max-concurrent", "max_concurrent", numberField, "largest `number` of calls at the same time; 0: the default"},
}

const fileFlag = "file"

func addServerFlags(set *pflag.FlagSet) {
	for _, f := range serverFields {
		switch f.kind {
		case boolField:
			set.Bool(f.flag, false, f.usage)
		case numberField:
			set.Int(f.flag, 0, f.usage)
		case listField:
			set.StringSlice(f.flag, nil, f.usage)
		default:
			set.String(f.flag, "", f.usage)
		}
	}
	set.String(fileFlag, "", "`file` with the record as JSON, - for stdin; other flags replace what it says")
}

// serverBody returns the request's body: what the file says, replaced by the flags that were given.
func serverBody(p Process, set *pflag.FlagSet) (map[string]any, error) {
	body := map[string]any{}
	if name, _ := set.GetString(fileFlag); name != "" {
		content, err := readInput(p, name, maxBodyFile)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(content, &body); err != nil || body == nil {
			return nil, fmt.Errorf("%s does not hold a JSON object", name)
		}
	}
	for _, f := range serverFields {
		if !set.Changed(f.flag) {
			continue
		}
		value, err := f.read(p, set)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", f.flag, err)
		}
		body[f.field] = value
	}
	return body, nil
}

const maxBodyFile = 1 << 20

func (f serverField) read(p Process, set *pflag.FlagSet) (any, error) {
	switch f.kind {
	case boolField:
		return set.GetBool(f.flag)
	case numberField:
		return set.GetInt(f.flag)
	case listField:
		return set.GetStringSlice(f.flag)
	}
	text, err := set.GetString(f.flag)
	if err != nil || f.kind == textField {
		return text, err
	}
	if f.kind == secretField {
		return readSecret(p, text)
	}
	return readHeaders(p, text)
}

// readHeaders reads lines of the form "Name: value". Errors name the line and never its content, which is secret.
func readHeaders(p Process, name string) (map[string]string, error) {
	text, err := readSecret(p, name)
	if err != nil {
		return nil, err
	}
	headers := map[string]string{}
	seen := http.Header{}
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		header, value, ok := strings.Cut(line, ":")
		if header, value = strings.TrimSpace(header), strings.TrimSpace(value); !ok || header == "" || value == "" {
			return nil, fmt.Errorf("line %d of %s is not of the form Name: value", i+1, name)
		}
		key := textproto.CanonicalMIMEHeaderKey(header)
		if seen[key] != nil {
			return nil, fmt.Errorf("line %d of %s names a header for the second time", i+1, name)
		}
		seen.Set(key, "")
		headers[header] = value
	}
	if len(headers) == 0 {
		return nil, errors.New(name + " names no header")
	}
	return headers, nil
}
