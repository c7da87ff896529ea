package rpc

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf8"
)

// This file is how a text stands in a header value (basic/transports/streamable-http, Value Encoding).

// The marks around a header value that is written in Base64. They are case-sensitive.
const (
	sentinelStart = "=?base64?"
	sentinelEnd   = "?="
)

// EncodeHeader writes a value as a header value, with the Base64 sentinel where it must.
func EncodeHeader(value string) string {
	if PlainHeader(value) && !looksEncoded(value) {
		return value
	}
	return sentinelStart + base64.StdEncoding.EncodeToString([]byte(value)) + sentinelEnd
}

// PlainHeader says whether a value survives a header as it is: visible ASCII and spaces, but none at the ends, where HTTP trims them. A tab would be allowed inside; the way through every proxy it does not make.
func PlainHeader(value string) bool {
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return strings.Trim(value, " ") == value
}

func looksEncoded(value string) bool {
	return strings.HasPrefix(value, sentinelStart) && strings.HasSuffix(value, sentinelEnd)
}

// What DecodeHeader can say.
var (
	errHeaderCharacter = errors.New("has characters that a header value must not have")
	errHeaderBase64    = errors.New("is not valid Base64 inside its =?base64?…?= marks")
)

// DecodeHeader reads a header value; a malformed sentinel or an invalid character is an error. White space around the value is not part of it, as everywhere in HTTP.
func DecodeHeader(value string) (string, error) {
	value = strings.Trim(value, " \t")
	for i := range len(value) {
		if b := value[i]; (b < ' ' || b > '~') && b != '\t' {
			return "", errHeaderCharacter
		}
	}
	if !looksEncoded(value) {
		return value, nil
	}
	encoded := strings.TrimPrefix(value, sentinelStart)
	encoded, whole := strings.CutSuffix(encoded, sentinelEnd)
	// Strict: two encodings of one value would be two ways to read one header.
	decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !whole || err != nil || !utf8.Valid(decoded) {
		return "", errHeaderBase64
	}
	return string(decoded), nil
}
