package glsl

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// token is a name, a number or a mark.
type token struct {
	text string
	line int
}

var (
	comments = regexp.MustCompile(`//[^\n]*|(?s:/\*.*?\*/)`)
	lexemes  = regexp.MustCompile(`^(?:[A-Za-z_]\w*|0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[fFuU]?|<<=|>>=|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||\^\^|[-+*/%&|^]=|[-+*/%<>=!~&|^?:;,.(){}\[\]])`)
)

// macro is a #define.
type macro struct {
	params []string // nil for one without parentheses
	body   []token
}

// preprocessor makes tokens of a source.
type preprocessor struct {
	macros map[string]macro
	passes int
	tokens []token
}

// maxTokens bounds what macros make of a shader.
const maxTokens = 200_000

func preprocess(source string) (*preprocessor, error) {
	p := &preprocessor{macros: map[string]macro{"GL_ES": {body: []token{{text: "1"}}}}, passes: 1}
	source = comments.ReplaceAllStringFunc(source, func(c string) string { return " " + strings.Repeat("\n", strings.Count(c, "\n")) })
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\\\n", " ")
	var skip []bool // of each open #if: its branch is left out
	for i, line := range strings.Split(source, "\n") {
		text := strings.TrimSpace(line)
		if directive, ok := strings.CutPrefix(text, "#"); ok {
			var err error
			if skip, err = p.directive(strings.TrimSpace(directive), i+1, skip); err != nil {
				return nil, err
			}
			continue
		}
		if slices.Contains(skip, true) {
			continue
		}
		tokens, err := lex(text, i+1)
		if err != nil {
			return nil, err
		}
		if p.tokens = append(p.tokens, tokens...); len(p.tokens) > maxTokens {
			return nil, &Error{i + 1, "the shader is too long"}
		}
	}
	if len(skip) > 0 {
		return nil, &Error{0, "an #if without #endif"}
	}
	out, err := p.expand(p.tokens, nil)
	p.tokens = out
	return p, err
}

func lex(text string, line int) (tokens []token, err error) {
	for {
		text = strings.TrimLeft(text, " \t\f\v")
		if text == "" {
			return tokens, nil
		}
		m := lexemes.FindString(text)
		if m == "" {
			return nil, &Error{line, fmt.Sprintf("unexpected character %q", text[:1])}
		}
		tokens = append(tokens, token{m, line})
		text = text[len(m):]
	}
}

func (p *preprocessor) directive(text string, line int, skip []bool) ([]bool, error) {
	name, rest, _ := strings.Cut(strings.ReplaceAll(text, "\t", " "), " ")
	rest = strings.TrimSpace(rest)
	off := slices.Contains(skip, true)
	switch name {
	case "ifdef", "ifndef":
		_, defined := p.macros[rest]
		return append(skip, defined != (name == "ifdef")), nil
	case "if":
		return append(skip, !p.truth(rest)), nil
	case "else":
		if len(skip) > 0 {
			skip[len(skip)-1] = !skip[len(skip)-1]
			return skip, nil
		}
	case "endif":
		if len(skip) > 0 {
			return skip[:len(skip)-1], nil
		}
	case "define":
		if off {
			return skip, nil
		}
		return skip, p.define(rest, line)
	case "undef":
		if !off {
			delete(p.macros, rest)
		}
		return skip, nil
	case "pragma":
		if n, ok := strings.CutPrefix(rest, "passes"); ok && !off {
			passes, err := strconv.Atoi(strings.TrimSpace(n))
			if err != nil || passes < 1 || passes > 100 {
				return nil, &Error{line, "#pragma passes: need a number from 1 to 100"}
			}
			p.passes = passes
		}
		return skip, nil
	case "version", "extension", "line", "":
		return skip, nil
	}
	if off {
		return skip, nil
	}
	if name == "error" {
		return nil, &Error{line, "#error " + rest}
	}
	return nil, &Error{line, "unknown or misplaced directive #" + name}
}

// truth is a condition of #if: a number, defined(NAME), a macro that is a number, or the negation of one.
func (p *preprocessor) truth(text string) bool {
	text = strings.TrimSpace(text)
	if rest, not := strings.CutPrefix(text, "!"); not {
		return !p.truth(rest)
	}
	if rest, ok := strings.CutPrefix(text, "defined"); ok {
		_, defined := p.macros[strings.Trim(rest, " ()")]
		return defined
	}
	if m, ok := p.macros[text]; ok && len(m.body) == 1 {
		text = m.body[0].text
	}
	n, err := strconv.Atoi(text)
	return err == nil && n != 0
}

func (p *preprocessor) define(text string, line int) error {
	name := regexp.MustCompile(`^[A-Za-z_]\w*`).FindString(text)
	if name == "" {
		return &Error{line, "#define: need a name"}
	}
	rest := text[len(name):]
	var m macro
	if strings.HasPrefix(rest, "(") {
		inside, after, ok := strings.Cut(rest[1:], ")")
		if !ok {
			return &Error{line, "#define: missing )"}
		}
		m.params, rest = []string{}, after
		for _, param := range strings.Split(inside, ",") {
			if param = strings.TrimSpace(param); param != "" {
				m.params = append(m.params, param)
			}
		}
	}
	var err error
	m.body, err = lex(rest, line)
	p.macros[name] = m
	return err
}

// expand replaces macros; active are those that are being replaced.
func (p *preprocessor) expand(tokens []token, active []string) (out []token, err error) {
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		m, ok := p.macros[t.text]
		if !ok || slices.Contains(active, t.text) || m.params != nil && (i+1 >= len(tokens) || tokens[i+1].text != "(") {
			out = append(out, t)
			continue
		}
		body := slices.Clone(m.body)
		if m.params != nil {
			args, end := arguments(tokens, i+1)
			if end < 0 || len(args) != len(m.params) && !(len(m.params) == 0 && len(args) == 1) {
				return nil, &Error{t.line, "macro " + t.text + ": wrong number of arguments"}
			}
			body = nil
			for _, b := range m.body {
				if k := slices.Index(m.params, b.text); k >= 0 {
					body = append(body, args[k]...)
				} else {
					body = append(body, b)
				}
			}
			i = end
		}
		for k := range body {
			body[k].line = t.line
		}
		if body, err = p.expand(body, append(slices.Clone(active), t.text)); err != nil {
			return nil, err
		}
		if out = append(out, body...); len(out) > maxTokens {
			return nil, &Error{t.line, "macros make the shader too long"}
		}
	}
	return out, nil
}

// arguments reads the lists of tokens between parentheses, the first of which is at i; end is the last one's place.
func arguments(tokens []token, i int) (args [][]token, end int) {
	depth := 0
	args = [][]token{nil}
	for ; i < len(tokens); i++ {
		t := tokens[i]
		switch t.text {
		case "(":
			if depth++; depth == 1 {
				continue
			}
		case ")":
			if depth--; depth == 0 {
				return args, i
			}
		case ",":
			if depth == 1 {
				args = append(args, nil)
				continue
			}
		}
		args[len(args)-1] = append(args[len(args)-1], t)
	}
	return nil, -1
}
