package workflow

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"graphrun/graph/jsonscan"
)

const (
	maxDepth  = 10000   // of nested JSON, as in encoding/json
	maxInside = 1 << 22 // objects and lists: 2 GB of memory at worst; a million linked nodes have three million
)

// walker reads of a JSON text what it is asked for, and passes over the rest, which it checks alike: a workflow is mostly
// places, sizes and colours. It is several times as fast as a tree of everything. What it read counts once end says so.
type walker struct {
	text  string
	at    int
	err   error // the first; nothing comes after it
	depth int
	lists int      // objects and lists so far
	ahead *ahead   // once begun
	fixes [][2]int // where null stands for the NaN, Infinity or -Infinity that Python writes

	boxes [1024]any
	names [1024]string
	ids   strings.Builder

	// Of lists that are being read.
	list  []any
	wires []*wire
	slots []slot
	types []string

	// What is not given out yet of lists that nodes share.
	nodeRoom []node
	wireRoom []wire
	slotRoom []slot
	typeRoom []string
	listRoom []any
}

// box makes s an interface value. Short ones, which repeat, share it: that is half of all allocations.
func box[T ~string](w *walker, s T) any {
	if len(s) == 0 || len(s) > 24 {
		return s
	}
	at := &w.boxes[hash(string(s))%uint32(len(w.boxes))]
	if old, ok := (*at).(T); !ok || old != s {
		*at = s
	}
	return *at
}

func hash(s string) uint32 {
	h := uint32(len(s))
	for i := range len(s) {
		h = h*31 + uint32(s[i])
	}
	return h
}

// newWalker reads a text of any kind; each byte that is not UTF-8 is U+FFFD.
func newWalker(text string) *walker {
	if !utf8.ValidString(text) {
		text = string([]rune(text))
	}
	return &walker{text: text}
}

// treeOf is the tree that encoding/json makes, with UseNumber, of a text that is JSON.
func treeOf(text string) any { return (&walker{text: text}).value() }

// end checks that nothing follows, and returns the text as JSON has it, with every NaN replaced.
func (w *walker) end() (string, error) {
	if w.next(); w.err == nil && w.at < len(w.text) {
		w.err = fmt.Errorf("more text after the JSON value, at byte %d", w.at)
	}
	if w.err != nil || len(w.fixes) == 0 {
		return w.text, w.err
	}
	var b strings.Builder
	end := 0
	for _, f := range w.fixes {
		b.WriteString(w.text[end:f[0]])
		b.WriteString("null")
		end = f[1]
	}
	return b.String() + w.text[end:], nil
}

// stop ends the reading: from now on there is nothing next.
func (w *walker) stop(err error) {
	if w.err == nil {
		w.err = err
	}
	w.at = len(w.text)
}

func (w *walker) unexpected(need string) {
	if w.at >= len(w.text) {
		w.stop(fmt.Errorf("unexpected end of JSON: need %s", need))
		return
	}
	c, _ := utf8.DecodeRuneInString(w.text[w.at:])
	w.stop(fmt.Errorf("invalid character %q at byte %d: need %s", c, w.at, need))
}

// next passes white space and returns the byte that follows, 0 at the end.
func (w *walker) next() byte {
	for ; w.at < len(w.text); w.at++ {
		if c := w.text[w.at]; c > ' ' || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
	}
	return 0
}

// enter goes into an object or list, false where it is empty.
func (w *walker) enter(end byte) bool {
	w.at++
	w.depth++
	w.lists++
	switch {
	case w.depth > maxDepth:
		w.stop(fmt.Errorf("exceeded max depth of %d at byte %d", maxDepth, w.at))
	case w.lists > maxInside:
		w.stop(fmt.Errorf("more than %d objects and lists", maxInside))
	case w.next() == end:
		w.at++
		w.depth--
		return false
	}
	return true
}

// more passes what follows a member or element, and reports whether another comes.
func (w *walker) more(end byte) bool {
	switch w.next() {
	case ',':
		w.at++
		return true
	case end:
		w.at++
		w.depth--
	default:
		w.unexpected("a comma or " + string(rune(end)))
	}
	return false
}

// key reads a member's key and passes its colon; false where there is none.
func (w *walker) key() (body string, escaped, ok bool) {
	if w.next() != '"' {
		w.unexpected("a key in quotes")
		return "", false, false
	}
	body, escaped = w.quoted()
	if w.next() != ':' {
		w.unexpected("a colon")
		return "", false, false
	}
	w.at++
	return body, escaped, true
}

// object calls f for every member, with the value next; f reads it. Anything but an object is passed over.
func (w *walker) object(f func(key string)) bool {
	if w.next() != '{' {
		w.skip()
		return false
	}
	for more := w.enter('}'); more; more = w.more('}') {
		key, escaped, ok := w.key()
		if !ok {
			break
		}
		if escaped {
			key = unescape(key)
		}
		f(key)
	}
	return true
}

// array calls f for every element, which f reads. Anything but an array is passed over.
func (w *walker) array(f func(i int)) bool {
	if w.next() != '[' {
		w.skip()
		return false
	}
	i := 0
	for more := w.enter(']'); more; more = w.more(']') {
		f(i)
		i++
	}
	return true
}

// skip passes over a value.
func (w *walker) skip() {
	switch w.next() {
	case '"':
		w.quoted()
	case '{':
		for more := w.enter('}'); more; more = w.more('}') {
			if _, _, ok := w.key(); !ok {
				break
			}
			w.skip()
		}
	case '[':
		for more := w.enter(']'); more; more = w.more(']') {
			w.skip()
		}
	default:
		w.scalar()
	}
}

// quoted passes over a string, whose bytes it returns, and whether one of them is a backslash.
func (w *walker) quoted() (body string, escaped bool) {
	text, begin := w.text, w.at+1
	for at := begin; ; {
		at = jsonscan.StringEnd(text, at)
		switch {
		case at >= len(text):
			w.at = len(text)
			w.unexpected(`a closing "`)
			return "", false
		case text[at] == '"':
			w.at = at + 1
			return text[begin:at], escaped
		case text[at] != '\\':
			w.at = at
			w.unexpected("an escape for control characters")
			return "", false
		}
		n := escape(text[at:])
		if n == 0 {
			w.at = at + 1
			w.unexpected("an escape")
			return "", false
		}
		at, escaped = at+n, true
	}
}

// escapes are what may follow a backslash, besides u; meant is what each stands for.
const escapes, meant = `"\/bfnrt`, "\"\\/\b\f\n\r\t"

// escape is the length of the escape that s begins with; 0 where JSON does not have it.
func escape(s string) int {
	switch {
	case len(s) > 1 && strings.IndexByte(escapes, s[1]) >= 0:
		return 2
	case len(s) >= 6 && s[1] == 'u' && jsonscan.IsHex(s[2]) && jsonscan.IsHex(s[3]) && jsonscan.IsHex(s[4]) && jsonscan.IsHex(s[5]):
		return 6
	}
	return 0
}

// string reads a string: a part of the text, where nothing in it is escaped.
func (w *walker) string() string {
	body, escaped := w.quoted()
	if escaped {
		return unescape(body)
	}
	return body
}

// unescape is the text of a string whose escapes are known to be right.
func unescape(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		c := s[i+1]
		s = s[i+2:]
		if c != 'u' {
			b.WriteByte(meant[strings.IndexByte(escapes, c)])
			continue
		}
		r := hex(s)
		s = s[4:]
		if utf16.IsSurrogate(r) {
			if both := utf16.DecodeRune(r, hex(strings.TrimPrefix(s, `\u`))); strings.HasPrefix(s, `\u`) && both != utf8.RuneError {
				r, s = both, s[6:]
			} else {
				r = utf8.RuneError
			}
		}
		b.WriteRune(r)
	}
}

// hex reads four digits; 0 where there are none.
func hex(s string) rune {
	u, _ := strconv.ParseUint(s[:min(4, len(s))], 16, 16)
	return rune(u)
}

// scalar passes over a number, true, false or null.
func (w *walker) scalar() string {
	c, word := w.next(), ""
	begin, rest := w.at, w.text[w.at:]
	switch c {
	case 't':
		word = "true"
	case 'f':
		word = "false"
	case 'n':
		word = "null"
	case 'N':
		word = "NaN"
	case 'I':
		word = "Infinity"
	case '-':
		if word = "-Infinity"; !strings.HasPrefix(rest, word) {
			return w.number()
		}
	default:
		return w.number()
	}
	if !strings.HasPrefix(rest, word) {
		w.unexpected("a value")
		return "null"
	}
	if w.at += len(word); word[0] < 'a' {
		w.fixes = append(w.fixes, [2]int{begin, w.at})
		return "null"
	}
	return word
}

func (w *walker) number() string {
	text, begin := w.text, w.at
	at, need := begin, ""
	if at < len(text) && text[at] == '-' {
		at++
	}
	whole := at
	at = digits(text, at)
	switch {
	case at == whole:
		need = "a value"
	case text[whole] == '0':
		at = whole + 1
	}
	if need == "" && at < len(text) && text[at] == '.' {
		from := at + 1
		if at = digits(text, from); at == from {
			need = "a digit"
		}
	}
	if need == "" && at < len(text) && text[at]|' ' == 'e' {
		from := at + 1
		if from < len(text) && (text[from] == '+' || text[from] == '-') {
			from++
		}
		if at = digits(text, from); at == from {
			need = "a digit"
		}
	}
	if w.at = at; need != "" {
		w.unexpected(need)
		return "null"
	}
	return text[begin:at]
}

// digits is where the digits that begin at a place end.
func digits(text string, at int) int {
	for at < len(text) && text[at]-'0' < 10 {
		at++
	}
	return at
}

// value reads a value as a tree.
func (w *walker) value() (v any) {
	switch w.next() {
	case '{':
		o := map[string]any{}
		w.object(func(key string) { o[key] = w.value() })
		return o
	case '[':
		mark := len(w.list)
		w.array(func(int) { w.list = append(w.list, w.value()) })
		l := append(carve(&w.listRoom, len(w.list)-mark), w.list[mark:]...)
		w.list = w.list[:mark]
		return l
	case '"':
		return box(w, w.string())
	}
	switch s := w.scalar(); s {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	default:
		return box(w, json.Number(s))
	}
}

// words reads a text; anything else reads as "".
func (w *walker) words() string {
	if w.next() == '"' {
		return w.string()
	}
	w.skip()
	return ""
}

// name is words for classes, types and the names of slots: they repeat, and what is compared again and again is best in
// one place of the memory.
func (w *walker) name() string {
	s := w.words()
	if len(s) > 64 {
		return s
	}
	at := &w.names[hash(s)%uint32(len(w.names))]
	if *at != s {
		*at = s
	}
	return *at
}

// ident reads an id of any type; "" for none.
func (w *walker) ident() string {
	switch w.next() {
	case '"':
		return w.string()
	case '{', '[':
		w.skip()
		return ""
	}
	switch s := w.scalar(); s {
	case "null":
		return ""
	case "true", "false":
		return s
	default:
		return plainNumber(json.Number(s))
	}
}

// id is ident for those of nodes and links, which are looked up again and again: short ones are kept together.
func (w *walker) id() string {
	s := w.ident()
	if len(s) > 16 {
		return s
	}
	if w.ids.Cap()-w.ids.Len() < len(s) {
		w.ids = strings.Builder{}
		w.ids.Grow(4096)
	}
	at := w.ids.Len()
	w.ids.WriteString(s)
	return w.ids.String()[at:]
}

// int reads a number that counts something, also from a text; 0 for anything else.
func (w *walker) int() int { return count(w.ident()) }

// slotType reads a slot's type; the editor writes the wildcard as "*" or 0.
func (w *walker) slotType() string {
	if w.next() == '"' {
		return w.name()
	}
	w.skip()
	return "*"
}
