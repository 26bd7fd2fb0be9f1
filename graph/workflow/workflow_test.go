package workflow

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"graphrun/graph"
	"graphrun/graph/workflow/container"
)

func testNodes(t testing.TB) graph.Library {
	data, err := os.ReadFile("testdata/object_info.json")
	if err != nil {
		t.Fatal(err)
	}
	l, err := graph.ParseObjectInfo(data)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var now = time.Date(2025, 2, 3, 4, 5, 6, 0, time.UTC)

func TestConvert(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/convert.txtar")
	if err != nil {
		t.Fatal(err)
	}
	nodes := testNodes(t)
	for i := 0; i < len(archive.Files); i += 2 {
		ui, want := archive.Files[i], archive.Files[i+1]
		name := strings.TrimSuffix(ui.Name, ".ui")
		t.Run(name, func(t *testing.T) {
			f, err := Parse(ui.Data)
			var p *graph.Prompt
			if err == nil {
				p, err = f.Prompt(Options{Nodes: nodes, Now: now})
			}
			if want.Name == name+".error" {
				var e *graph.Error
				if !errors.As(err, &e) || !strings.Contains(err.Error(), strings.TrimSpace(string(want.Data))) {
					t.Fatalf("error %v, want %s", err, want.Data)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var compact bytes.Buffer // order counts, too
			if err := json.Compact(&compact, want.Data); err != nil || want.Name != name+".prompt" {
				t.Fatalf("%s: %v", want.Name, err)
			}
			if got, _ := json.Marshal(p); string(got) != compact.String() {
				t.Errorf("got\n%s\nwant\n%s", got, &compact)
			}
		})
	}
}

// Reroutes in a row before as many readers are walked once.
func TestLongReroutes(t *testing.T) {
	const n = 30000
	var b strings.Builder
	b.WriteString(`{"links": [[0, "src", 0, 0, 0, "*"]`)
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, `, [%d, %d, 0, 0, 0, "*"]`, i, i)
	}
	b.WriteString(`], "nodes": [{"id": "src", "type": "Loader"}`)
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, `, {"id": %d, "type": "Reroute", "inputs": [{"link": %d}]}, {"id": "e%d", "type": "Encode", "inputs": [{"name": "clip", "link": %d}]}`, i, i-1, i, n)
	}
	b.WriteString("]}")
	begin := time.Now()
	f, err := Parse([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.Prompt(Options{Nodes: testNodes(t)})
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := p.Nodes["e77"].Input("clip"); !reflect.DeepEqual(v, graph.Link("src", 0)) {
		t.Errorf("link %v", v)
	}
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "have nothing",
		"hello":                             "need JSON",
		"[1]":                               "JSON of another kind",
		`{"a": 1}`:                          "a prompt (an object of nodes with class_type)",
		`{"1": {"class_type": "A"}} x`:      "more text after the JSON value",
		`{"1": {"class_type": nan}}`:        "invalid character",
		"\xff\xfe{\x00":                     "UTF-16",
		strings.Repeat("[", 10<<20):         "max depth",
		strings.Repeat(`{"nodes":[`, 1<<20): "max depth",
		"[" + strings.Repeat("[],", 1<<22):  "objects and lists",
	} {
		_, err := Parse([]byte(text))
		var e *graph.Error
		if !errors.As(err, &e) || e.Kind != graph.KindBadFile || !strings.Contains(err.Error(), want) || len(err.Error()) > 500 {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
	f, err := Parse([]byte("\uFEFF" + `{"1": {"class_type": "Loader", "inputs": {"name": "b.safetensors"}}}`))
	if err != nil || f.IsUI() {
		t.Fatalf("with a byte order mark: %v", err)
	}
	if _, err := Parse([]byte(`{"1": {"class_type": "A"}, "1": {"class_type": "B"}}`)); err != nil {
		t.Fatal(err) // Parse tells the form only; Prompt reads it
	}
}

func TestSet(t *testing.T) {
	const api = `{"1": {"class_type": "Loader", "inputs": {"name": "a.safetensors"}, "_meta": {"title": "v1.5 model"}},
		"2": {"class_type": "Encode", "inputs": {"text": "old", "clip": ["1", 1]}, "_meta": {"title": "Positive"}},
		"3": {"class_type": "Encode", "inputs": {"text": "bad", "clip": ["1", 1]}},
		"4": {"class_type": "Sampler", "inputs": {"seed": 18446744073709551615, "steps": 10, "cfg": 7.5, "name": "euler"}}}`
	for _, c := range []struct{ set, id, input, want string }{
		{"4.steps=30", "4", "steps", `30`},
		{"Sampler.steps=30", "4", "steps", `30`},
		{"Sampler.steps==value*2+1", "4", "steps", `21`},
		{"Sampler.cfg==value/2", "4", "cfg", `3.75`},
		{"Sampler.seed==value", "4", "seed", `18446744073709551615`},
		{"Sampler.name=heun", "4", "name", `"heun"`},
		{"Positive.text=a cat = nice", "2", "text", `"a cat = nice"`},
		{"Positive.text=12", "2", "text", `"12"`},
		{`Positive.text==value + " and new"`, "2", "text", `"old and new"`},
		{`Positive.text==node("Sampler").steps`, "2", "text", `"10"`},
		{`4.cfg==steps * 2`, "4", "cfg", `20`},
		{`4.steps==value / 2`, "4", "steps", `5`},
		{`4.steps==round(cfg * node("4").cfg)`, "4", "steps", `56`},
		{`4.seed==value - 1`, "4", "seed", `18446744073709551614`},
		{`Positive.text==node("3").text + node("Loader").name`, "2", "text", `"bada.safetensors"`},
		{"v1.5 model.name=b.safetensors", "1", "name", `"b.safetensors"`},
		{`4.model=["1", 0]`, "4", "model", `["1",0]`},
		{"4.steps=true", "4", "steps", `true`},
		{"4.steps=many", "4", "steps", `"many"`}, // for validation to refuse
	} {
		f, err := Parse([]byte(api))
		if err == nil {
			err = f.Set(c.set)
		}
		if err != nil {
			t.Fatal(c.set, err)
		}
		p, err := f.Prompt(Options{Nodes: testNodes(t)})
		if err != nil {
			t.Errorf("%s: %v", c.set, err)
			continue
		}
		v, _ := p.Nodes[c.id].Input(c.input)
		if got, _ := json.Marshal(v); string(got) != c.want {
			t.Errorf("%s: %s, want %s", c.set, got, c.want)
		}
	}
	for set, want := range map[string]string{
		"steps": "need NODE.INPUT=VALUE", "steps=3": "need NODE.INPUT=VALUE", ".steps=3": "need NODE.INPUT=VALUE", "4.=3": "need NODE.INPUT=VALUE",
		"Encode.text=x":                            "need one node: 2 (Encode) \"Positive\", 3 (Encode); have 2 nodes called Encode",
		"Nobody.text=x":                            "need the id, title or class of one node: 1 (Loader)",
		"4.stepps=3":                               "need one of the inputs model, seed, steps",
		"4.steps==value +":                         "node 4 (Sampler), input steps",
		"4.steps==nothing":                         "unknown name nothing",
		"4.steps==len(1..1000000000)":              "does too much",
		"4.steps==map(1..900, {map(1..900, {#})})": "does too much",
		"4.steps==now()":                           "unknown name now",
		"4.steps==value / 3":                       "need a whole number",
		"4.steps==[1]":                             "the expression gives a list",
		"4.steps==nothing ?? 1":                    "the variables here are seed, steps, cfg, name, value",
		`4.steps==node("5").seed`:                  "have 5",
		`4.steps==node("4").sed`:                   "it has cfg, name, seed, steps",
		`4.steps==node("2").clip`:                  "it has text",
	} {
		f, _ := Parse([]byte(api))
		err := f.Set(set)
		if err == nil {
			_, err = f.Prompt(Options{Nodes: testNodes(t)})
		}
		var e *graph.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", set, err, want)
		}
	}
}

// A value set on a workflow is in the file names and in the workflow that pictures keep.
func TestSetInWorkflow(t *testing.T) {
	f, err := Parse([]byte(`{"extra": {"mine": 1}, "nodes": [{"id": 3, "type": "Sampler", "widgets_values": [1, "fixed", 2, 3, "heun"]},
		{"id": 4, "type": "SaveImage", "widgets_values": ["%Sampler.seed%"]}], "links": []}`))
	if err == nil {
		err = f.Set("Sampler.seed=77")
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.Prompt(Options{Nodes: testNodes(t)})
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := p.Nodes["4"].Input("filename_prefix"); v != "77" {
		t.Errorf("prefix %v", v)
	}
	if err := f.Set("Sampler.steps==value+1"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second prompt starts from the file again
		p, err := f.Prompt(Options{Nodes: testNodes(t)})
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := p.Nodes["3"].Input("steps"); v != int64(3) {
			t.Errorf("steps %v, want 3", v)
		}
	}
	var saved struct {
		Extra map[string]int
		Nodes []struct {
			Values []any `json:"widgets_values"`
		}
	}
	if err := json.Unmarshal(f.Workflow(), &saved); err != nil || saved.Nodes[0].Values[0] != 77.0 || saved.Nodes[0].Values[2] != 3.0 || saved.Extra["mine"] != 1 {
		t.Errorf("workflow %+v, %v", saved, err)
	}
}

// Of a picture with both forms the prompt runs, and the workflow that is kept still has the value.
func TestSetInPNG(t *testing.T) {
	f, err := Parse(png(chunk("tEXt", []byte("workflow\x00"+someWorkflow)), chunk("tEXt", []byte("prompt\x00"+somePrompt))))
	if err == nil {
		err = f.Set("1.name=b.safetensors")
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Prompt(Options{Nodes: testNodes(t)}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(f.Workflow()), `["b.safetensors"]`) {
		t.Errorf("workflow %s", f.Workflow())
	}
}

func TestDynamicPrompts(t *testing.T) {
	for text, want := range map[string]string{
		"a {b|c} d": "a b d", "{x}": "x", "{a|{b|c}}": "a", "{|b}": "", "a } b": "a } b", `\{a|b\}`: "{a|b}", "{a|b": "a",
		"a /* c\nd */ b": "a  b", "http://x\ny": "http:\ny", "no braces": "no braces",
	} {
		if got := expandDynamic(text, func(int) int { return 0 }); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := expandDynamic("{a|{b|c}} {d|e}", func(n int) int { return n - 1 }); got != "c e" {
		t.Errorf("the last of each: %q", got)
	}
	expandDynamic(strings.Repeat("{a|", 1<<20), func(int) int { return 0 })
}

const pngSignature = "\x89PNG\r\n\x1a\n"

// chunk builds a PNG chunk.
func chunk(kind string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(append(b, kind...), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

func pack(text []byte) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	z.Write(text)
	z.Close()
	return b.Bytes()
}

func png(chunks ...[]byte) []byte {
	return slices.Concat([]byte(pngSignature), chunk("IHDR", make([]byte, 13)), slices.Concat(chunks...), chunk("IEND", nil))
}

const (
	somePrompt   = `{"1": {"class_type": "Loader", "inputs": {"name": "é"}}}`
	someWorkflow = `{"nodes": [{"id": 1, "type": "Loader", "widgets_values": ["é"]}], "links": []}`
)

func TestPNG(t *testing.T) {
	for name, data := range map[string][]byte{
		"tEXt":         png(chunk("tEXt", []byte("prompt\x00"+somePrompt))),
		"latin-1":      png(chunk("tEXt", []byte("prompt\x00"+strings.Replace(somePrompt, "é", "\xe9", 1)))),
		"comf":         png(chunk("IDAT", nil), chunk("comf", []byte("prompt\x00"+somePrompt))),
		"zTXt":         png(chunk("zTXt", append([]byte("prompt\x00\x00"), pack([]byte(somePrompt))...))),
		"iTXt":         png(chunk("iTXt", []byte("prompt\x00\x00\x00en\x00word\x00"+somePrompt))),
		"packed iTXt":  png(chunk("iTXt", append([]byte("prompt\x00\x01\x00\x00\x00"), pack([]byte(somePrompt))...))),
		"workflow":     png(chunk("tEXt", []byte("workflow\x00"+someWorkflow))),
		"both":         png(chunk("tEXt", []byte("workflow\x00"+someWorkflow)), chunk("tEXt", []byte("prompt\x00"+somePrompt))),
		"bad prompt":   png(chunk("tEXt", []byte("workflow\x00"+someWorkflow)), chunk("tEXt", []byte("prompt\x00{"))),
		"other texts":  png(chunk("tEXt", []byte("prompt\x00"+somePrompt)), chunk("tEXt", []byte("Software\x00x")), chunk("tEXt", []byte("prompt\x00second"))),
		"no end chunk": slices.Concat([]byte(pngSignature), chunk("tEXt", []byte("prompt\x00"+somePrompt))),
	} {
		f, err := Parse(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := f.Prompt(Options{Nodes: testNodes(t)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if v, _ := p.Nodes["1"].Input("name"); v != "é" {
			t.Errorf("%s: %v", name, v)
		}
		if (f.Workflow() != nil) != bytes.Contains(data, []byte("workflow")) {
			t.Errorf("%s: workflow %s", name, f.Workflow())
		}
	}
	damaged := png(chunk("tEXt", []byte("prompt\x00"+somePrompt)))
	damaged[60] ^= 1
	bomb := pack(make([]byte, container.MaxText+1))
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"no texts":  {png(), "a PNG file without"},
		"checksum":  {damaged, "checksum"},
		"truncated": {png(chunk("tEXt", []byte("prompt\x00"+somePrompt)))[:80], "ends within"},
		"length":    {slices.Concat([]byte(pngSignature), []byte("\xff\xff\xff\xfftEXt"), make([]byte, 40)), "need at most 64 MB, have 4095 MB"},
		"bomb":      {png(chunk("zTXt", append([]byte("prompt\x00\x00"), bomb...))), "unpacks to more than 64 MB"},
		"method":    {png(chunk("zTXt", []byte("prompt\x00\x07"))), "method 0"},
		"no zlib":   {png(chunk("zTXt", []byte("prompt\x00\x00hello"))), "zlib"},
		"short":     {png(chunk("iTXt", []byte("prompt\x00\x00"))), "EOF"},
		"no key":    {png(chunk("tEXt", []byte("prompt"))), "no keyword"},
		"no JSON":   {png(chunk("tEXt", []byte("prompt\x00hello"))), "need JSON"},
	} {
		_, err := Parse(c.data)
		var e *graph.Error
		if !errors.As(err, &e) || e.Kind != graph.KindBadFile || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	archive, err := txtar.ParseFile("testdata/convert.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range archive.Files {
		f.Add(file.Data)
	}
	f.Add([]byte(somePrompt))
	nodes := testNodes(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		p, err := file.Prompt(Options{Nodes: nodes, Now: now})
		if err != nil {
			var e *graph.Error
			if !errors.As(err, &e) {
				t.Errorf("an untyped error: %v", err)
			}
			return
		}
		for _, n := range p.Nodes { // a converted link leads to a node
			for _, in := range n.Inputs {
				if l := list(in.Value); file.IsUI() && len(l) == 2 && p.Nodes[ident(l[0])] == nil {
					t.Errorf("link to nowhere: %v", in)
				}
			}
		}
		graph.Validate(p, nodes, nil, nil)
	})
}

func FuzzPNG(f *testing.F) {
	f.Add(chunk("tEXt", []byte("prompt\x00"+somePrompt)))
	f.Add(chunk("zTXt", append([]byte("prompt\x00\x00"), pack([]byte(somePrompt))...)))
	f.Add(chunk("iTXt", append([]byte("workflow\x00\x01\x00\x00\x00"), pack([]byte(someWorkflow))...)))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(append([]byte(pngSignature), data...))
		if err == nil && file.prompt == nil && file.uiText == "" {
			t.Error("neither a file nor an error")
		}
	})
}

// parseInfo is the library of an /object_info document.
func parseInfo(t testing.TB, document string) graph.Library {
	l, err := graph.ParseObjectInfo([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return l
}
