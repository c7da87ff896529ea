package catalog

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// cleanText removes what a person who reads a text would not see but a model or a terminal would obey:
//
//   - terminal sequences (ANSI escapes) as a whole, so that no rest like [31m stays;
//   - control characters, but for \n, \t and the \r of a line end \r\n;
//   - every character that Unicode counts as formatting or as ignorable when shown (Cf, Default_Ignorable_Code_Point): zero-width characters, bidirectional controls, the tag characters U+E0000–E007F,
//     variation selectors, fillers; and the line separators U+2028 and U+2029.
//
// Three of them belong to visible writing and stay where they do so: the joiners U+200C and U+200D between two characters of a script whose letters join (Arabic, the Indic ones), U+200D between two
// symbols (emoji sequences), and one variation selector U+FE0E or U+FE0F after a symbol, digit or punctuation mark. The few formatting characters that are seen, such as the Arabic number sign, stay.
//
// What is clean stays as it is: cleaning twice is cleaning once.
func cleanText(text string) string {
	if strings.ContainsFunc(text, startsSequence) {
		text = sequence.ReplaceAllString(text, "")
	}
	if !strings.ContainsFunc(text, suspicious) {
		return text
	}
	var clean strings.Builder
	clean.Grow(len(text))
	var before rune // the last one that stayed
	for rest := text; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
		next, _ := utf8.DecodeRuneInString(rest)
		if suspicious(r) && !belongs(before, r, next) {
			continue
		}
		clean.WriteRune(r)
		before = r
	}
	return clean.String()
}

// Hides says whether a name has control characters or characters that cannot be seen. Names are never cleaned, since they have to be sent back: what hides something is not offered.
func Hides(name string) bool { return strings.ContainsFunc(name, unicode.IsControl) || hidden(name) }

// hidden says whether there is something in a text that cleaning would remove.
func hidden(text string) bool { return cleanText(text) != text }

// sequence matches a terminal sequence: CSI, then OSC and the other strings with their end, then two-character escapes.
var sequence = regexp.MustCompile(`(?:\x1b\[|\x{9b})[0-?]*[ -/]*[@-~]` +
	`|(?:\x1b[\]PX^_]|[\x{9d}\x{90}\x{98}\x{9e}\x{9f}])[^\x07\x1b\x{9c}]*(?:\x07|\x1b\\|\x{9c})` +
	`|\x1b[ -/]*[0-~]`)

func startsSequence(r rune) bool { return r == 0x1b || r >= 0x80 && r <= 0x9f }

// unseen are the characters outside the control characters that are not shown.
var unseen = []*unicode.RangeTable{unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.Zl, unicode.Zp}

// suspicious says of a character that it is to be removed unless it belongs where it stands.
func suspicious(r rune) bool {
	if r < utf8.RuneSelf {
		return r < ' ' && r != '\n' && r != '\t' || r == 0x7f
	}
	if r < 0xa0 {
		return true
	}
	return unicode.In(r, unseen...) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}

const (
	nonJoiner  = '\u200c'
	joiner     = '\u200d'
	textStyle  = '\ufe0e'
	emojiStyle = '\ufe0f'
)

// belongs says whether a suspicious character has its place between these two.
func belongs(before, r, next rune) bool {
	switch r {
	case '\r':
		return next == '\n'
	case joiner:
		return joins(before, next) || (unicode.IsSymbol(before) || before == emojiStyle) && unicode.IsSymbol(next)
	case nonJoiner:
		return joins(before, next)
	case textStyle, emojiStyle:
		return unicode.IsSymbol(before) || unicode.IsDigit(before) || unicode.IsPunct(before)
	}
	return false
}

// joiningScripts are the scripts in which a joiner changes what is read.
var joiningScripts = []*unicode.RangeTable{
	unicode.Arabic, unicode.Syriac, unicode.Mongolian, unicode.Nko,
	unicode.Devanagari, unicode.Bengali, unicode.Gurmukhi, unicode.Gujarati, unicode.Oriya, unicode.Tamil, unicode.Telugu, unicode.Kannada, unicode.Malayalam, unicode.Sinhala,
	unicode.Khmer, unicode.Myanmar,
}

// joins says whether a joiner can matter between the two. Marks that several scripts share count as the letter they stand on.
func joins(before, next rune) bool {
	return (unicode.In(before, joiningScripts...) || unicode.Is(unicode.Mn, before)) && unicode.In(next, joiningScripts...) && !suspicious(next)
}

// cutText shortens a text to so many characters, the last of which then is an ellipsis.
func cutText(text string, longest int) string {
	if len(text) <= longest || utf8.RuneCountInString(text) <= longest {
		return text
	}
	end := 0
	for range longest - 1 {
		_, size := utf8.DecodeRuneInString(text[end:])
		end += size
	}
	// A joiner or half a line end has no place before the ellipsis.
	return strings.TrimRightFunc(text[:end], func(r rune) bool { return unicode.IsSpace(r) || suspicious(r) }) + "…"
}
