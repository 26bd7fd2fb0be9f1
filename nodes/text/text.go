// Package text has the nodes that make and change texts, with the results of Python's str and re: a text is a row of code
// points, and indices count these.
package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"graphrun/graph"
	letters "graphrun/runtime/text"
)

func meta(name, title, what string) graph.Meta {
	return graph.Meta{Name: name, Title: title, Category: "utils/string", Module: "comfy_extras.nodes_string", NewStyle: true, Description: what}
}

func init() {
	graph.Register[CaseConverter](meta("CaseConverter", "Case Converter", "Writes a text in upper or lower case, or with capitals at its start or at that of each word."))
	graph.Register[StringCompare](meta("StringCompare", "Compare", "Tells whether a text starts with, ends with or equals another."))
	graph.Register[StringConcatenate](meta("StringConcatenate", "Concatenate", "Joins two texts with a delimiter between."))
	graph.Register[StringContains](meta("StringContains", "Contains", "Tells whether a text holds another."))
	graph.Register[StringLength](meta("StringLength", "Length", "Counts the characters of a text (Unicode code points)."))
	graph.Register[StringReplace](meta("StringReplace", "Replace", "Replaces every occurrence of a text in another."))
	graph.Register[StringSubstring](meta("StringSubstring", "Substring", "Takes the characters from start up to end, which is not taken; negative numbers count from the end."))
	graph.Register[StringTrim](meta("StringTrim", "Trim", "Removes white space from the ends of a text."))
}

type caseMode string

// Options lists the ways to write.
func (caseMode) Options() []string {
	return []string{"UPPERCASE", "lowercase", "Capitalize", "Title Case"}
}

// CaseConverter changes the case.
type CaseConverter struct {
	String string   `multiline:"true"`
	Mode   caseMode `multiselect:"false"`
}

// Run converts as Python's upper, lower, capitalize and title do: ß becomes SS, and after an apostrophe a word begins.
func (n CaseConverter) Run(*graph.Call) (string, error) {
	switch n.Mode {
	case "UPPERCASE":
		return upper(n.String), nil
	case "lowercase":
		return letters.Lower(n.String), nil
	case "Capitalize":
		return capitalize(n.String), nil
	case "Title Case":
		return title(n.String), nil
	}
	return n.String, nil
}

type compareMode string

// Options lists the comparisons.
func (compareMode) Options() []string { return []string{"Starts With", "Ends With", "Equal"} }

// StringCompare compares texts.
type StringCompare struct {
	StringA       string      `multiline:"true"`
	StringB       string      `multiline:"true"`
	Mode          compareMode `multiselect:"false"`
	CaseSensitive bool        `default:"true"`
}

// Run compares; without case, the texts in lower case.
func (n StringCompare) Run(*graph.Call) (compared, error) {
	if !n.CaseSensitive {
		n.StringA, n.StringB = letters.Lower(n.StringA), letters.Lower(n.StringB)
	}
	var yes bool
	switch n.Mode {
	case "Starts With":
		yes = strings.HasPrefix(n.StringA, n.StringB)
	case "Ends With":
		yes = strings.HasSuffix(n.StringA, n.StringB)
	case "Equal":
		yes = n.StringA == n.StringB
	default: // a server lets any text pass
		return compared{}, nil
	}
	return compared{graph.Any{Value: yes}}, nil
}

// compared is a BOOLEAN, or nothing.
type compared struct {
	Boolean graph.Any `types:"BOOLEAN" out:"BOOLEAN"`
}

// StringConcatenate joins texts.
type StringConcatenate struct {
	StringA   string `multiline:"true"`
	StringB   string `multiline:"true"`
	Delimiter string `default:"" multiline:"false"`
}

// Run returns string_a, delimiter, string_b.
func (n StringConcatenate) Run(*graph.Call) (string, error) {
	return n.StringA + n.Delimiter + n.StringB, nil
}

// contains is the result of StringContains under its name.
type contains struct {
	Contains bool `out:"contains"`
}

// StringContains looks for a text.
type StringContains struct {
	String        string `multiline:"true"`
	Substring     string `multiline:"true"`
	CaseSensitive bool   `default:"true"`
}

// Run looks; without case, in lower case. Every text holds the empty one.
func (n StringContains) Run(*graph.Call) (contains, error) {
	if !n.CaseSensitive {
		n.String, n.Substring = letters.Lower(n.String), letters.Lower(n.Substring)
	}
	return contains{strings.Contains(n.String, n.Substring)}, nil
}

// length is the result of StringLength under its name.
type length struct {
	Length int `out:"length"`
}

// StringLength counts characters.
type StringLength struct {
	String string `multiline:"true"`
}

// Run counts code points.
func (n StringLength) Run(*graph.Call) (length, error) {
	ascii, s := 0, n.String
	for len(s) >= 8 && s[0]|s[1]|s[2]|s[3]|s[4]|s[5]|s[6]|s[7] < utf8.RuneSelf { // a third of the time, of a long text
		ascii, s = ascii+8, s[8:]
	}
	return length{ascii + utf8.RuneCountInString(s)}, nil
}

// StringReplace replaces texts.
type StringReplace struct {
	String  string `multiline:"true"`
	Find    string `multiline:"true"`
	Replace string `multiline:"true"`
}

// Run replaces from the left; an empty find stands before every character and at the end.
func (n StringReplace) Run(*graph.Call) (string, error) {
	count := utf8.RuneCountInString(n.String) + 1
	if n.Find != "" {
		count = strings.Count(n.String, n.Find)
	}
	if err := fits(len(n.String)+count*(len(n.Replace)-len(n.Find)), "replace"); err != nil {
		return "", err
	}
	return strings.ReplaceAll(n.String, n.Find, n.Replace), nil
}

// maxText bounds the texts that replacing makes.
const maxText = 64 << 20

func fits(bytes int, input string) error {
	if bytes <= maxText {
		return nil
	}
	return &graph.Error{Kind: graph.KindCustom, Input: input, Need: "a result of at most 64 MiB", Have: "more", Hint: "replace less, or by shorter texts"}
}

// StringSubstring takes a part.
type StringSubstring struct {
	String string `multiline:"true"`
	Start  int
	End    int
}

// Run is Python's string[start:end].
func (n StringSubstring) Run(*graph.Call) (string, error) {
	runes := []rune(n.String)
	at := func(i int) int {
		if i < 0 {
			i += len(runes)
		}
		return max(0, min(i, len(runes)))
	}
	start, end := at(n.Start), at(n.End)
	return string(runes[start:max(start, end)]), nil
}

type trimMode string

// Options lists the ends.
func (trimMode) Options() []string { return []string{"Both", "Left", "Right"} }

// StringTrim removes white space.
type StringTrim struct {
	String string   `multiline:"true"`
	Mode   trimMode `multiselect:"false"`
}

// Run removes what Python takes for white space at the ends.
func (n StringTrim) Run(*graph.Call) (string, error) {
	switch n.Mode {
	case "Left":
		return strings.TrimLeftFunc(n.String, isSpace), nil
	case "Right":
		return strings.TrimRightFunc(n.String, isSpace), nil
	}
	return strings.TrimFunc(n.String, isSpace), nil
}

// isSpace is Python's str.isspace: the separators 1C to 1F count.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
