package text

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dlclark/regexp2"

	"graphrun/graph"
)

func init() {
	graph.Register[RegexMatch](meta("RegexMatch", "Regex Match", "Tells whether a regular expression (Python's re) is found in a text."))
	graph.Register[RegexExtract](meta("RegexExtract", "Regex Extract",
		"Takes what a regular expression (Python's re) finds in a text, or what one of its groups catches; several, one a line. Nothing found gives an empty text."))
	graph.Register[RegexReplace](meta("RegexReplace", "Regex Replace",
		`Replaces what a regular expression (Python's re) finds. In the replacement \1 and \g<name> stand for groups. count limits the replacements, 0 does not.`))
}

// timeLimit bounds the search for one match: some patterns take time exponential in the text.
const timeLimit = 5 * time.Second

// regex is a compiled pattern. Without case it finds all that Python finds but ſ for s, the Kelvin sign for k and ı, İ for i.
type regex struct {
	*translator
	re    *regexp2.Regexp
	again *regexp2.Regexp // made when needed: finds at its start, and not the empty text
	text  string          // the pattern for regexp2
}

func compile(pattern string, caseInsensitive, multiline, dotall bool) (*regex, error) {
	var options regexp2.RegexOptions
	for flag, on := range map[regexp2.RegexOptions]bool{regexp2.IgnoreCase: caseInsensitive, regexp2.Multiline: multiline, regexp2.Singleline: dotall} {
		if on {
			options |= flag
		}
	}
	t, err := translate(pattern, options)
	if err != nil {
		return nil, err
	}
	x := &regex{translator: t, text: string(t.out)}
	x.re, err = build(x.text, t.options)
	return x, err
}

func build(pattern string, options regexp2.RegexOptions) (*regexp2.Regexp, error) {
	re, err := regexp2.Compile(pattern, options)
	if err != nil {
		return nil, &patternError{what: err.Error()}
	}
	re.MatchTimeout = timeLimit
	return re, nil
}

// matches yields what re.finditer finds: after an empty match, one that is not empty may begin at the same place.
func (x *regex) matches(ctx context.Context, s string, yield func(*regexp2.Match) bool) error {
	runes := []rune(s)
	for at := 0; at <= len(runes); {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := x.re.FindRunesMatchStartingAt(runes, at)
		if err != nil || m == nil {
			return tooLong(err)
		}
		for m != nil {
			if !yield(m) {
				return nil
			}
			at = m.Index + m.Length
			if m.Length > 0 {
				break
			}
			if x.again == nil {
				if x.again, err = build(`\G(?:`+x.text+`)(?!\G)`, x.options); err != nil {
					return err
				}
			}
			if m, err = x.again.FindRunesMatchStartingAt(runes, at); err != nil {
				return tooLong(err)
			}
			if m == nil {
				at++
			}
		}
	}
	return nil
}

// tooLong explains regexp2's only error, a search that took too long.
func tooLong(err error) error {
	if err == nil {
		return nil
	}
	return &graph.Error{
		Kind: graph.KindCustom, Input: "regex_pattern", Need: fmt.Sprintf("a pattern that finds within %v", timeLimit), Have: "one that takes longer on this text",
		Hint: "avoid nested repetitions such as (a+)+, or shorten the text",
	}
}

// group is what group n caught, empty if nothing.
func caught(m *regexp2.Match, n int) string {
	if g := m.GroupByNumber(n); g != nil {
		return g.String()
	}
	return ""
}

// none reports a pattern that Python refuses: extracting and matching then find nothing, as in ComfyUI.
func none(err error) bool {
	var bad *patternError
	return errors.As(err, &bad)
}

// found is the result of RegexMatch under its name.
type found struct {
	Matches bool `out:"matches"`
}

// RegexMatch searches.
type RegexMatch struct {
	String          string `multiline:"true"`
	RegexPattern    string `multiline:"true"`
	CaseInsensitive bool   `default:"true"`
	Multiline       bool   `default:"false"`
	Dotall          bool   `default:"false"`
}

// Run tells whether the pattern is found anywhere; a bad pattern is not.
func (n RegexMatch) Run(c *graph.Call) (out found, err error) {
	x, err := compile(n.RegexPattern, n.CaseInsensitive, n.Multiline, n.Dotall)
	if err == nil {
		err = x.matches(c, n.String, func(*regexp2.Match) bool {
			out.Matches = true
			return false
		})
	}
	if none(err) {
		return found{}, nil
	}
	return out, err
}

type extractMode string

// Options lists what to take.
func (extractMode) Options() []string {
	return []string{"First Match", "All Matches", "First Group", "All Groups"}
}

// RegexExtract takes what is found.
type RegexExtract struct {
	String          string      `multiline:"true"`
	RegexPattern    string      `multiline:"true"`
	Mode            extractMode `multiselect:"false"`
	CaseInsensitive bool        `default:"true"`
	Multiline       bool        `default:"false"`
	Dotall          bool        `default:"false"`
	GroupIndex      int         `default:"1" min:"0" max:"100"`
}

// Run joins what it takes with line ends. All Matches of a pattern with groups are those of its first group (re.findall);
// a group that the pattern does not have is found nowhere, and neither is a bad pattern.
func (n RegexExtract) Run(c *graph.Call) (string, error) {
	x, err := compile(n.RegexPattern, n.CaseInsensitive, n.Multiline, n.Dotall)
	if none(err) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	number := 0
	switch n.Mode {
	case "All Matches":
		number = min(x.groups, 1)
	case "First Group", "All Groups":
		if number = n.GroupIndex; number > x.groups || x.groups == 0 && n.Mode == "All Groups" {
			return "", nil
		}
	}
	var list []string
	err = x.matches(c, n.String, func(m *regexp2.Match) bool {
		list = append(list, caught(m, number))
		return strings.HasPrefix(string(n.Mode), "All")
	})
	return strings.Join(list, "\n"), err
}

// RegexReplace replaces what is found.
type RegexReplace struct {
	String          string `multiline:"true"`
	RegexPattern    string `multiline:"true"`
	Replace         string `multiline:"true"`
	CaseInsensitive bool   `default:"true" optional:"true"`
	Multiline       bool   `default:"false" optional:"true"`
	Dotall          bool   `default:"false" optional:"true"`
	Count           int    `default:"0" min:"0" max:"100" optional:"true"`
}

// Run is re.sub. A bad pattern or replacement is an error.
func (n RegexReplace) Run(c *graph.Call) (string, error) {
	x, err := compile(n.RegexPattern, n.CaseInsensitive, n.Multiline, n.Dotall)
	if err != nil {
		return "", &graph.Error{Kind: graph.KindCustom, Input: "regex_pattern", Err: err, Need: "a regular expression of Python's re"}
	}
	with, err := x.parseTemplate(n.Replace)
	if err != nil {
		return "", &graph.Error{Kind: graph.KindCustom, Input: "replace", Err: err, Need: `a replacement for re.sub: \1 or \g<name> for groups, \\ for a backslash`}
	}
	runes := []rune(n.String)
	var b strings.Builder
	at, count := 0, 0
	var full error
	err = x.matches(c, n.String, func(m *regexp2.Match) bool {
		b.WriteString(string(runes[at:m.Index]))
		at = m.Index + m.Length
		for i, text := range with.texts {
			b.WriteString(text)
			if i < len(with.groups) {
				b.WriteString(caught(m, with.groups[i]))
			}
		}
		count++
		full = fits(b.Len(), "replace")
		return full == nil && (n.Count == 0 || count < n.Count)
	})
	if err == nil {
		err = full
	}
	if err != nil {
		return "", err
	}
	b.WriteString(string(runes[at:]))
	return b.String(), nil
}
