package catalog

import (
	"strconv"
	"strings"
)

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
