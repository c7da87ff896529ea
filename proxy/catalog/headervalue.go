package catalog

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The marks around a header value that is written in Base64. They are case-sensitive.
const (
	sentinelStart = "=?base64?"
	sentinelEnd   = "?="
)

// EncodeHeader writes a value as a header value, with the Base64 sentinel where it must.
func EncodeHeader(value string) string {
	if plainHeader(value) && !looksEncoded(value) {
		return value
	}
	return sentinelStart + base64.StdEncoding.EncodeToString([]byte(value)) + sentinelEnd
}

// plainHeader says whether a value survives a header as it is: visible ASCII and spaces, but none at the ends, where HTTP trims them. A tab would be allowed inside; the way through every proxy it does not make.
func plainHeader(value string) bool {
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

// maxSafe is the largest integer that every JSON implementation represents exactly.
const maxSafe = 1<<53 - 1

// integer reads a JSON number that is whole and within the safe range, however it is written: 42, 42.0 and 4.2e1 are the same. It does so without floating point and without ever writing out an exponent.
func integer(number string) (int64, bool) {
	unsigned, negative := strings.CutPrefix(number, "-")
	mantissa, exponent, ok := splitExponent(unsigned)
	whole, fraction, point := strings.Cut(mantissa, ".")
	if !ok || !digits(whole) || point && !digits(fraction) || len(whole) > 1 && whole[0] == '0' {
		return 0, false
	}
	significant := strings.TrimLeft(whole+fraction, "0")
	if significant == "" {
		return 0, true
	}
	short := strings.TrimRight(significant, "0")
	zeros, err := strconv.Atoi(exponent)
	if err != nil {
		return 0, false // it is out of range, and so is the number
	}
	zeros += len(significant) - len(short) - len(fraction)
	if zeros < 0 || zeros > 16 || len(short)+zeros > 16 {
		return 0, false
	}
	n, err := strconv.ParseInt(short+strings.Repeat("0", zeros), 10, 64)
	if err != nil || n > maxSafe {
		return 0, false
	}
	if negative {
		n = -n
	}
	return n, true
}

// splitExponent takes the exponent from a number; without one it is 0.
func splitExponent(number string) (mantissa, exponent string, ok bool) {
	at := strings.IndexAny(number, "eE")
	if at < 0 {
		return number, "0", true
	}
	exponent = number[at+1:]
	unsigned := strings.TrimPrefix(exponent, "-")
	if unsigned == exponent {
		unsigned = strings.TrimPrefix(exponent, "+")
	}
	return number[:at], exponent, digits(unsigned)
}

func digits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return text != ""
}
