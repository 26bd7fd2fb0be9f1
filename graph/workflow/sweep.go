package workflow

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"sync"

	"graphrun/graph"
	"graphrun/graph/expression"
)

// MaxVariations is how many values an axis may have, and how many variations their product.
const MaxVariations = 2500

// Axis is an input and the values that it takes in turn.
type Axis struct {
	Node, Input string // id and name
	Title       string // of the node, or its class
	Values      []any  // as Set would give them to the input
}

// Setting is an input and a value for it.
type Setting struct {
	Node, Input string
	Value       any
}

// variation is what Vary said.
type variation struct {
	suffix   string
	settings []Setting
}

// Vary makes the next prompts a variation: the settings come after what Set said, and the suffix goes behind the file name
// prefix of every node that saves. A later call replaces an earlier one; Vary("") takes it back.
func (f *File) Vary(suffix string, settings ...Setting) { f.varied = variation{suffix, settings} }

// assignments are the variation's for a prompt.
func (v variation) assignments(p *graph.Prompt, nodes graph.Library) (list []assignment) {
	for _, s := range v.settings {
		if p.Nodes[s.Node] != nil {
			list = append(list, assignment{at: place{p, s.Node, s.Input}, known: s.Value})
		}
	}
	if v.suffix == "" {
		return list
	}
	const input = "filename_prefix"
	for _, id := range p.IDs {
		n := p.Nodes[id]
		value, _ := n.Input(input)
		if spec := nodes[n.Class]; spec != nil && spec.Output {
			if _, isText := value.(string); isText {
				list = append(list, assignment{at: place{p, id, input}, behind: v.suffix})
			}
		}
	}
	return list
}

// ParseAxis reads NODE.INPUT=VALUES over the file's prompt. VALUES are values as Set takes them, with commas between and in
// double quotes where they hold one. Among them, where the input is no text, may be numbers from..to or from..to:step, and
// a =FORMULA that gives a list or one value.
func (f *File) ParseAxis(text string, o Options) (Axis, error) {
	target, list, ok := splitSet(text)
	if !ok {
		return Axis{}, &graph.Error{Kind: graph.KindBadSet, Need: "NODE.INPUT=VALUE,VALUE,... or NODE.INPUT=FROM..TO:STEP", Have: text, Hint: `for example KSampler.seed=1..4 or 3.cfg=4,7.5`}
	}
	if o.Nodes == nil {
		o.Nodes = graph.Registered()
	}
	p, err := f.Prompt(o)
	if err != nil {
		return Axis{}, err
	}
	at, port, err := (assignment{target: target}).find(p, o.Nodes)
	if err != nil {
		return Axis{}, err
	}
	n := p.Nodes[at.id]
	axis := Axis{Node: at.id, Input: at.input, Title: n.Title}
	if axis.Title == "" {
		axis.Title = n.Class
	}
	axis.Values, err = at.values(strings.TrimSpace(list), port)
	if err == nil && len(axis.Values) > MaxVariations {
		err = &expression.Error{What: "too many values", Need: fmt.Sprintf("at most %d", MaxVariations), Hint: "take a larger step"}
	}
	if err != nil {
		return Axis{}, at.wrong(list, err)
	}
	return axis, nil
}

// values reads what an axis lists.
func (at place) values(list string, port *graph.Port) ([]any, error) {
	if code, ok := strings.CutPrefix(list, "="); ok {
		if v, err := at.compute(code); err == nil || !strings.Contains(code, ",=") {
			return results(v, port, err)
		}
	}
	r := csv.NewReader(strings.NewReader(list))
	r.TrimLeadingSpace = true
	r.FieldsPerRecord = -1
	record, err := r.ReadAll()
	if err != nil {
		return nil, &expression.Error{What: err.Error(), Need: "values with commas between", Hint: `quote a value that holds a comma or a quote: "a, b","say ""hi"""`}
	}
	var fields []string
	for _, line := range record {
		fields = append(fields, line...)
	}
	if len(fields) == 0 {
		return nil, &expression.Error{What: "no value is given", Need: "values with commas between, or FROM..TO:STEP", Hint: `"" is an empty text`}
	}
	var values []any
	for _, field := range fields {
		some, err := at.field(field, port)
		if err != nil {
			return nil, err
		}
		values = append(values, some...)
	}
	return values, nil
}

// field reads one entry of a list: a value, a range of numbers where the input is no text, or a formula.
func (at place) field(field string, port *graph.Port) ([]any, error) {
	if code, ok := strings.CutPrefix(field, "="); ok {
		v, err := at.compute(code)
		return results(v, port, err)
	}
	fields := []string{field}
	if !isText(port) {
		if numbers, err := parseRange(strings.TrimSpace(field)); err != nil {
			return nil, err
		} else if numbers != nil {
			fields = numbers
		}
	}
	values := make([]any, len(fields))
	for i, f := range fields {
		values[i] = assignment{value: f}.literal(port)
	}
	return values, nil
}

// results are the values of a formula: those of a list, or the one.
func results(v any, port *graph.Port, err error) ([]any, error) {
	if err != nil {
		return nil, err
	}
	list, ok := expression.List(v)
	if !ok {
		list = []any{v}
	}
	values := make([]any, len(list))
	for i, item := range list {
		if values[i], err = typed(item, port); err != nil {
			return nil, err
		}
	}
	if len(values) == 0 {
		return nil, &expression.Error{What: "the expression gives an empty list", Need: "at least one value"}
	}
	return values, nil
}

// rangeForm is compiled when there is a sweep: its repetitions take a while, which every start would wait for.
var rangeForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([+-]?\d{1,30}(?:\.\d{1,30})?)\s*\.\.\s*([+-]?\d{1,30}(?:\.\d{1,30})?)(?:\s*:\s*([+-]?\d{1,30}(?:\.\d{1,30})?))?$`)
})

// parseRange lists the numbers of FROM..TO:STEP, both ends included, exactly as decimal numbers; nil for another form.
func parseRange(text string) ([]string, error) {
	m := rangeForm().FindStringSubmatch(text)
	if m == nil {
		return nil, nil
	}
	fractions := decimals(m[1])
	from, to, step := rational(m[1]), rational(m[2]), big.NewRat(1, 1)
	switch {
	case m[3] != "":
		step, fractions = rational(m[3]), max(fractions, decimals(m[3]))
	case !from.IsInt() || !to.IsInt():
		return nil, &expression.Error{What: "the range has no step", Need: "FROM..TO:STEP where the ends are fractions", Hint: fmt.Sprintf("for example %s:0.1", text)}
	}
	if step.Sign() == 0 {
		return nil, &expression.Error{What: "the step of the range is 0", Need: "a step that leads from one end to the other"}
	}
	if step.Abs(step); from.Cmp(to) > 0 { // downwards, with either sign
		step.Neg(step)
	}
	span := new(big.Rat).Sub(to, from)
	span.Quo(span, step)
	last := new(big.Int).Quo(span.Num(), span.Denom())
	if last.Cmp(big.NewInt(MaxVariations)) >= 0 {
		return nil, &expression.Error{What: fmt.Sprintf("the range has more than %d values", MaxVariations), Need: fmt.Sprintf("at most %d", MaxVariations), Hint: "take a larger step"}
	}
	list := make([]string, last.Int64()+1)
	for i := range list {
		list[i] = from.FloatString(fractions)
		from.Add(from, step)
	}
	return list, nil
}

func rational(s string) *big.Rat {
	r, _ := new(big.Rat).SetString(strings.TrimPrefix(s, "+")) // the form has been checked
	return r
}

// decimals is how many digits stand behind the point.
func decimals(s string) int {
	_, behind, _ := strings.Cut(s, ".")
	return len(behind)
}

// ValueText is a value as people write it.
func ValueText(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case json.Number:
		return string(x)
	}
	if s, err := expression.Text(v); err == nil {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
