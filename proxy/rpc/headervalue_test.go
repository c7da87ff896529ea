package rpc_test

import (
	"testing"

	"mcpsidecar/proxy/rpc"
)

func TestEncodeHeader(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"us-west1":              "us-west1",
		"in the middle":         "in the middle",
		"Hello, 世界":             "=?base64?SGVsbG8sIOS4lueVjA==?=",
		" padded ":              "=?base64?IHBhZGRlZCA=?=",
		"line1\nline2":          "=?base64?bGluZTEKbGluZTI=?=",
		"a\r\nX-Evil: 1":        "=?base64?YQ0KWC1FdmlsOiAx?=",
		"=?base64?literal?=":    "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=",
		"=?base64?no end":       "=?base64?no end",
		"\ttab first":           "=?base64?CXRhYiBmaXJzdA==?=",
		"tab\tinside":           "=?base64?dGFiCWluc2lkZQ==?=", // the way through every proxy it does not make
		"delete\x7f":            "=?base64?ZGVsZXRlfw==?=",
		"file:///a?b=c#d%20e,;": "file:///a?b=c#d%20e,;",
	} {
		if got := rpc.EncodeHeader(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
		if again, err := rpc.DecodeHeader(want); err != nil || again != text {
			t.Errorf("%q is read as %q: %v", want, again, err)
		}
	}
}
