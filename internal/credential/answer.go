package credential

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"mcpsidecar/internal/secret"
)

// memberLife carries expires_in past the library, which fails on what it cannot read; a token whose life cannot be read is still a token, and a refresh token that came with it must not be lost.
const memberLife = "life"

// answerMembers are what is read of a token endpoint's answer.
var answerMembers = []string{"access_token", "token_type", "refresh_token", "scope", "expires_in", "error"}

const (
	maxToken  = 16 << 10             // bytes of an access or refresh token
	maxScopes = 4 << 10              // bytes of all scopes
	maxLife   = 365 * 24 * time.Hour // what is longer is believed to be this long
)

// answer is what a token endpoint gave.
type answer struct {
	access, refresh secret.Value // refresh: zero where none was given
	expiry          time.Time    // zero: not known
	scopes          []string     // nil: not said
}

// read judges a token answer and takes what it says, or says what is wrong with it. began is when it was asked for: a life is counted from then, so that a slow answer errs on the safe side.
func read(token *oauth2.Token, began time.Time) (answer, string) {
	switch {
	case token.AccessToken == "" || len(token.AccessToken) > maxToken || !visible(token.AccessToken, '!'):
		return answer{}, "its access token is empty, too long, or has characters that no token has"
	case token.TokenType != "" && !strings.EqualFold(token.TokenType, "bearer"):
		return answer{}, "its token is not a bearer token"
	case len(token.RefreshToken) > maxToken || !visible(token.RefreshToken, ' '):
		return answer{}, "its refresh token is too long, or has characters that no token has"
	}
	scope, _ := token.Extra("scope").(string)
	if len(scope) > maxScopes || !visible(scope, ' ') {
		return answer{}, "its scope is too long, or has characters that no scope has"
	}
	life, _ := token.Extra(memberLife).(string)
	return answer{
		access: secret.New(token.AccessToken), refresh: secret.New(token.RefreshToken), scopes: words(scope), expiry: expiry(life, token.AccessToken, began),
	}, ""
}

// visible says that a text has only visible ASCII characters, from the first that is allowed: it fits into a header.
func visible(text string, from byte) bool {
	for i := range len(text) {
		if text[i] < from || text[i] > '~' {
			return false
		}
	}
	return true
}

// words splits scopes, which may be separated by commas (GitHub does); nil if there are none.
func words(scope string) []string {
	list := strings.FieldsFunc(scope, func(r rune) bool { return r == ' ' || r == ',' })
	if len(list) == 0 {
		return nil
	}
	return list
}

// expiry is when a token ends. What is 0 or less is over now. What is no number says nothing, and then a JWT says it itself; whether that is true does not matter: the server judges tokens.
func expiry(life, access string, began time.Time) time.Time {
	seconds, err := strconv.ParseFloat(life, 64)
	if life == "" || err != nil || math.IsNaN(seconds) {
		return jwtExpiry(access, began)
	}
	if seconds >= maxLife.Seconds() {
		return began.Add(maxLife)
	}
	return began.Add(time.Duration(max(0, math.Floor(seconds))) * time.Second)
}

func jwtExpiry(access string, now time.Time) time.Time {
	parts := strings.Split(access, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if json.Unmarshal(text, &claims) != nil || claims.Exp <= float64(now.Unix()) {
		return time.Time{}
	}
	return now.Add(min(maxLife, time.Duration(min(maxLife.Seconds(), claims.Exp-float64(now.Unix())))*time.Second))
}

// union is what is in either list, in order, each once.
func union(lists ...[]string) []string {
	var all []string
	for _, list := range lists {
		for _, word := range list {
			if !slices.Contains(all, word) {
				all = append(all, word)
			}
		}
	}
	return all
}
