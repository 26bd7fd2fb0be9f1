package logic

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"graphrun/graph"
	"graphrun/graph/python"
	"graphrun/internal/golden"
	"graphrun/runtime/hub"
)

// answer is what ComfyUI gave: a list of outputs, or the class of an error.
type answer struct {
	outputs []any
	class   string
}

func (a *answer) UnmarshalJSON(text []byte) error {
	v, err := python.Loads(string(text))
	if list, ok := v.([]any); ok {
		a.outputs = list
	} else if o, ok := v.(python.Dict); ok {
		class, _ := o.Get("error")
		a.class = python.Str(class)
	}
	return err
}

// check compares outputs, or the class of the error.
func (a answer) check(t *testing.T, what string, err error, outputs ...any) {
	t.Helper()
	if a.class != "" {
		var e *python.Error
		if err == nil || errors.As(err, &e) && e.Class != a.class {
			t.Errorf("%s: have %v, %v; want %s", what, outputs, err, a.class)
		}
		return
	}
	if err != nil || len(outputs) != len(a.outputs) {
		t.Errorf("%s: have %v, %v; want %v", what, outputs, err, a.outputs)
		return
	}
	for i, want := range a.outputs {
		have := outputs[i]
		f, isFloat := python.Plain(have).(float64)
		g, isFloat2 := want.(float64)
		near := isFloat && isFloat2 && math.Abs(f-g) <= 1e-15*math.Abs(g)
		if !near && python.Repr(have) != python.Repr(want) {
			t.Errorf("%s: output %d: have %s, want %s", what, i, python.Repr(have), python.Repr(want))
		}
	}
}

// newerCases decodes one key of what ComfyUI 0.33 answered.
func newerCases(t *testing.T, key string) [][]json.RawMessage {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(golden.Dir(t), "newer", "golden_newer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]json.RawMessage
	var cases [][]json.RawMessage
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc[key], &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%s: %d cases, %v", key, len(cases), err)
	}
	t.Logf("%s: %d cases", key, len(cases))
	return cases
}

func decode[T any](t *testing.T, text json.RawMessage) (v T) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func value(t *testing.T, text json.RawMessage) any {
	t.Helper()
	v, err := python.Loads(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func letters(t *testing.T, text json.RawMessage) (list graph.Autogrow[graph.Any]) {
	for name, v := range value(t, text).(python.Dict).Pairs() {
		list = append(list, graph.Item[graph.Any]{Name: name, Value: graph.Any{Value: v}})
	}
	return list
}

func TestGoldenNewer(t *testing.T) {
	for _, c := range newerCases(t, "ComfyMathExpression") {
		out, err := ComfyMathExpression{Expression: decode[string](t, c[0]), Values: letters(t, c[1])}.Run(nil)
		decode[answer](t, c[2]).check(t, string(c[0]), err, out.Float, out.Int.Value, out.Bool)
	}
	for _, c := range newerCases(t, "ComfyNumberConvert") {
		out, err := ComfyNumberConvert{graph.Any{Value: value(t, c[0])}}.Run(nil)
		decode[answer](t, c[1]).check(t, string(c[0]), err, out.Float, out.Int.Value)
	}
	for _, c := range newerCases(t, "ResolutionSelector") {
		out, err := ResolutionSelector{decode[aspectRatio](t, c[0]), decode[float64](t, c[1]), decode[int](t, c[2])}.Run(nil)
		decode[answer](t, c[3]).check(t, string(c[0]), err, out.Width, out.Height)
	}
	for _, c := range newerCases(t, "StringFormat") {
		out, err := StringFormat{letters(t, c[1]), decode[string](t, c[0])}.Run(nil)
		decode[answer](t, c[2]).check(t, string(c[0]), err, out)
	}
	for _, c := range newerCases(t, "JsonExtractString") {
		out, err := JsonExtractString{decode[string](t, c[0]), decode[string](t, c[1])}.Run(nil)
		decode[answer](t, c[2]).check(t, string(c[0]), err, out)
	}
	for _, c := range newerCases(t, "ColorToRGBInt") {
		out, err := ColorToRGBInt{decode[color](t, c[0])}.Run(nil)
		decode[answer](t, c[1]).check(t, string(c[0]), err, out.Int, string(out.Hex), out.Alpha)
	}
}

// run runs a prompt of the package's nodes and returns what a node gave.
func run(t *testing.T, prompt, node string) ([]any, error) {
	t.Helper()
	return runIn(t, t.TempDir(), prompt, node)
}

func runIn(t *testing.T, output, prompt, node string) ([]any, error) {
	t.Helper()
	p, err := graph.ParsePrompt([]byte(prompt))
	if err != nil {
		t.Fatal(err)
	}
	l := graph.Registered()
	l["Show"] = &graph.Spec{
		Meta: graph.Meta{Name: "Show", Output: true}, Inputs: []graph.Port{{Name: "v", Type: "*"}}, TakesLists: true,
		Run: func(_ *graph.Call, in []any) (graph.Output, error) {
			return graph.Output{UI: graph.UI{"v": in[0].([]any)}}, nil
		},
	}
	l["Fail"] = &graph.Spec{Meta: graph.Meta{Name: "Fail"}, Outputs: []graph.Port{{Name: "v", Type: "*"}}, Run: func(*graph.Call, []any) (graph.Output, error) {
		return graph.Output{}, errors.New("it ran")
	}}
	env := graph.NewEnv()
	graph.Provide(env, &hub.Folders{Output: output})
	r, err := graph.Run(t.Context(), p, graph.Options{Nodes: l, Env: env})
	if err != nil {
		return nil, err
	}
	return r.UI[node]["v"], nil
}

func TestPrompts(t *testing.T) {
	show := func(class, inputs string, slot int) string {
		return `{"1": {"class_type": "` + class + `", "inputs": {` + inputs + `}}, "s": {"class_type": "Show", "inputs": {"v": ["1", ` + string(rune('0'+slot)) + `]}},
			"f": {"class_type": "Fail"}, "l": {"class_type": "CreateList", "inputs": {"inputs.input0": 1, "inputs.input1": "b"}},
			"box": {"class_type": "PrimitiveBoundingBox", "inputs": {"x": 1, "y": 2, "width": 3, "height": 4}}}`
	}
	for name, c := range map[string]struct {
		class, inputs string
		slot          int
		want          []any
	}{
		"switch on":            {"ComfySwitchNode", `"switch": true, "on_true": 5, "on_false": ["f", 0]`, 0, []any{int64(5)}},
		"switch off":           {"ComfySwitchNode", `"switch": false, "on_true": ["f", 0], "on_false": ["l", 0]`, 0, []any{int64(1), "b"}},
		"switch to nothing":    {"ComfySwitchNode", `"switch": true, "on_false": ["f", 0]`, 0, []any{nil}},
		"and":                  {"ComfyAndNode", `"values.value0": 1, "values.value1": ""`, 0, []any{false}},
		"and of all":           {"ComfyAndNode", `"values.value0": 1, "values.value9": "x"`, 0, []any{true}},
		"or":                   {"ComfyOrNode", `"values.value0": 0, "values.value1": 0.5`, 0, []any{true}},
		"not":                  {"ComfyNotNode", `"value": 0.0`, 0, []any{true}},
		"choice":               {"CustomCombo", `"choice": "Turbo", "index": 2, "option1": "a"`, 1, []any{2}},
		"choice without index": {"CustomCombo", `"choice": "Turbo"`, 0, []any{"Turbo"}},
		"seed":                 {"SeedNode", `"seed": 9223372036854775807`, 0, []any{int64(math.MaxInt64)}},
		"math of a list":       {"ComfyMathExpression", `"expression": "a * 2 if a == 1 else 7", "values.a": ["n", 0]`, 1, []any{int64(2), int64(7)}},
		"format":               {"StringFormat", `"f_string": "{a[width]}x{b!r}", "values.a": ["box", 0], "values.b": "q"`, 0, []any{"3x'q'"}},
		"last item":            {"GetItemFromList", `"list": ["l", 0], "index": -1`, 0, []any{"b"}},
		"array":                {"ConvertArrayToString", `"array": {"__value__": [1, {"b": "é"}]}, "indent": 0`, 0, []any{`[1, {"b": "é"}]`}},
		"ideogram": {
			"ConvertDictionaryToString", `"dictionary": ["j", 0], "indent": 0`, 0,
			[]any{`{"high_level_description": "d", "style_description": {"aesthetics": "a", "lighting": "l", "medium": "m", "art_style": "oil", "color_palette": ["#AABBCC"]}, ` +
				`"compositional_deconstruction": {"background": "", "elements": [{"type": "obj"}]}}`},
		},
		"ideogram without style": {"ConvertDictionaryToString", `"dictionary": ["k", 0], "indent": 0`, 0, []any{`{"compositional_deconstruction": {"background": "b", "elements": []}}`}},
	} {
		prompt := strings.TrimSuffix(show(c.class, c.inputs, c.slot), "}") + `,
			"n": {"class_type": "CreateList", "inputs": {"inputs.input0": 1, "inputs.input1": 2}},
			"j": {"class_type": "BuildJsonPromptIdeogram", "inputs": {"element": {"__value__": [{"type": "obj"}]}, "high_level_description": "d", "background": "", "style": "art_style",
				"style.art_style": "oil", "aesthetics": "a", "lighting": "l", "medium": "m", "color_palette": {"__value__": ["#aabbcc"]}}},
			"k": {"class_type": "BuildJsonPromptIdeogram", "inputs": {"element": {"__value__": []}, "high_level_description": " ", "background": "b", "style": "none",
				"aesthetics": "", "lighting": "", "medium": "", "color_palette": {"__value__": []}}}}`
		got, err := run(t, prompt, "s")
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: have %#v, %v; want %#v", name, got, err, c.want)
		}
	}
	for name, c := range map[string]struct{ class, inputs, want string }{
		"place beyond the list": {"GetItemFromList", `"list": ["l", 0], "index": 2`, "need a place in a list of 2 values; have 2"},
		"unknown name":          {"ComfyMathExpression", `"expression": "a + b", "values.a": 1`, "NameNotDefined: 'b' is not defined"},
		"no values":             {"ComfyMathExpression", `"expression": "1"`, "input values.a: a required input is missing"},
		"colour":                {"ColorToRGBInt", `"color": "red"`, "need #RRGGBB or #RRGGBBAA; have red"},
		"number":                {"ComfyNumberConvert", `"value": "0x10"`, "need a number; have '0x10'"},
		"brace":                 {"StringFormat", `"f_string": "{"`, "input f_string: ValueError: Single '{' encountered in format string"},
	} {
		if _, err := run(t, show(c.class, c.inputs, 0), "s"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: have %v; want %s", name, err, c.want)
		}
	}
}

func TestSaveText(t *testing.T) {
	dir := t.TempDir()
	env := graph.NewEnv()
	graph.Provide(env, &hub.Folders{Output: dir})
	c := &graph.Call{Context: t.Context(), Env: env}
	for i, n := range []SaveText{
		{"plain", "a/t", "txt"},
		{`{"b": 1, "a": ["é", 1.0]}`, "a/t", "json"},
		{`{no json`, "a/t", "json"},
	} {
		out, err := n.Run(c)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"plain", "{\n  \"b\": 1,\n  \"a\": [\n    \"é\",\n    1.0\n  ]\n}", "{no json"}[i]
		name := []string{"t_00001.txt", "t_00002.json", "t_00003.json"}[i]
		file := out.UI["files"][0].(map[string]any)
		if file["filename"] != name || file["subfolder"] != "a" || out.Text != n.Text || out.UI["text"][0] != n.Text {
			t.Errorf("%v: %+v", n, out)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "a", name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := (SaveText{"x", "../../x", "txt"}).Run(c); err == nil {
		t.Error("saved outside the output folder")
	}
}
