package discovery

import "strings"

// Challenge is what a server asks for in the WWW-Authenticate of a 401 or 403.
type Challenge struct {
	ResourceMetadata string   // the URL of its protected resource metadata, not judged yet; empty: not said
	Scopes           []string // what the request needs; nil: not said
	Error            string   // invalid_token, insufficient_scope, ...; of the characters that RFC 6750 allows, and short
}

const (
	maxChallenge = 16 << 10
	maxError     = 64
	maxWords     = 4096 // bytes of a list of scopes, as it is sent
)

// ParseChallenge reads the header's values (http.Header.Values). Of several challenges the Bearer ones count, in their order, each parameter where it is first said. It never fails: what
// cannot be read is not said.
func ParseChallenge(values ...string) Challenge {
	said := make(map[string]string)
	for _, value := range values {
		readChallenges(value[:min(len(value), maxChallenge)], said)
	}
	c := Challenge{Scopes: words(strings.Split(said["scope"], " "))}
	if metadata := said["resource_metadata"]; len(metadata) <= maxURL {
		c.ResourceMetadata = metadata
	}
	if code := said["error"]; len(code) <= maxError && !strings.ContainsFunc(code, notOfCodes) {
		c.Error = code
	}
	return c
}

// readChallenges adds what the Bearer challenges in one value say.
//
// A token with = behind it is a parameter of the scheme before it, any other one a scheme, or the credentials of a scheme that has no parameters, which nobody asks for. That is less than
// the grammar of RFC 9110 says and reads what servers send in all its forms, a URL without quotes included.
func readChallenges(text string, said map[string]string) {
	bearer := false
	for text != "" {
		token, rest := cutToken(text)
		if token == "" {
			text = skipOne(text)
			continue
		}
		after := strings.TrimLeft(rest, " \t")
		if !strings.HasPrefix(after, "=") {
			bearer, text = strings.EqualFold(token, "bearer"), rest
			continue
		}
		value, rest, ok := cutValue(strings.TrimLeft(after[1:], " \t"))
		text = rest
		name := strings.ToLower(token)
		if _, known := said[name]; ok && bearer && !known {
			said[name] = value
		}
	}
}

// skipOne passes over what is neither a token nor a parameter: one character, or a quoted string as a whole, so that nothing inside it is taken for a parameter.
func skipOne(text string) string {
	if text[0] != '"' {
		return text[1:]
	}
	_, rest, _ := cutValue(text)
	return rest
}

func cutToken(text string) (token, rest string) {
	end := strings.IndexFunc(text, func(r rune) bool { return !isToken(r) })
	if end < 0 {
		end = len(text)
	}
	return text[:end], text[end:]
}

// cutValue takes a quoted string or whatever goes on until a comma or a space. A quoted string without an end is none, and takes all there is with it.
func cutValue(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, ", \t")
		if end < 0 {
			end = len(text)
		}
		return text[:end], text[end:], true
	}
	var unquoted strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return unquoted.String(), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return "", "", false
			}
		}
		unquoted.WriteByte(text[i])
	}
	return "", "", false
}

func isToken(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// notOfCodes finds what is in no error code (RFC 6750, section 3).
func notOfCodes(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }

// notOfWords finds what is in no scope (RFC 6749, section 3.3), nor in any other name that OAuth knows.
func notOfWords(r rune) bool { return r == ' ' || notOfCodes(r) }

// words takes from a list of scopes or other names what is none and what is there already, and bounds the rest.
func words(said []string) []string {
	var kept []string
	seen := make(map[string]bool)
	room := maxWords
	for _, word := range said {
		if word == "" || seen[word] || len(word) >= room || strings.ContainsFunc(word, notOfWords) {
			continue
		}
		room -= len(word) + 1
		seen[word] = true
		kept = append(kept, word)
	}
	return kept
}
