package workflow

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"graphrun/internal/golden"
)

// reference reads JSON as encoding/json does.
func reference(data []byte) (tree any, err error) {
	if !json.Valid(data) {
		return nil, json.Unmarshal(data, &tree)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	err = d.Decode(&tree)
	return tree, err
}

// parseJSON reads JSON as a file is read.
func parseJSON(data []byte) (tree any, text string, err error) {
	w := newWalker(string(data))
	tree = w.value()
	text, err = w.end()
	return tree, text, err
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		``, ` {"a": [1, -0.5e+3, true, false, null, "x\n\u00e9\ud83d\ude00"], "": {}, "a": []} `, `[NaN, -Infinity, Infinity]`, `01`, `1.`, `-`, `"\x"`,
		`{"a" 1}`, `[1,]`, `{,}`, "\"\xff\"", "\"\x01\"", `nul`, `[1 2]`, `"\ud800"`, `18446744073709551616`, `{"a":1,}`, `"a`, `"\`, `[[[[`, someWorkflow, somePrompt,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tree, text, err := parseJSON(data)
		want, wrong := reference(data)
		if strings.Contains(string(data), "NaN") || strings.Contains(string(data), "Infinity") {
			if err != nil {
				return
			}
			if want, wrong = reference([]byte(text)); wrong != nil {
				t.Fatalf("%q is read as %q: %v", data, text, wrong)
			}
		}
		if (err == nil) != (wrong == nil) {
			t.Fatalf("%q: %v, want %v", data, err, wrong)
		}
		if err != nil {
			return
		}
		if !reflect.DeepEqual(tree, want) {
			t.Fatalf("%q: %#v, want %#v", data, tree, want)
		}
		again, err := reference(rewrite(text, tree))
		if err != nil || !reflect.DeepEqual(again, tree) {
			t.Fatalf("%q is rewritten as %q: %v", data, rewrite(text, tree), err)
		}
		if again, err = reference(rewrite(text, map[string]any{"new": tree})); err != nil || !reflect.DeepEqual(again, map[string]any{"new": tree}) {
			t.Fatalf("%q with a new key: %v", data, err)
		}
	})
}

func TestNaN(t *testing.T) {
	tree, text, err := parseJSON([]byte(`{"a": NaN, "NaN": "NaN, Infinity", "b": [-Infinity, Infinity]}`))
	if err != nil || text != `{"a": null, "NaN": "NaN, Infinity", "b": [null, null]}` {
		t.Errorf("%v, %s, %v", tree, text, err)
	}
}

func TestRewrite(t *testing.T) {
	const text = `{"z": 1.50, "a" : [1e2, "\u00e9\ud800", {"k": null}], "n": 18446744073709551617, "gone": {"x": [1]}, "z": 1.50}`
	for _, c := range []struct {
		change func(o map[string]any)
		want   string
	}{
		{func(map[string]any) {}, `{"z":1.50,"a":[1e2,"\u00e9\ud800",{"k":null}],"n":18446744073709551617,"gone":{"x":[1]}}`},
		{func(o map[string]any) {
			o["z"] = int64(3)
			list(o["a"])[1] = "<b>"
			delete(o, "gone")
			o["new"], o["also"] = true, map[string]any{"x": 1.5}
		}, `{"z":3,"a":[1e2,"<b>",{"k":null}],"n":18446744073709551617,"also":{"x":1.5},"new":true}`},
		{func(o map[string]any) { o["a"] = append(list(o["a"]), json.Number("7")) }, `{"z":1.50,"a":[1e2,"\u00e9\ud800",{"k":null},7],"n":18446744073709551617,"gone":{"x":[1]}}`},
		{func(o map[string]any) { o["a"] = list(o["a"])[:1] }, `{"z":1.50,"a":[1e2],"n":18446744073709551617,"gone":{"x":[1]}}`},
		{func(o map[string]any) { o["a"], o["gone"] = "text", []any{} }, `{"z":1.50,"a":"text","n":18446744073709551617,"gone":[]}`},
	} {
		tree, text, err := parseJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		c.change(object(tree))
		if got := string(rewrite(text, tree)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// Every file of the golden pairs is written back as it was: keys, their order, and numbers as they are spelt, also when
// a value has been set and set back.
func TestGoldenWriteBack(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(golden.Dir(t), "workflows", "pairs", "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no pairs", err)
	}
	written := 0
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		if json.Compact(&want, data) != nil {
			continue
		}
		f, err := Parse(data)
		if err != nil {
			continue // meta.json, and pairs that are no workflow
		}
		written++
		for i, text := range []json.RawMessage{f.Document(), rewrite(string(f.Document()), tree(t, f))} {
			var got bytes.Buffer
			if err := json.Compact(&got, text); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Errorf("%s, way %d: %v", name, i, err)
			}
		}
	}
	if written < len(files)/2 {
		t.Errorf("only %d of %d files read", written, len(files))
	}
	t.Logf("%d files written back", written)
}

func tree(t *testing.T, f *File) any {
	tree, _, err := parseJSON(f.Document())
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// What Set changes is all that changes in a prompt that is written back.
func TestSetInDocument(t *testing.T) {
	f, err := Parse([]byte(`{"9": {"is_changed": 1.50, "class_type": "Loader", "inputs": {"name": "a.safetensors", "own": [1e3]}, "_meta": {"x": NaN}}}`))
	if err == nil {
		err = f.Set("9.name=b.safetensors")
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Prompt(Options{Nodes: testNodes(t)}); err != nil {
		t.Fatal(err)
	}
	if got, want := string(f.Document()), `{"9":{"is_changed":1.50,"class_type":"Loader","inputs":{"name":"b.safetensors","own":[1e3]},"_meta":{"x":null}}}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The walker passes over the texts that it reads, and reads of them what encoding/json reads.
func FuzzWalker(f *testing.F) {
	for _, seed := range []string{` {"a": [1, -0.5e+3, true, false, null, "x\n\u00e9\ud83d\ude00\ud800\ud800\u0041"], "\"": {}, "a": [[], {"\\": "\\"}]} `, `"\/\b\f\r\t\udc00"`, `[1 ,2	]`, someWorkflow, somePrompt, `{"nodes": []}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		passed := newWalker(string(data))
		passed.skip()
		_, unread := passed.end()
		tree, text, err := parseJSON(data)
		if (unread == nil) != (err == nil) {
			t.Fatalf("%q is passed over (%v), or read (%v)", data, unread, err)
		}
		if err != nil {
			return
		}
		want, err := reference([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if !reflect.DeepEqual(tree, want) {
			t.Fatalf("%q: %#v, want %#v", text, tree, want)
		}
	})
}
