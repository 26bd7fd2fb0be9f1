package text

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"

	letters "graphrun/runtime/text"
)

// upper maps a whole text with Unicode's special cases. A caser has state: each call makes one.
func upper(s string) string { return cases.Upper(language.Und).String(s) }

// capitalize writes the first character as a title's and the rest in lower case.
func capitalize(s string) string {
	runes := []rune(s)
	var b strings.Builder
	for i, r := range runes {
		if i == 0 {
			b.WriteString(titleRune(r))
		} else {
			b.WriteString(letters.LowerAt(runes, i))
		}
	}
	return b.String()
}

// title writes each character behind one without case as a title's, and the others in lower case.
func title(s string) string {
	runes := []rune(s)
	var b strings.Builder
	inside := false
	for i, r := range runes {
		if inside {
			b.WriteString(letters.LowerAt(runes, i))
		} else {
			b.WriteString(titleRune(r))
		}
		inside = letters.Cased(r)
	}
	return b.String()
}

// titleRune is one character as the first of a title's word: ß becomes Ss, ǆ ǅ.
func titleRune(r rune) string {
	if r < unicode.MaxASCII {
		return string(unicode.ToTitle(r))
	}
	return cases.Title(language.Und, cases.NoLower).String(string(r))
}
