package workflow

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// isSaver reports whether the editor replaces tokens in the class's filename_prefix (section 8): in those of the savers.
func isSaver(class string) bool { return strings.Contains(class, "Save") }

var (
	token    = regexp.MustCompile(`%[^%]+%`)
	datePart = regexp.MustCompile(`yyyy|yyy|yy|MM?|dd?|hh?|mm?|ss?`)
	inNoName = regexp.MustCompile("[/?<>\\\\:*|\"\x00-\x1F\x7F]")
)

// replaceTokens replaces the editor's filename tokens in the prefixes of savers.
func (c *converter) replaceTokens() {
	for _, n := range c.savers {
		if s, ok := n.Input("filename_prefix"); ok && text(s) != "" {
			n.Set("filename_prefix", c.expandTokens(text(s)))
		}
	}
}

// expandTokens replaces %date:FORMAT% and %Node.widget%; other tokens are the server's.
func (c *converter) expandTokens(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	return token.ReplaceAllStringFunc(s, func(t string) string {
		name := t[1 : len(t)-1]
		if format, ok := strings.CutPrefix(name, "date:"); ok {
			return formatDate(format, c.opt.Now)
		}
		of, widget, ok := strings.Cut(name, ".")
		if !ok || strings.Contains(widget, ".") {
			return t
		}
		if v, ok := c.widgetText(of, widget); ok {
			return inNoName.ReplaceAllString(v, "_")
		}
		return t
	})
}

// widgetText is the value of a widget, of the node that is called so for search and replace, or else by its title: the
// first, with those inside subgraphs.
func (c *converter) widgetText(of, name string) (string, bool) {
	if c.titles == nil {
		c.nameNodes()
	}
	n := cmp.Or(c.searchNames[of], c.titles[of])
	if n == nil {
		return "", false
	}
	for i := range n.widgets {
		if w := &n.widgets[i]; w.name == name && !w.absent {
			return asText(w.value), true
		}
	}
	if v, ok := n.primitiveValue(); ok && n.typ == "PrimitiveNode" && name == "value" {
		return asText(v), true
	}
	return "", false
}

// nameNodes notes the first node of every name.
func (c *converter) nameNodes() {
	c.searchNames, c.titles = map[string]*node{}, map[string]*node{}
	note := func(names map[string]*node, name string, n *node) {
		if name != "" && names[name] == nil {
			names[name] = n
		}
	}
	seen := map[*canvas]bool{}
	var walk func(*canvas)
	walk = func(cv *canvas) {
		seen[cv] = true
		for _, n := range cv.nodes {
			if n.of != nil && !seen[n.of] {
				walk(n.of)
			}
			title := n.title
			if title == "" && n.class != nil {
				title = n.class.title
			} else if title == "" {
				title = n.typ
			}
			note(c.searchNames, n.properties.searchName, n)
			note(c.titles, title, n)
		}
	}
	walk(&c.doc.canvas)
}

// formatDate writes a time by the editor's letters: yyyy yy MM M dd d hh h mm m ss s.
func formatDate(format string, t time.Time) string {
	return datePart.ReplaceAllStringFunc(format, func(part string) string {
		n := map[byte]int{'M': int(t.Month()), 'd': t.Day(), 'h': t.Hour(), 'm': t.Minute(), 's': t.Second()}[part[0]]
		switch part {
		case "yyyy":
			return fmt.Sprint(t.Year())
		case "yyy":
			return part
		case "yy":
			return fmt.Sprintf("%02d", t.Year()%100)
		}
		return fmt.Sprintf("%0*d", len(part), n)
	})
}

var comments = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n\r]*`)

// expandDynamic removes comments and replaces each {a|b|...} by one of its options, which pick chooses (section 8).
// It is the editor's grammar: nested choices, \{ and \} as plain braces, an unclosed { runs to the end.
func expandDynamic(s string, pick func(int) int) string {
	if strings.Contains(s, "/") {
		s = comments.ReplaceAllString(s, "")
	}
	if !strings.ContainsAny(s, `{\`) {
		return s
	}
	d := dynamic{text: s, pick: pick}
	out := d.sequence(0)
	return strings.NewReplacer(`\{`, `{`, `\}`, `}`).Replace(out)
}

type dynamic struct {
	text string
	at   int
	pick func(int) int
}

// maxNesting bounds the recursion; deeper braces are plain text.
const maxNesting = 200

// sequence reads text and choices up to the end, or within a choice up to its next | or }.
func (d *dynamic) sequence(depth int) string {
	var out strings.Builder
	for d.at < len(d.text) {
		ch := d.text[d.at]
		switch {
		case ch == '\\' && d.at+1 < len(d.text):
			out.WriteString(d.text[d.at : d.at+2])
			d.at += 2
		case ch == '{' && depth < maxNesting:
			d.at++
			out.WriteString(d.choice(depth + 1))
		case depth > 0 && (ch == '|' || ch == '}'):
			return out.String()
		default:
			out.WriteByte(ch)
			d.at++
		}
	}
	return out.String()
}

// choice reads the options of an open brace and returns one of them.
func (d *dynamic) choice(depth int) string {
	var options []string
	for {
		options = append(options, d.sequence(depth))
		closed := d.at >= len(d.text) || d.text[d.at] == '}'
		d.at++
		if closed {
			return options[d.pick(len(options))]
		}
	}
}
