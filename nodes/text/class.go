package text

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// sets are the insides of classes that Python's letters stand for, in Unicode and in ASCII. Letters and digits are those
// of str.isalnum: no marks.
func (t *translator) set(letter rune) string {
	unicodeSet, asciiSet := "", ""
	switch unicode.ToLower(letter) {
	case 'w':
		unicodeSet, asciiSet = `\p{L}\p{N}_`, `a-zA-Z0-9_`
	case 'd':
		unicodeSet, asciiSet = `\p{Nd}`, `0-9`
	case 's':
		unicodeSet, asciiSet = `\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000`, ` \t-\r`
	}
	if t.flags.ascii {
		return asciiSet
	}
	return unicodeSet
}

// escape reads what follows a backslash outside of a class.
func (t *translator) escape() {
	r := t.next()
	switch {
	case strings.ContainsRune("wds", r):
		t.thing("[" + t.set(r) + "]")
	case strings.ContainsRune("WDS", r):
		t.thing("[^" + t.set(r) + "]")
	case r == 'b':
		w := t.set('w')
		t.position("(?:(?<=[" + w + "])(?![" + w + "])|(?<![" + w + "])(?=[" + w + "]))")
	case r == 'B':
		w := t.set('w')
		t.position("(?:(?<=[" + w + "])(?=[" + w + "])|(?<![" + w + "])(?![" + w + "]))")
	case r == 'A':
		t.position(`\A`)
	case r == 'Z': // the very end, which is \z in .NET
		t.position(`\z`)
	case r >= '1' && r <= '9' && !t.octal():
		id := string(r)
		if t.at < len(t.src) && t.src[t.at] >= '0' && t.src[t.at] <= '9' {
			id += string(t.next())
		}
		t.backreference(id)
	default:
		t.at--
		t.thing(literal(t.character()))
	}
}

// octal reports that the digit just taken begins three octal ones.
func (t *translator) octal() bool {
	for i := t.at - 1; i < t.at+2; i++ {
		if i >= len(t.src) || t.src[i] < '0' || t.src[i] > '7' {
			return false
		}
	}
	return true
}

// character reads the part of an escape behind the backslash that stands for one character.
func (t *translator) character() rune {
	r := t.next()
	if i := strings.IndexRune("abfnrtv", r); i >= 0 {
		return rune("\a\b\f\n\r\t\v"[i])
	}
	switch {
	case r == 'x':
		return t.hex(2)
	case r == 'u':
		return t.hex(4)
	case r == 'U':
		return t.hex(8)
	case r >= '0' && r <= '7':
		digits := string(r)
		for len(digits) < 3 && t.at < len(t.src) && t.src[t.at] >= '0' && t.src[t.at] <= '7' {
			digits += string(t.next())
		}
		n, _ := strconv.ParseUint(digits, 8, 16)
		if n > 0o377 {
			t.fail("octal escape value outside of range 0-0o377")
		}
		return rune(n)
	case r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)):
		t.fail("bad escape \\%c", r)
	}
	return r
}

func (t *translator) hex(digits int) rune {
	if t.at+digits > len(t.src) {
		t.fail("incomplete escape")
	}
	n, err := strconv.ParseUint(string(t.src[t.at:t.at+digits]), 16, 32)
	if err != nil || n > unicode.MaxRune {
		t.fail("bad escape")
	}
	t.at += digits
	return rune(n)
}

// class reads a set of characters in brackets. A .NET class cannot hold the complement of a set of ours: such parts stand
// beside it.
func (t *translator) class() {
	negated := t.accept("^")
	var plain strings.Builder
	var complements []string
	for first := true; first || !t.accept("]"); first = false {
		low, set := t.member(&complements)
		if t.at+1 < len(t.src) && t.src[t.at] == '-' && t.src[t.at+1] != ']' {
			t.at++
			high, highSet := t.member(&complements)
			if set != "" || highSet != "" || high < low {
				t.fail("bad character range")
			}
			plain.WriteString(literal(low) + "-" + literal(high))
			continue
		}
		switch {
		case set == complement:
		case set != "":
			plain.WriteString(set)
		default:
			plain.WriteString(literal(low))
		}
	}
	switch {
	case len(complements) == 0 && negated:
		t.thing("[^" + plain.String() + "]")
	case len(complements) == 0:
		t.thing("[" + plain.String() + "]")
	default:
		if plain.Len() > 0 {
			complements = append(complements, "["+plain.String()+"]")
		}
		any := "(?:" + strings.Join(complements, "|") + ")"
		if negated {
			any = "(?:(?!" + any + `)[\s\S])`
		}
		t.thing(any)
	}
}

// complement stands for a set that member has put aside.
const complement = "^"

// member reads a character, or a set.
func (t *translator) member(complements *[]string) (r rune, set string) {
	if r = t.next(); r != '\\' {
		return r, ""
	}
	switch r = t.next(); {
	case strings.ContainsRune("wds", r):
		return 0, t.set(r)
	case strings.ContainsRune("WDS", r):
		*complements = append(*complements, "[^"+t.set(r)+"]")
		return 0, complement
	}
	t.at--
	return t.character(), ""
}

// template is a replacement in Python's language: texts and numbers of groups in turn.
type template struct {
	texts  []string // one more than groups
	groups []int
}

// parseTemplate reads a replacement for a pattern of some groups: \1 to \99, \g<1>, \g<name>, \n and the like, octal escapes.
func (t *translator) parseTemplate(s string) (out template, err error) {
	p := &translator{src: []rune(s)}
	defer func() {
		if e, ok := recover().(*patternError); ok {
			err = e
		} else if e != nil {
			panic(e)
		}
	}()
	var b strings.Builder
	refer := func(n int) {
		if n > t.groups {
			p.fail("invalid group reference %d", n)
		}
		out.texts, out.groups = append(out.texts, b.String()), append(out.groups, n)
		b.Reset()
	}
	for p.at < len(p.src) {
		r := p.next()
		if r != '\\' {
			b.WriteRune(r)
			continue
		}
		switch r = p.next(); {
		case r == 'g':
			if !p.accept("<") {
				p.fail("missing <")
			}
			id := p.until('>')
			n, err := strconv.ParseUint(id, 10, 31)
			if err != nil {
				number, known := t.names[p.name(id)]
				if !known {
					p.fail("unknown group name %q", id)
				}
				n = uint64(number)
			}
			refer(int(n))
		case r >= '1' && r <= '9' && !p.octal():
			id := string(r)
			if p.at < len(p.src) && p.src[p.at] >= '0' && p.src[p.at] <= '9' {
				id += string(p.next())
			}
			n, _ := strconv.Atoi(id)
			refer(n)
		case strings.ContainsRune("xuU", r):
			p.fail("bad escape \\%c", r)
		case r < utf8.RuneSelf && !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\\' || r >= utf8.RuneSelf:
			b.WriteString(`\` + string(r))
		default:
			p.at--
			b.WriteRune(p.character())
		}
	}
	out.texts = append(out.texts, b.String())
	return out, nil
}
