package catalog_test

import (
	"strings"
	"testing"

	"mcpsidecar/proxy/catalog"
)

// TestEntriesAreCleaned is T-01 for what a server lists besides tools.
func TestEntriesAreCleaned(t *testing.T) {
	tests := []struct {
		what, text, want string
		removed          bool
	}{
		{"nothing to do", `{ "name":"p", "description":"says\n \"ü\"" }`, `{ "name":"p", "description":"says\n \"ü\"" }`, false},
		{"hidden in a description", "{\"uri\":\"x:\",\"description\":\"a\u200bb\U000E0041\",\"size\":1.50}", `{"uri":"x:","description":"ab","size":1.50}`, true},
		{"written as an escape", `{"title":"a\u001b[31mb","name":"n"}`, `{"title":"ab","name":"n"}`, true},
		{"hidden in an argument", "{\"name\":\"p\",\"arguments\":[{\"name\":\"q\",\"description\":\"a\u202eb\"},7]}", `{"name":"p","arguments":[{"name":"q","description":"ab"},7]}`, true},
		{"too long", `{"description":"` + strings.Repeat("x", 20_000) + `"}`, `{"description":"` + strings.Repeat("x", 16_383) + `…"}`, false},
		{"names stay", "{\"name\":\"a\u200bb\",\"x\":\"a\u200bb\"}", "{\"name\":\"a\u200bb\",\"x\":\"a\u200bb\"}", false},
		{"other types", `{"title":7,"description":{"title":"x"},"arguments":{"title":"x"}}`, `{"title":7,"description":{"title":"x"},"arguments":{"title":"x"}}`, false},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			clean, removed := catalog.CleanEntry([]byte(test.text), "name")
			if string(clean) != test.want || removed != test.removed {
				t.Errorf("%.200s, %v; want %.200s, %v", clean, removed, test.want, test.removed)
			}
			if again, _ := catalog.CleanEntry(clean, "name"); string(again) != string(clean) {
				t.Errorf("cleaned again: %s", again)
			}
		})
	}
}
