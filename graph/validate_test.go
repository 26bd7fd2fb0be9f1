package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

type seedNode struct {
	Seed   uint64  `default:"0" max:"0xffffffffffffffff"`
	CFG    float64 `default:"8" min:"0" max:"100"`
	Method method
	On     bool
	Text   string
	Either Any `types:"IMAGE,INT" optional:"true"`
}

func (n seedNode) Run(*Call) (UI, error) {
	return UI{"n": {n.Seed, n.CFG, n.Method, n.On, n.Text}}, nil
}

func (n seedNode) Validate() error {
	if n.Text == "refuse" {
		return fmt.Errorf("the text is %q", n.Text)
	}
	return nil
}

func TestValidateConverts(t *testing.T) {
	l := Library{"Seed": Compile[seedNode](Meta{Name: "Seed", Output: true})}
	for _, c := range []struct{ in, want string }{
		{`"seed": 18446744073709551615, "cfg": 1, "method": "area", "on": true, "text": "a"`, `[18446744073709551615,1,"area",true,"a"]`},
		{`"seed": 9007199254740993, "cfg": "2.5", "method": "area", "on": "false", "text": 12`, `[9007199254740993,2.5,"area",true,"12"]`},
		{`"seed": "16", "cfg": true, "method": "nearest", "on": 0, "text": true`, `[16,1,"nearest",false,"True"]`},
		{`"seed": 8.9, "cfg": 1e1, "method": {"__value__": "area"}, "on": "", "text": null`, `[8,10,"area",false,"None"]`},
		{`"seed": 1e19, "cfg": -0.0, "method": "area", "on": [], "text": "[1, 0]"`, ``},
	} {
		p := mustParse(t, `{"1": {"class_type": "Seed", "inputs": {`+c.in+`}}}`)
		r, err := Run(t.Context(), p, Options{Nodes: l})
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: no error", c.in)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if got, _ := json.Marshal(r.UI["1"]["n"]); string(got) != c.want {
			t.Errorf("%s: the node got %s, want %s", c.in, got, c.want)
		}
	}
}

// Converted values are written back into the prompt, FLOATs with a fraction; what the node does not declare stays as it was.
func TestValidateWritesBack(t *testing.T) {
	l := Library{"Seed": Compile[seedNode](Meta{Name: "Seed", Output: true})}
	p := mustParse(t, `{"1":{"inputs":{"seed":"16","cfg":8,"method":"area","on":"false","text":12,"more":8,"most":8.0},"class_type":"Seed"}}`)
	if _, problems := Validate(p, l, nil, nil); problems != nil {
		t.Fatal(problems)
	}
	want := `{"1":{"inputs":{"seed":16,"cfg":8.0,"method":"area","on":true,"text":"12","more":8,"most":8.0},"class_type":"Seed"}}`
	if got, err := json.Marshal(p); err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestValidateErrors(t *testing.T) {
	var log []string
	l := toys(&log)
	l["Seed"] = Compile[seedNode](Meta{Name: "Seed", Output: true})
	good := `"seed": 1, "cfg": 1, "method": "area", "on": true, "text": ""`
	for _, c := range []struct{ name, prompt, want string }{
		{"unknown", `{"1": {"class_type": "Swich"}, "2": {"class_type": "Show"}}`, `node 1 (Swich): the prompt cannot be executed; need a known node class; have Swich; did you mean Switch?`},
		{"all unknown", `{"1": {"class_type": "Swich"}, "2": {"class_type": "Shaw"}}`, `did you mean Show?`},
		{"no class", `{"1": {"inputs": {}}}`, `need class_type`},
		{"empty", `{}`, `the prompt has no outputs`},
		{"no output", `{"1": {"class_type": "Number", "inputs": {"value": 1}}}`, `SaveImage`},
		{"missing", `{"7": {"class_type": "Show", "_meta": {"title": "T"}}}`, `node 7 (Show) "T", input value: a required input is missing; need *; connect it or give it a value`},
		{"nowhere", `{"7": {"class_type": "Show", "inputs": {"value": ["9", 0]}}}`, `have a link to node 9, which is not in the prompt`},
		{"slot", `{"6": {"class_type": "Range", "inputs": {"n": 1}}, "7": {"class_type": "Show", "inputs": {"value": ["6", 1]}}}`, `have a link to output 1 of node 6 (Range), which has 1`},
		{
			"type", `{"6": {"class_type": "Join", "inputs": {"items": 1, "sep": ""}}, "7": {"class_type": "Sum", "inputs": {"a": ["6", 0], "b": 1}}, "8": {"class_type": "Show", "inputs": {"value": ["7", 0]}}}`,
			`node 7 (Sum), input a: the linked output has another type; need INT; have STRING from output 0 of node 6 (Join)`,
		},
		{"small", `{"1": {"class_type": "Seed", "inputs": {` + strings.Replace(good, `"cfg": 1`, `"cfg": -1`, 1) + `}}}`, `input cfg: the value is below the minimum; need at least 0; have -1`},
		{"big", `{"1": {"class_type": "Seed", "inputs": {` + strings.Replace(good, `"seed": 1`, `"seed": 18446744073709551616`, 1) + `}}}`, `need at most 18446744073709551615; have 18446744073709551616`},
		{"huge", `{"1": {"class_type": "Seed", "inputs": {` + strings.Replace(good, `"seed": 1`, `"seed": 1e999999999`, 1) + `}}}`, `need a whole number; have 1e999999999`},
		{"NaN", `{"1": {"class_type": "Seed", "is_changed": [NaN], "inputs": {` + strings.Replace(good, `"cfg": 1`, `"cfg": -Infinity`, 1) + `}}}`, `node 1 (Seed), input cfg: the value cannot be read as the input's type; need a number; have -Infinity`},
		{"list", `{"1": {"class_type": "Seed", "inputs": {` + strings.Replace(good, `"area"`, `"arena"`, 1) + `}}}`, `input method: the value is not in the list; need one of area, nearest; have "arena"; did you mean area?`},
		{"own check", `{"1": {"class_type": "Seed", "inputs": {` + strings.Replace(good, `""`, `"refuse"`, 1) + `}}}`, `node 1 (Seed): the node refuses its inputs: the text is "refuse"`},
		{"union", `{"6": {"class_type": "Join", "inputs": {"items": 1, "sep": ""}}, "1": {"class_type": "Seed", "inputs": {` + good + `, "either": ["6", 0]}}}`, `need IMAGE,INT; have STRING`},
		{"self", `{"1": {"class_type": "Sum", "inputs": {"a": ["1", 0], "b": 1}}, "7": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}`, `node 1 (Sum): the links form a cycle; have needs 1 needs 1; remove one of these links`},
		{"cycle", `{"1": {"class_type": "Sum", "inputs": {"a": ["2", 0], "b": 1}}, "2": {"class_type": "Sum", "inputs": {"a": ["1", 0], "b": 1}}, "7": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}`, `have needs 1 needs 2 needs 1`},
		{"lazy cycle", `{"1": {"class_type": "Switch", "inputs": {"a": ["1", 0], "second": true}}, "7": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}`, `the links form a cycle`},
	} {
		log = nil
		_, err := Run(t.Context(), mustParse(t, c.prompt), Options{Nodes: l})
		if _, ok := err.(*ValidationError); !ok || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %T\n%v\nwant\n%s", c.name, err, err, c.want)
		}
		if len(log) > 0 {
			t.Errorf("%s: nodes ran: %v", c.name, log)
		}
	}
}

// The texts of FLOATs have a fraction, as in ComfyUI's answers.
func TestFloatMessages(t *testing.T) {
	l := Library{"Seed": Compile[seedNode](Meta{Name: "Seed", Output: true})}
	p := mustParse(t, `{"1": {"class_type": "Seed", "inputs": {"seed": 1, "cfg": 150, "method": "area", "on": true, "text": ""}}}`)
	_, problems := Validate(p, l, nil, nil)
	if problems == nil {
		t.Fatal("cfg 150 passes")
	}
	e := problems.Nodes[0].Errors[0].comfy()
	if want := "Value 150.0 bigger than max of 100.0"; e["message"] != want || e["extra_info"].(map[string]any)["received_value"] != 150.0 {
		t.Errorf("%v, want %s", e, want)
	}
}

func TestRunPartial(t *testing.T) {
	var log []string
	p := `{"1": {"class_type": "Number", "inputs": {"value": 1}}, "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}}, "3": {"class_type": "Show"}}`
	if _, err := Run(t.Context(), mustParse(t, p), Options{Nodes: toys(&log)}); err == nil || len(log) > 0 {
		t.Errorf("a prompt with a bad output ran: %v", err)
	}
	r, err := Run(t.Context(), mustParse(t, p), Options{Nodes: toys(&log), Partial: true})
	if err != nil || r.UI["2"] == nil || r.Invalid.NodeErrors()["3"] == nil {
		t.Errorf("%v, %+v", err, r)
	}
	if r, err = Run(t.Context(), mustParse(t, p), Options{Nodes: toys(&log), Targets: []string{"2"}}); err != nil || r.UI["2"] == nil {
		t.Errorf("targets: %v", err)
	}
}

func TestParsePromptErrors(t *testing.T) {
	for text, want := range map[string]Kind{
		``: KindNoPrompt, `[]`: KindBadFile, `{"1": 5}`: KindBadFile, `{"1": {"inputs": []}}`: KindBadFile, `{"1": {"class_type": 5}}`: KindBadFile,
		`{"1": {}, "1": {}}`: KindDuplicateID, `{"a": NaN}`: KindBadFile, "\xff\xfe{\x00}\x00": KindBadFile, `{"1": {"class_type": "a"}} x`: KindBadFile,
		strings.Repeat("[", 10<<20): KindBadFile, `{"1": {"class_type": "x", "inputs": {"a": ` + strings.Repeat("[", 5<<20) + strings.Repeat("]", 5<<20) + `}}}`: KindBadFile,
	} {
		_, err := ParsePrompt([]byte(text))
		if e, ok := err.(*Error); !ok || e.Kind != want {
			t.Errorf("%s: %v", short([]byte(text)), err)
		}
	}
}

func FuzzRun(f *testing.F) {
	f.Add([]byte(diamond))
	f.Add([]byte(`{"1": {"class_type": "Seed", "inputs": {"seed": 1e400, "method": {"__value__": ["1", 0]}, "either": ["1", 0]}}}`))
	f.Add([]byte(`{"1": {"class_type": "Switch", "inputs": {"a": ["1", 0]}}, "2": {"class_type": "Show", "inputs": {"value": ["1", -1]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePrompt(data)
		if err != nil {
			return
		}
		var log []string
		l := toys(&log)
		delete(l, "Wait")
		delete(l, "Range") // of a million values
		l["Seed"] = Compile[seedNode](Meta{Name: "Seed", Output: true})
		r, err := Run(t.Context(), p, Options{Nodes: l, Partial: true})
		if err == nil && len(r.UI) == 0 {
			t.Errorf("a run without outputs: %+v", r)
		}
		if v, ok := err.(*ValidationError); ok && v.Error() == "" {
			t.Errorf("an error that says nothing: %+v", v)
		}
	})
}

// TestParsePromptReads compares the scanner with encoding/json.
func TestParsePromptReads(t *testing.T) {
	const text = "\uFEFF" + `{"a\u0041": {"inputs": {"x": [ "1" , 0 ], "y": {"k": [1.50, -2e+3, "q\"\\", {}], "k": 7}, "x": null, "é\ud83d": "\ud83d\ude00 <&>"},
		"_meta": {"title": "T", "more": [1]}, "class_type": "C", "is_changed": [NaN], "other": {"deep": [[[]]]}}, "2": {"inputs": null, "class_type": "C", "_meta": 5}}`
	p, err := ParsePrompt([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(p)
	const want = `{"aA":{"inputs":{"x":null,"y":{"k":7},"é�":"😀 \u003c\u0026\u003e"},"class_type":"C","_meta":{"title":"T","more":[1]}},"2":{"inputs":{},"class_type":"C","_meta":5}}`
	if err != nil || string(got) != want || p.Nodes["aA"].Title != "T" {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	var many strings.Builder
	many.WriteString(`{"1": {"class_type": "C", "inputs": {"a": 0`)
	for i := range 40 {
		fmt.Fprintf(&many, `, "i%d": %d, "a": %d`, i%30, i, i)
	}
	p, err = ParsePrompt([]byte(many.String() + `}}}`))
	if err != nil || len(p.Nodes["1"].Inputs) != 31 {
		t.Fatalf("%v, %+v", err, p)
	}
	if v, _ := p.Nodes["1"].Input("i9"); v != json.Number("39") {
		t.Errorf("i9 is %v", v)
	}
}

func FuzzParsePrompt(f *testing.F) {
	f.Add([]byte(diamond))
	f.Add([]byte(`{"1": {"class_type": "A", "inputs": {"a": ["2", 0], "b": {"__value__": [1, -2.5e3, "\u00e9"]}, "c": NaN}, "_meta": {"title": "t"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePrompt(data)
		var want map[string]struct {
			Class  any            `json:"class_type"`
			Inputs map[string]any `json:"inputs"`
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if d.Decode(&want) != nil || err != nil {
			return
		}
		for id, n := range want {
			have := p.Nodes[id]
			if have == nil || len(have.Inputs) != len(n.Inputs) {
				t.Fatalf("%q: node %q: %+v, want %+v", data, id, have, n)
			}
			for name, v := range n.Inputs {
				if x, ok := have.Input(name); !ok || !reflect.DeepEqual(x, v) {
					t.Errorf("%q: input %q: %v, want %v", data, name, x, v)
				}
			}
		}
	})
}

// TestManyFaults has many outputs behind many faults: every faulty node is told with an output that needs it, in steps
// that do not grow with the product of both.
func TestManyFaults(t *testing.T) {
	const n = 4000
	var text strings.Builder
	text.WriteString(`{"0": {"class_type": "Sum", "inputs": {"b": 1}}`)
	for i := 1; i < n; i++ { // a chain of faulty nodes, each shown
		fmt.Fprintf(&text, `, "%d": {"class_type": "Sum", "inputs": {"a": ["%d", 0], "b": "x"}}, "s%d": {"class_type": "Show", "inputs": {"value": ["%d", 0]}}`, i, i-1, i, i)
	}
	var log []string
	outputs, problems := Validate(mustParse(t, text.String()+"}"), toys(&log), nil, nil)
	if len(outputs) > 0 || problems == nil || len(problems.Nodes) != n {
		t.Fatalf("%d outputs, %d problems", len(outputs), len(problems.Nodes))
	}
	for _, p := range problems.Nodes {
		if len(p.Outputs) == 0 || p.Outputs[0] == "" {
			t.Fatalf("node %s is told without an output", p.ID)
		}
	}
	// All classes unknown: the first ones are told with names like theirs.
	_, problems = Validate(mustParse(t, strings.ReplaceAll(text.String(), `"Sum"`, `"Som"`)+"}"), toys(&log), nil, nil)
	if len(problems.Whole) != MostNear+1 || !strings.Contains(problems.Whole[0].Hint, "Sum") {
		t.Errorf("%d errors: %v", len(problems.Whole), problems.Whole[0])
	}
}

// judged is a node whose own check takes a and b, or judges the types of its links.
type judged struct {
	A Any `checked:"true" types:"INT,FLOAT"`
	B Any `checked:"true" types:"INT,FLOAT"`
	C int
}

func (judged) Run(*Call) (UI, error) { return UI{}, nil }

func (n judged) Validate() error {
	if n.A.Value == n.B.Value && n.A.Value != nil {
		return fmt.Errorf("equal")
	}
	return nil
}

// typedNode takes any links: its check judges them.
type typedNode struct {
	A Any `types:"INT,FLOAT"`
	B int
}

func (typedNode) Run(*Call) (UI, error) { return UI{}, nil }

func (typedNode) ValidateTypes(types map[string]string) error {
	if types["a"] == "STRING" {
		return fmt.Errorf("a is STRING")
	}
	return nil
}

func TestOwnChecks(t *testing.T) {
	var log []string
	l := toys(&log)
	l["Judged"] = Compile[judged](Meta{Name: "Judged", Output: true})
	l["Typed"] = Compile[typedNode](Meta{Name: "Typed", Output: true})
	for _, c := range []struct{ class, inputs, want string }{
		{"Judged", `"a": 1, "b": 2, "c": 3`, ``},
		{"Judged", `"a": 1, "b": 1, "c": 3`, `custom_validation_failed a - equal; custom_validation_failed b - equal`},
		{"Judged", `"a": 1, "b": 1, "c": "x"`, `invalid_input_type c, x, invalid literal for int() with base 10: 'x'; custom_validation_failed a - equal; custom_validation_failed b - equal`},
		{"Judged", `"a": ["j", 0], "b": 1, "c": 3`, `return_type_mismatch a, received_type(STRING) mismatch input_type(INT,FLOAT)`},
		{"Typed", `"a": ["j", 0], "b": 1`, `custom_validation_failed input_types - a is STRING`},
		{"Typed", `"a": ["n", 0], "b": ["j", 0]`, ``},
		{"Typed", `"a": ["j", 7], "b": 1`, `exception_during_validation tuple index out of range`},
		{"Typed", `"a": [{}, 0], "b": 1`, `exception_during_validation unhashable type: 'dict'`},
		{"Typed", `"a": ["n", "0"], "b": 1`, `exception_during_validation tuple indices must be integers or slices, not str`},
		{"Typed", `"a": [null, 0], "b": 1`, `exception_during_validation None`},
	} {
		p := mustParse(t, `{"j": {"class_type": "Join", "inputs": {"items": ["n", 0], "sep": ""}}, "n": {"class_type": "Number", "inputs": {"value": 1}}, "1": {"class_type": "`+c.class+`", "inputs": {`+c.inputs+`}}}`)
		_, problems := Validate(p, l, nil, nil)
		var have []string
		if problems != nil {
			for _, e := range problems.NodeErrors()["1"].(map[string]any)["errors"].([]map[string]any) {
				have = append(have, fmt.Sprint(e["type"], " ", e["details"]))
			}
		}
		if got := strings.Join(have, "; "); got != c.want {
			t.Errorf("%s %s:\nhave %s\nwant %s", c.class, c.inputs, got, c.want)
		}
	}
}
