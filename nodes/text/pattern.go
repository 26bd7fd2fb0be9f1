package text

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/dlclark/regexp2"
)

// translator writes a pattern of Python's re as one of regexp2, whose language is .NET's: groups lose their names, so that
// they are numbered from left to right; \w, \b and their kin get Python's meaning; {,n}, possessive quantifiers, octal
// escapes and Python's flags are spelt out. What Python refuses is refused.
// https://docs.python.org/3/library/re.html#regular-expression-syntax
type translator struct {
	src     []rune
	at      int
	out     []byte
	atom    int // where in out the last thing begins that may be repeated; -1: there is none
	flags   flags
	open    []group
	groups  int            // begun so far
	names   map[string]int // numbers of named groups
	options regexp2.RegexOptions
	later   int // the highest group that a condition names
}

// flags are those that the translator itself heeds; regexp2 keeps the others.
type flags struct{ ascii, verbose bool }

type group struct {
	number int // 0 for one that captures nothing
	start  int // in out
	outer  flags
}

// patternError is a pattern or a replacement that Python would refuse.
type patternError struct {
	what string
	at   int // character
}

func (e *patternError) Error() string { return fmt.Sprintf("%s at position %d", e.what, e.at) }

// translate returns the pattern for regexp2 and the numbers of the named groups.
func translate(pattern string, options regexp2.RegexOptions) (t *translator, err error) {
	t = &translator{src: []rune(pattern), atom: -1, names: map[string]int{}, options: options}
	defer func() {
		if e, ok := recover().(*patternError); ok { // thrown by fail: an error may arise in any depth
			t, err = nil, e
		} else if e != nil {
			panic(e)
		}
	}()
	t.globalFlags()
	for t.at < len(t.src) {
		t.step()
	}
	if len(t.open) > 0 {
		t.fail("missing ), unterminated subpattern")
	}
	if t.later > t.groups {
		t.fail("invalid group reference %d", t.later)
	}
	return t, nil
}

func (t *translator) fail(format string, args ...any) {
	panic(&patternError{fmt.Sprintf(format, args...), t.at})
}

// next takes a character; at the end the pattern is bad.
func (t *translator) next() rune {
	if t.at >= len(t.src) {
		t.fail("unexpected end of pattern")
	}
	t.at++
	return t.src[t.at-1]
}

// accept takes a text if it comes next.
func (t *translator) accept(s string) bool {
	r := []rune(s)
	if t.at+len(r) > len(t.src) || !slices.Equal(t.src[t.at:t.at+len(r)], r) {
		return false
	}
	t.at += len(r)
	return true
}

// until takes what stands before the end character, and that.
func (t *translator) until(end rune) string {
	n := slices.Index(t.src[t.at:], end)
	if n < 0 {
		t.fail("missing %c", end)
	}
	s := string(t.src[t.at : t.at+n])
	t.at += n + 1
	return s
}

func (t *translator) emit(s string) { t.out = append(t.out, s...) }

// thing emits what may be repeated.
func (t *translator) thing(s string) {
	t.atom = len(t.out)
	t.emit(s)
}

// position emits what may not: it has no width of its own.
func (t *translator) position(s string) {
	t.atom = -1
	t.emit(s)
}

func (t *translator) step() {
	switch r := t.next(); {
	case t.flags.verbose && strings.ContainsRune(" \t\n\r\v\f", r):
	case t.flags.verbose && r == '#':
		for t.at < len(t.src) && t.next() != '\n' {
		}
	case r == '\\':
		t.escape()
	case r == '[':
		t.class()
	case r == '(':
		t.begin()
	case r == ')':
		t.end()
	case r == '|', r == '^', r == '$':
		t.position(string(r))
	case r == '.':
		t.thing(".")
	case r == '*', r == '+', r == '?':
		t.repeat(string(r))
	case r == '{':
		if q, ok := t.counts(); ok {
			t.repeat(q)
		} else {
			t.thing(`\{`)
		}
	default:
		t.thing(literal(r))
	}
}

// literal is a character that means itself, in a class too.
func literal(r rune) string {
	if r < unicode.MaxASCII && (unicode.IsPunct(r) || unicode.IsSymbol(r)) && r != '_' {
		return `\` + string(r)
	}
	if r < ' ' {
		return fmt.Sprintf(`\x%02x`, r)
	}
	return string(r)
}

// counts reads a quantifier {m}, {m,n}, {m,} or {,n}; what is none stays a brace.
func (t *translator) counts() (string, bool) {
	rest := string(t.src[t.at:min(len(t.src), t.at+32)])
	inner, _, closed := strings.Cut(rest, "}")
	low, high, comma := strings.Cut(inner, ",")
	if !closed || inner == "" || strings.Trim(low+high, "0123456789") != "" || !comma && low == "" {
		return "", false
	}
	for _, s := range []string{low, high} {
		if n, err := strconv.Atoi("0" + s); err != nil || n > 1<<31-1 {
			t.fail("the repetition number is too large")
		}
	}
	m, _ := strconv.Atoi("0" + low)
	if n, err := strconv.Atoi(high); err == nil && n < m {
		t.fail("min repeat greater than max repeat")
	}
	t.at += len([]rune(inner)) + 1
	if !comma {
		return "{" + low + "}", true
	}
	return "{" + strconv.Itoa(m) + "," + high + "}", true
}

// repeat emits a quantifier, lazy or possessive if ? or + follows.
func (t *translator) repeat(q string) {
	if t.atom < 0 {
		t.fail("nothing to repeat, or multiple repeat")
	}
	switch {
	case t.accept("?"):
		t.emit(q + "?")
	case t.accept("+"):
		t.out = slices.Insert(t.out, t.atom, []byte("(?>")...)
		t.emit(q + ")")
	default:
		t.emit(q)
	}
	t.atom = -1
}

// globalFlags reads (?aimsux) at the start.
func (t *translator) globalFlags() {
	for {
		from := t.at
		if !t.accept("(?") {
			return
		}
		n := 0
		for t.at+n < len(t.src) && strings.ContainsRune("aiLmsux", t.src[t.at+n]) {
			n++
		}
		if n == 0 || t.at+n >= len(t.src) || t.src[t.at+n] != ')' {
			t.at = from
			return
		}
		for _, f := range t.until(')') {
			switch f {
			case 'a':
				t.flags.ascii = true
			case 'x':
				t.flags.verbose = true
			case 'i':
				t.options |= regexp2.IgnoreCase
			case 'm':
				t.options |= regexp2.Multiline
			case 's':
				t.options |= regexp2.Singleline
			case 'L':
				t.fail("bad inline flags: cannot use 'L' flag with a str pattern")
			}
		}
	}
}

// begin reads what follows an opening parenthesis.
func (t *translator) begin() {
	g := group{start: len(t.out), outer: t.flags}
	switch {
	case !t.accept("?"):
		t.groups++
		g.number = t.groups
		t.emit("(")
	case t.accept("P<"):
		name := t.name(t.until('>'))
		if _, twice := t.names[name]; twice {
			t.fail("redefinition of group name %q", name)
		}
		t.groups++
		t.names[name], g.number = t.groups, t.groups
		t.emit("(")
	case t.accept("P="):
		t.backreference(t.until(')'))
		return
	case t.accept("#"):
		t.until(')')
		return
	case t.accept("("):
		t.emit("(?(" + strconv.Itoa(t.condition(t.until(')'))) + ")")
	default:
		t.emit("(?" + t.kind())
	}
	t.open = append(t.open, g)
	t.atom = -1
}

// kind reads the mark of a group that does not capture: a look around, an atomic group, or flags for a part.
func (t *translator) kind() string {
	for _, mark := range []string{":", "=", "!", "<=", "<!", ">"} {
		if t.accept(mark) {
			return mark
		}
	}
	on, off, _ := strings.Cut(t.until(':'), "-")
	keep := func(r rune) rune {
		if strings.ContainsRune("ims", r) {
			return r
		}
		return -1
	}
	if on+off == "" || strings.Trim(on, "aimsux") != "" || strings.Trim(off, "imsx") != "" || strings.Contains(on, "a") && strings.Contains(on, "u") {
		t.fail("unknown extension, or bad inline flags")
	}
	t.flags.ascii = (t.flags.ascii || strings.Contains(on, "a")) && !strings.Contains(on, "u")
	t.flags.verbose = (t.flags.verbose || strings.Contains(on, "x")) && !strings.Contains(off, "x")
	on, off = strings.Map(keep, on), strings.Map(keep, off)
	if off != "" {
		on += "-" + off
	}
	return on + ":"
}

func (t *translator) name(s string) string {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			t.fail("bad character in group name %q", s)
		}
	}
	if s == "" {
		t.fail("missing group name")
	}
	return s
}

// condition is the number of the group that (?(id)yes|no) asks for, which may come later.
func (t *translator) condition(id string) int {
	if n, err := strconv.Atoi(id); err == nil && n > 0 && n < 1000 {
		t.later = max(t.later, n)
		return n
	}
	n, known := t.names[t.name(id)]
	if !known {
		t.fail("unknown group name %q", id)
	}
	return n
}

func (t *translator) end() {
	if len(t.open) == 0 {
		t.fail("unbalanced parenthesis")
	}
	g := t.open[len(t.open)-1]
	t.open = t.open[:len(t.open)-1]
	t.flags = g.outer
	t.emit(")")
	t.atom = g.start
}

// backreference emits what a closed group, by name or number, has caught.
func (t *translator) backreference(id string) {
	n, err := strconv.Atoi(id)
	if err != nil {
		var known bool
		if n, known = t.names[t.name(id)]; !known {
			t.fail("unknown group name %q", id)
		}
	}
	if n < 1 || n > t.groups {
		t.fail("invalid group reference %d", n)
	}
	if slices.ContainsFunc(t.open, func(g group) bool { return g.number == n }) {
		t.fail("cannot refer to an open group")
	}
	t.thing(`\k<` + strconv.Itoa(n) + ">")
}
