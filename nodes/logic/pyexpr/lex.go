package pyexpr

import (
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"graphrun/graph/python"
)

// token kinds: names and keywords 'n', values 'v', operators 'o', formatted texts 'f', end of a statement ';', the end 0.
type token struct {
	kind byte
	text string // of a name or operator; the inside of a formatted text
	v    any
}

type parser struct {
	tokens []token
	at     int
	depth  int
	nodes  int
}

var operators = []string{
	"**=", "//=", ">>=", "<<=", "...", "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "->", ":=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "@=",
	"+", "-", "*", "/", "%", "@", "&", "|", "^", "~", "<", ">", "(", ")", "[", "]", "{", "}", ",", ":", ".", "=",
}

// lex cuts the first statement into tokens; what comes after it is not looked at.
func (p *parser) lex(s string) error {
	open := 0
	for s != "" {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == ' ' || r == '\t' || r == '\f' || r == '\r' || r == '\n' && open > 0:
			s = s[size:]
			continue
		case strings.HasPrefix(s, "\\\n"):
			s = s[2:]
			continue
		case r == '#':
			if i := strings.IndexByte(s, '\n'); i >= 0 {
				s = s[i:]
				continue
			}
			return nil
		case r == '\n' || r == ';':
			if len(p.tokens) == 0 && r == '\n' {
				s = s[size:]
				continue
			}
			p.tokens = append(p.tokens, token{kind: ';'})
			return nil
		case r >= '0' && r <= '9' || r == '.' && len(s) > 1 && s[1] >= '0' && s[1] <= '9':
			n, err := p.number(s)
			if err != nil {
				return err
			}
			s = s[n:]
			continue
		}
		if prefix, quote := quoted(s); quote != "" {
			n, err := p.text(s, prefix, quote)
			if err != nil {
				return err
			}
			s = s[n:]
			continue
		}
		if r == '_' || unicode.IsLetter(r) {
			n := strings.IndexFunc(s, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
			if n < 0 {
				n = len(s)
			}
			p.tokens = append(p.tokens, token{kind: 'n', text: s[:n]})
			s = s[n:]
			continue
		}
		op := ""
		for _, o := range operators {
			if strings.HasPrefix(s, o) {
				op = o
				break
			}
		}
		switch op {
		case "":
			return errorf("SyntaxError", "invalid character %q", r)
		case "(", "[", "{":
			open++
		case ")", "]", "}":
			open--
		}
		p.tokens = append(p.tokens, token{kind: 'o', text: op})
		s = s[len(op):]
	}
	return nil
}

// number reads a literal: decimal, 0x, 0o, 0b, with a fraction or an exponent, underscores between digits.
func (p *parser) number(s string) (n int, err error) {
	bad := func() (int, error) {
		return 0, errorf("SyntaxError", "invalid number %.40q", s[:max(n, 1)])
	}
	if base := map[string]int{"0x": 16, "0o": 8, "0b": 2}[strings.ToLower(s[:min(2, len(s))])]; base != 0 {
		n = 2
		for n < len(s) && (s[n] == '_' || isWord(s[n])) {
			n++
		}
		plain, ok := python.Digits(s[1:n]) // an underscore may follow the letter
		plain = plain[1:]
		v, isNumber := new(big.Int).SetString(plain, base)
		if !ok || !isNumber || len(plain) > mostBits/8 {
			return bad()
		}
		p.tokens = append(p.tokens, token{kind: 'v', v: v})
		return n, nil
	}
	digits := func() {
		for n < len(s) && (s[n] == '_' || s[n] >= '0' && s[n] <= '9') {
			n++
		}
	}
	digits()
	isFloat := n < len(s) && s[n] == '.'
	if isFloat {
		n++
		digits()
	}
	if rest := s[n:]; rest != "" && rest[0]|0x20 == 'e' {
		signed := 1
		if len(rest) > 1 && (rest[1] == '+' || rest[1] == '-') {
			signed = 2
		}
		if len(rest) > signed && rest[signed] >= '0' && rest[signed] <= '9' {
			isFloat = true
			n += signed
			digits()
		}
	}
	plain, ok := python.Digits(s[:n])
	switch {
	case !ok:
		return bad()
	case n < len(s) && s[n]|0x20 == 'j':
		p.tokens = append(p.tokens, token{kind: 'v', v: complexNumber{}})
		n++
	case isFloat:
		f, err := python.ParseFloat(plain)
		if err != nil {
			return bad()
		}
		p.tokens = append(p.tokens, token{kind: 'v', v: f})
	default:
		v, err := python.Int(plain)
		if err != nil || plain[0] == '0' && strings.Trim(plain, "0") != "" {
			return bad()
		}
		p.tokens = append(p.tokens, token{kind: 'v', v: v})
	}
	if n < len(s) && (s[n] == '_' || isWord(s[n])) && !strings.ContainsAny(s[n:n+1], "aionfe") { // 1if x else y is allowed
		return bad()
	}
	return n, nil
}

// complexNumber is a value that nothing can be done with.
type complexNumber struct{}

func isWord(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// quoted tells the prefix and the quote of a text literal.
func quoted(s string) (prefix, quote string) {
	n := 0
	for n < 2 && n < len(s) && strings.IndexByte("rRbBuUfF", s[n]) >= 0 {
		n++
	}
	for _, q := range []string{`"""`, "'''", `"`, "'"} {
		if strings.HasPrefix(s[n:], q) {
			return strings.ToLower(s[:n]), q
		}
	}
	return "", ""
}

// text reads a literal.
func (p *parser) text(s, prefix, quote string) (n int, err error) {
	start := len(prefix) + len(quote)
	n = start
	for {
		switch {
		case n >= len(s) || len(quote) == 1 && s[n] == '\n':
			return 0, errorf("SyntaxError", "unterminated string literal")
		case s[n] == '\\' && n+1 < len(s):
			n += 2
			continue
		case strings.HasPrefix(s[n:], quote):
		default:
			n++
			continue
		}
		break
	}
	body := s[start:n]
	n += len(quote)
	switch {
	case strings.Contains(prefix, "b"):
		p.tokens = append(p.tokens, token{kind: 'v', v: complexNumber{}})
		return n, nil
	case strings.Contains(prefix, "f"):
		p.tokens = append(p.tokens, token{kind: 'f', text: body})
		return n, nil
	case !strings.Contains(prefix, "r"):
		body = unescape(body)
	}
	if last := len(p.tokens) - 1; last >= 0 && p.tokens[last].kind == 'v' { // texts in a row are one
		if before, ok := p.tokens[last].v.(string); ok {
			p.tokens[last].v = before + body
			return n, nil
		}
	}
	p.tokens = append(p.tokens, token{kind: 'v', v: body})
	return n, nil
}

// unescape resolves the escapes of a literal; unknown ones stay.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if j := strings.IndexByte("\\'\"abfnrtv\n", s[i]); j >= 0 {
			b.WriteString([]string{"\\", "'", `"`, "\a", "\b", "\f", "\n", "\r", "\t", "\v", ""}[j])
			continue
		}
		width := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[i]]
		if v, err := strconv.ParseUint(s[i+1:min(i+1+width, len(s))], 16, 32); width > 0 && err == nil {
			b.WriteRune(rune(v))
			i += width
			continue
		}
		octal := 0
		for octal < 3 && i+octal < len(s) && s[i+octal] >= '0' && s[i+octal] <= '7' {
			octal++
		}
		if octal > 0 {
			v, _ := strconv.ParseUint(s[i:i+octal], 8, 32)
			b.WriteRune(rune(v))
			i += octal - 1
			continue
		}
		b.WriteByte('\\')
		b.WriteByte(s[i])
	}
	return b.String()
}
