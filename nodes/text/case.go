package text

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// upper and lower map whole texts with Unicode's special cases. A caser has state: each call makes one.
func upper(s string) string { return cases.Upper(language.Und).String(s) }

// lower writes a Σ at the end of a word as ς.
func lower(s string) string {
	runes := []rune(s)
	var b strings.Builder
	for i := range runes {
		b.WriteString(lowerAt(runes, i))
	}
	return b.String()
}

// capitalize writes the first character as a title's and the rest in lower case.
func capitalize(s string) string {
	runes := []rune(s)
	var b strings.Builder
	for i, r := range runes {
		if i == 0 {
			b.WriteString(titleRune(r))
		} else {
			b.WriteString(lowerAt(runes, i))
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
			b.WriteString(lowerAt(runes, i))
		} else {
			b.WriteString(titleRune(r))
		}
		inside = isCased(r)
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

// lowerAt is character i of a text in lower case.
func lowerAt(s []rune, i int) string {
	switch r := s[i]; r {
	case 'Σ':
		if finalSigma(s, i) {
			return "ς"
		}
		return "σ"
	case 'İ':
		return "i̇"
	default:
		return string(unicode.ToLower(r))
	}
}

// finalSigma is Unicode's condition Final_Sigma: a cased character before and none behind, case-ignorable ones aside.
func finalSigma(s []rune, i int) bool {
	before := i - 1
	for before >= 0 && isCaseIgnorable(s[before]) {
		before--
	}
	if before < 0 || !isCased(s[before]) {
		return false
	}
	after := i + 1
	for after < len(s) && isCaseIgnorable(s[after]) {
		after++
	}
	return after == len(s) || !isCased(s[after])
}

// isCased is Unicode's property Cased.
func isCased(r rune) bool {
	return unicode.In(r, unicode.Lu, unicode.Ll, unicode.Lt, unicode.Other_Lowercase, unicode.Other_Uppercase)
}

// isCaseIgnorable is Unicode's property Case_Ignorable: marks, formats, modifiers and the punctuation inside of words.
func isCaseIgnorable(r rune) bool {
	return strings.ContainsRune("'.:·\u0387\u055f\u05f4\u2018\u2019\u2024\u2027\ufe13\ufe52\ufe55\uff07\uff0e\uff1a", r) ||
		unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk)
}
