package rig

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestRequestsGetThePrefix(t *testing.T) {
	for _, test := range []struct{ body, want string }{
		{`{"method":"tools/call","params":{"name":"a"}}`, `{"method":"tools/call","params":{"name":"s__a"}}`},
		{`{"method":"prompts/get","params":{"name":"a"}}`, `{"method":"prompts/get","params":{"name":"s__a"}}`},
		{`{"method":"completion/complete","params":{"ref":{"name":"a"}}}`, `{"method":"completion/complete","params":{"ref":{"name":"s__a"}}}`},
		{`{"method":"completion/complete","params":{"ref":{"uri":"a"}}}`, ``},
		{`{"method":"tools/call","params":{"name":"other__a"}}`, ``},
		{`{"method":"resources/read","params":{"name":"a"}}`, ``},
		{`{"method":"tools/call","params":{"name":""}}`, ``},
		{`{"method":"tools/call"}`, ``},
		{`{"id":1,"result":{"name":"a"}}`, ``},
		{`[`, ``},
		{``, ``},
	} {
		if test.want == "" {
			test.want = test.body
		}
		if _, got := prefixed([]byte(test.body), "s__"); string(got) != test.want {
			t.Errorf("%s becomes %s, not %s", test.body, got, test.want)
		}
	}
}

func TestAnswersLoseThePrefix(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"ab", "ab"},
		{"s__", ""},
		{"s__as__b s_ s", "ab s_ s"},
		{"ss__a", "sa"},
		{"a s_", "a s_"},
	} {
		for _, reader := range []io.Reader{strings.NewReader(test.text), iotest.OneByteReader(strings.NewReader(test.text)), iotest.DataErrReader(strings.NewReader(test.text))} {
			got, err := io.ReadAll(&cut{from: io.NopCloser(reader), word: []byte("s__")})
			if err != nil || string(got) != test.want {
				t.Errorf("%q is read as %q, %v", test.text, got, err)
			}
		}
	}
}
