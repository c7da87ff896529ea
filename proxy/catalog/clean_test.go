package catalog_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"mcpsidecar/proxy/catalog"
	"mcpsidecar/proxy/rpc"
)

// withDescription is a definition with this text, written as JSON.
func withDescription(text string) string {
	d := rpc.AppendString([]byte(`{"name":"a","inputSchema":{},"description":`), text)
	return string(append(d, '}'))
}

// T-01: what a model or a terminal would obey and a person would not see.
func TestWhatIsRemovedFromTexts(t *testing.T) {
	removed := []struct{ what, text, shown string }{
		{"control characters", "a\x00b\x07c\x08d\x0be\x0cf\x1fg\x7fh", "abcdefgh"},
		{"the upper control characters", "a\u0080b\u0085c\u009fd", "abcd"},
		{"a carriage return that hides what stood there", "safe\rrm -rf", "saferm -rf"},
		{"zero-width space, no-break and word joiner", "a\u200bb\ufeffc\u2060d", "abcd"},
		{"soft hyphen, grapheme joiner, vowel separator", "a\u00adb\u034fc\u180ed", "abcd"},
		{"bidirectional embedding, override, isolate, marks", "a\u202ab\u202ec\u2066d\u2069e\u200ef\u200fg\u061ch", "abcdefgh"},
		{"the text in tag characters", "hello\U000e0001\U000e0069\U000e0067\U000e006e\U000e006f\U000e0072\U000e0065\U000e007f", "hello"},
		{"data in variation selectors", "a\ufe00\ufe01\ufe0f\U000e0100\U000e01efb", "ab"},
		{"a second variation selector", "☎\ufe0f\ufe0f\ufe0e!", "☎\ufe0f!"},
		{"invisible operators and deprecated formatting", "a\u2061b\u2064c\u206ad\u206fe", "abcde"},
		{"fillers that look like nothing", "a\u115fb\u1160c\u3164d\uffa0e", "abcde"},
		{"interlinear annotations", "a\ufff9b\ufffac\ufffbd", "abcd"},
		{"line and paragraph separators", "a\u2028b\u2029c", "abc"},
		{"a colour", "a\x1b[31mred\x1b[0m", "ared"},
		{"a terminal title", "a\x1b]0;owned\x07b", "ab"},
		{"a link whose text lies", "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click"},
		{"a sequence with an 8-bit introducer", "a\u009b2Jb\u009dx\u009cc", "abc"},
		{"a device string", "a\x1bPq#0\x1b\\b", "ab"},
		{"a two-character escape", "a\x1bcb", "ab"},
		{"a sequence that appears when another goes", "a\x1b\x1b[31m[31mb", "a[31mb"},
		{"a lone escape at the end", "a\x1b", "a"},
		{"joiners between Latin letters", "pass\u200cword\u200d!", "password!"},
		{"joiners at the ends", "\u200dab\u200c", "ab"},
		{"a run of joiners in Persian", "می\u200c\u200c\u200cخواهم", "می\u200cخواهم"},
		{"a joiner after a symbol and before a letter", "☎\u200da", "☎a"},
	}
	for _, test := range removed {
		t.Run(test.what, func(t *testing.T) {
			c := build(t, withDescription(test.text))
			tool := c.Find("a")
			if got := described(t, tool); got != test.shown {
				t.Errorf("shown is %+q, want %+q", got, test.shown)
			}
			if !tool.Cleaned {
				t.Error("the tool is not marked")
			}
			warned(t, c, `"a"`, "removed from its texts")
			if again := only(t, withDescription(test.shown)); again.Cleaned {
				t.Errorf("cleaning %+q again changes it", test.shown)
			}
		})
	}
}

func TestWhatStaysInTexts(t *testing.T) {
	for what, text := range map[string]string{
		"prose":                              "Reads a file.\n\n\t- fast\n\t- \"safe\" \\o/ <b>&amp;</b> [31m",
		"line ends of another system":        "one\r\ntwo\r\n",
		"letters of many scripts":            "Ünïcödé Ελληνικά Русский 日本語 한국어 עברית العربية ไทย",
		"spaces that are seen":               "a\u00a0b\u2009c\u3000d",
		"Persian, which needs the nonjoiner": "می\u200cخواهم",
		"Hindi and Sinhala, with the joiner": "क्\u200dष ශ්\u200dරී",
		"a joiner after a vowel mark":        "بِ\u200cب",
		"a family":                           "👩\u200d👩\u200d👧\u200d👦",
		"a heart on fire, a shaken head":     "❤\ufe0f\u200d🔥 🙂\u200d↔\ufe0f",
		"a skin tone and a profession":       "👩🏽\u200d🚀",
		"keycaps and text style":             "1\ufe0f\u20e3 #\ufe0f\u20e3 ‼\ufe0f ☎\ufe0e",
		"flags":                              "🇨🇭",
		"the Arabic number sign":             "\u0600١٢",
		"a replacement character":            "a\ufffdb",
	} {
		t.Run(what, func(t *testing.T) {
			definition := withDescription(text)
			tool := only(t, definition)
			if got := string(tool.AppendExposed(nil, "a", false)); got != definition || tool.Cleaned {
				t.Errorf("shown is\n%+q, want\n%+q", got, definition)
			}
		})
	}
}

func TestWhereTextsAreCleaned(t *testing.T) {
	const dirty = `"x\u200b\u001b[1my"`
	tests := []struct {
		definition string // DIRTY stands for a dirty text
		clean      bool   // whether it is cleaned there
	}{
		{`{"name":"a","inputSchema":{},"title":DIRTY}`, true},
		{`{"name":"a","inputSchema":{},"description":DIRTY}`, true},
		{`{"name":"a","inputSchema":{},"annotations":{"readOnlyHint":true,"title":DIRTY}}`, true},
		{`{"name":"a","inputSchema":{"title":DIRTY}}`, true},
		{`{"name":"a","inputSchema":{"$comment":DIRTY}}`, true},
		{`{"name":"a","inputSchema":{"properties":{"p":{"description":DIRTY}}}}`, true},
		{`{"name":"a","inputSchema":{"properties":{"p":{"properties":{"description":{"description":DIRTY}}}}}}`, true},
		{`{"name":"a","inputSchema":{"properties":{"default":{"description":DIRTY}}}}`, true},
		{`{"name":"a","inputSchema":{"$defs":{"d":{"items":[{"anyOf":[{"description":DIRTY}]}]}}}}`, true},
		{`{"name":"a","inputSchema":{"$defs":{"default":{"description":DIRTY}},"patternProperties":{"const":{"title":DIRTY}}}}`, true},
		{`{"name":"a","inputSchema":{"if":{"title":DIRTY}}}`, true},
		{`{"name":"a","inputSchema":{"additionalProperties":{"title":DIRTY}}}`, true},
		{`{"name":"a","inputSchema":{"x-vendor":{"description":DIRTY}}}`, true},
		{`{"name":"a","inputSchema":{},"outputSchema":{"properties":{"p":{"description":DIRTY}}}}`, true},

		{`{"name":"a","inputSchema":{"enum":[DIRTY]}}`, false},
		{`{"name":"a","inputSchema":{"const":DIRTY}}`, false},
		{`{"name":"a","inputSchema":{"default":{"description":DIRTY}}}`, false},
		{`{"name":"a","inputSchema":{"examples":[{"title":DIRTY}]}}`, false},
		{`{"name":"a","inputSchema":{"pattern":DIRTY}}`, false},
		{`{"name":"a","inputSchema":{"required":[DIRTY]}}`, false},
		{`{"name":"a","inputSchema":{"properties":{DIRTY:{}}}}`, false},
		{`{"name":"a","inputSchema":{"properties":{"description":DIRTY}}}`, false},
		{`{"name":"a","inputSchema":{},"_meta":{"description":DIRTY}}`, false},
	}
	for _, test := range tests {
		definition := strings.ReplaceAll(test.definition, "DIRTY", dirty)
		t.Run(test.definition, func(t *testing.T) {
			c := build(t, definition)
			tool := c.Find("a")
			want := definition
			if test.clean {
				want = strings.ReplaceAll(test.definition, "DIRTY", `"xy"`)
				warned(t, c, "removed from its texts")
			} else {
				warned(t, c, "never altered")
			}
			if got := string(tool.AppendExposed(nil, "a", false)); got != want {
				t.Errorf("shown is\n%s, want\n%s", got, want)
			}
			if tool.Cleaned != test.clean || string(tool.Raw) != definition {
				t.Errorf("cleaned is %v, raw is %s", tool.Cleaned, tool.Raw)
			}
		})
	}
}

func TestOnlyTheDirtyTextIsRewritten(t *testing.T) {
	tool := only(t, `{ "description":"a\u0000b" ,"title":"\u00fc\/", "name" : "a","inputSchema":{"description":"c\u200bd","title":"\u0065"}, "n":1.0}`)
	want := `{ "description":"ab" ,"title":"\u00fc\/", "name" : "s__a","inputSchema":{"description":"cd","title":"\u0065"}, "n":1.0}`
	if got := string(tool.AppendExposed(nil, "s__a", false)); got != want {
		t.Errorf("shown is\n%s, want\n%s", got, want)
	}
}

func TestLongTextsAreCut(t *testing.T) {
	tests := []struct {
		what, text, shown string
	}{
		{"exactly as long as may be", "12345678", "12345678"},
		{"longer", "123456789", "1234567…"},
		{"counted in characters, not bytes", "äöüäöüäö", "äöüäöüäö"},
		{"cut between characters", "äöüäöüäöü", "äöüäöüä…"},
		{"cleaned before it is measured", "1\u200b2345678", "12345678"},
		{"no half line end is left", "123456\r\n9", "123456…"},
		{"no lonely joiner is left", "12345👩\u200d👩x", "12345👩…"},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			for _, member := range []string{"description", "title"} {
				definition := strings.Replace(withDescription(test.text), "description", member, 1)
				c := buildWithin(t, catalog.Limits{Description: 8}, definition)
				var shown map[string]any
				if err := json.Unmarshal(c.Tools[0].AppendExposed(nil, "a", false), &shown); err != nil || shown[member] != test.shown {
					t.Errorf("%s is shown as %+q, want %+q (%v)", member, shown[member], test.shown, err)
				}
			}
		})
	}
}

// FuzzClean holds that nothing unseen is left but for the joiners and selectors, and that what is clean stays.
func FuzzClean(f *testing.F) {
	for _, seed := range []string{"", "plain", "a\x1b[31mb", "می\u200cخواهم", "👩\u200d👧", "a\u202eb", "\x1b]8;;x\x1b\\", "☎\ufe0f\ufe0f", "a\r\nb\rc", "\u009b\u009b1m", strings.Repeat("é", 40)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "\ufffd")
		c := buildWithin(t, catalog.Limits{Description: 32}, withDescription(text))
		if len(c.Tools) != 1 {
			return // too large
		}
		shown := described(t, &c.Tools[0])
		for _, r := range shown {
			switch {
			case r == '\n' || r == '\t' || r == '\r' && strings.Contains(shown, "\r\n"):
			case r == '\u200c' || r == '\u200d' || r == '\ufe0e' || r == '\ufe0f':
			case unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
				t.Errorf("%+q is left in %+q", r, shown)
			}
		}
		if n := len([]rune(shown)); n > 32 {
			t.Errorf("%d characters are shown", n)
		}
		if again := buildWithin(t, catalog.Limits{Description: 32}, withDescription(shown)); again.Tools[0].Cleaned {
			t.Errorf("%+q is cleaned again to %+q", shown, described(t, &again.Tools[0]))
		}
		if tool := &c.Tools[0]; tool.Cleaned == (shown == text) {
			t.Errorf("cleaned is %v, but %+q became %+q", tool.Cleaned, text, shown)
		}
	})
}
