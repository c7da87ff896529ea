package admin

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

// minHidden is how short a secret may be before replacing it would tear ordinary words apart.
const minHidden = 8

const redacted = "[redacted]"

func secretsOf(server configstore.Server) []secret.Value {
	secrets := []secret.Value{server.OAuth2ClientSecret, server.APIKeyValue}
	for _, value := range server.CustomHeaders {
		secrets = append(secrets, value)
	}
	return secrets
}

// recognisable are the texts by which secrets are found in what a server says. Of "Bearer x", x alone is one, too.
func recognisable(secrets []secret.Value) (texts []string) {
	for _, value := range secrets {
		text := value.Reveal()
		_, credential, _ := strings.Cut(text, " ")
		for _, text := range []string{text, credential} {
			if len(text) >= minHidden {
				texts = append(texts, text)
			}
		}
	}
	return texts
}

// withoutSecrets removes from a JSON text what a server echoes of the secrets it was sent: a curious or careless one must not turn write-only fields into readable ones.
func withoutSecrets(encoded []byte, secrets []secret.Value) []byte {
	for _, text := range recognisable(secrets) {
		if quoted, err := jsontext.AppendQuote(nil, text); err == nil {
			encoded = bytes.ReplaceAll(encoded, quoted[1:len(quoted)-1], []byte(redacted))
		}
	}
	return encoded
}

// scrubbed does the same for plain words.
func scrubbed(words string, server configstore.Server) string {
	for _, text := range recognisable(secretsOf(server)) {
		words = strings.ReplaceAll(words, text, redacted)
	}
	return words
}

// quotedValue is a value as other packages quote it when they say what is wrong with it.
var quotedValue = regexp.MustCompile(`:? ?"(?:[^"\\]|\\.)*"`)

// withoutValues takes the values out of what others say about fields of a server. Who made the request knows them, and whoever else reads the answer must not: a secret may have strayed into
// any field.
func withoutValues(problems []policy.FieldError, said configstore.Server) []policy.FieldError {
	told := make([]policy.FieldError, 0, len(problems))
	for _, p := range problems {
		if namesHeader(p, said) {
			p.Detail = "has a header that cannot be used: a name is a token of RFC 9110, given once, and not one that belongs to the connection, the protocol or the caller; a value has no control characters"
		}
		told = append(told, problem(p.Field, strings.TrimSpace(quotedValue.ReplaceAllString(p.Detail, ""))))
	}
	return told
}

// namesHeader says whether a detail repeats the name of a header that was sent.
func namesHeader(p policy.FieldError, said configstore.Server) bool {
	var names []string
	switch p.Field {
	case "custom_headers":
		names = slices.Collect(maps.Keys(said.CustomHeaders))
	case "forward_headers":
		names = said.ForwardHeaders
	case "api_key_header":
		names = []string{said.APIKeyHeader}
	}
	return slices.ContainsFunc(names, func(name string) bool {
		return name != "" && strings.Contains(p.Detail, strings.Trim(strconv.Quote(name), `"`))
	})
}
