package text

import (
	"strings"
	"unicode"
)

// Lower is Unicode's full lower case, which knows İ and the final sigma; Go's strings.ToLower maps rune by rune.
func Lower(s string) string {
	if !strings.ContainsAny(s, "İΣ") {
		return strings.ToLower(s)
	}
	runes := []rune(s)
	var b strings.Builder
	for i := range runes {
		b.WriteString(LowerAt(runes, i))
	}
	return b.String()
}

// LowerAt is character i of a text in lower case.
func LowerAt(s []rune, i int) string {
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
	for before >= 0 && caseIgnorable(s[before]) {
		before--
	}
	if before < 0 || !Cased(s[before]) {
		return false
	}
	after := i + 1
	for after < len(s) && caseIgnorable(s[after]) {
		after++
	}
	return after == len(s) || !Cased(s[after])
}

// Cased is Unicode's property Cased.
func Cased(r rune) bool {
	return unicode.In(r, unicode.Lu, unicode.Ll, unicode.Lt, unicode.Other_Lowercase, unicode.Other_Uppercase)
}

// caseIgnorable is Unicode's property Case_Ignorable: marks, formats, modifiers and the punctuation inside of words.
func caseIgnorable(r rune) bool {
	return strings.ContainsRune("'.:·\u0387\u055f\u05f4\u2018\u2019\u2024\u2027\ufe13\ufe52\ufe55\uff07\uff0e\uff1a", r) ||
		unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk)
}
