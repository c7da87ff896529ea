package caller

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// A token reads mcps_<id>_<secret>. The prefix lets secret scanners find leaked
// ones; the id is public and names the record; the secret is 256 random bits in
// an alphabet without punctuation, so that a double click selects it whole.
const (
	tokenPrefix = "mcps_"
	idBytes     = 8
	secretBytes = 32
	// maxCredential bounds what is hashed for a stranger.
	maxCredential = 512
)

var secretText = base32.StdEncoding.WithPadding(base32.NoPadding)

// Minted is a new token. Text is shown to its owner once and stored nowhere;
// the record keeps ID and Hash.
type Minted struct {
	ID   string
	Text string
	Hash [32]byte
}

// String keeps the token's text out of logs.
func (m Minted) String() string { return "token " + m.ID }

// GoString keeps it out of %#v, too.
func (m Minted) GoString() string { return m.String() }

// Mint makes a new token.
func Mint() Minted {
	random := make([]byte, idBytes+secretBytes)
	rand.Read(random) // never fails: crypto/rand ends the program instead
	id := hex.EncodeToString(random[:idBytes])
	secret := strings.ToLower(secretText.EncodeToString(random[idBytes:]))
	return Minted{ID: id, Text: tokenPrefix + id + "_" + secret, Hash: HashSecret(id, secret)}
}

// HashSecret is what a record keeps of a token. A plain SHA-256 is enough for a
// secret of 256 random bits, and cheap enough for every request; the id is part
// of it, so that a hash proves nothing when it is copied to another record.
func HashSecret(id, secret string) [32]byte {
	var buffer [maxCredential]byte
	text := append(buffer[:0], tokenPrefix...)
	text = append(text, id...)
	text = append(text, '_')
	text = append(text, secret...)
	return sha256.Sum256(text)
}

// splitToken takes a token's text apart. An id has no underscore in it.
func splitToken(text string) (id, secret string, ok bool) {
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok {
		return "", "", false
	}
	id, secret, ok = strings.Cut(rest, "_")
	return id, secret, ok && id != "" && secret != ""
}

// minBootstrap is how short an admin token from the environment may be.
const minBootstrap = 32

// sampleTokens are what people paste from examples and forget to replace.
var sampleTokens = []string{
	"changeme", "replaceme", "yourtoken", "youradmintoken", "mysecrettoken", "secretsecret",
	"passwordpassword", "placeholder", "insertyour", "deadbeefdeadbeef",
}

// ValidBootstrap judges the admin token that an operator sets in the
// environment. Unlike a minted one it was chosen by a person, so what is short,
// known or monotonous is refused. The error never repeats the token.
func ValidBootstrap(token string) error {
	switch {
	case len(token) < minBootstrap:
		return fmt.Errorf("the admin token is too short: it needs at least %d characters", minBootstrap)
	case len(token) > maxCredential:
		return fmt.Errorf("the admin token is too long: it may have at most %d characters", maxCredential)
	case strings.ContainsFunc(token, unprintable):
		return errors.New("the admin token must consist of printable ASCII characters without spaces")
	case isSample(token):
		return errors.New("the admin token is a known sample: make one with `openssl rand -hex 32`")
	case monotonous(token):
		return errors.New("the admin token is easy to guess: make one with `openssl rand -hex 32`")
	}
	return nil
}

func unprintable(r rune) bool { return r <= ' ' || r > '~' }

func isSample(token string) bool {
	plain := strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(token))
	for _, sample := range sampleTokens {
		if strings.Contains(plain, sample) {
			return true
		}
	}
	return false
}

// monotonous finds texts of few different characters and short repeated pieces.
func monotonous(token string) bool {
	different := map[rune]bool{}
	for _, r := range token {
		different[r] = true
	}
	if len(different) < 6 {
		return true
	}
	for period := 1; period <= 7; period++ {
		if token[period:] == token[:len(token)-period] {
			return true
		}
	}
	return false
}
