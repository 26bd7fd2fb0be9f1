package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"graphrun/graph"
	"graphrun/internal/golden"
)

// ui is a workflow of these nodes, links and subgraphs.
func ui(nodes, links, definitions string) string {
	return `{"nodes":[` + nodes + `],"links":[` + links + `],"definitions":{"subgraphs":[` + definitions + `]}}`
}

// repeat joins n texts, each made of its number.
func repeat(n int, format string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.ReplaceAll(format, "%", fmt.Sprint(i)))
	}
	return b.String()
}

// chain are definitions d0 ... each of which holds so many of the next.
func chain(depth, times int) string {
	var defs []string
	for i := range depth {
		defs = append(defs, fmt.Sprintf(`{"id":"d%d","nodes":[%s]}`, i, strings.ReplaceAll(repeat(times, `{"id":%,"type":"NEXT"}`), "NEXT", fmt.Sprintf("d%d", i+1))))
	}
	return strings.Join(append(defs, fmt.Sprintf(`{"id":"d%d","nodes":[{"id":1,"type":"Loader"}]}`, depth)), ",")
}

// ring are n links, each from the reroute after its own.
func ring(n int) string {
	links := make([]string, n)
	for i := range links {
		links[i] = fmt.Sprintf(`["l%d","r%d",0,0,0,"*"]`, i, (i+1)%n)
	}
	return strings.Join(links, ",")
}

// What a file can do wrong ends in an error of its kind or in a prompt, soon and with bounded memory.
func TestHostile(t *testing.T) {
	const encode = `{"id":1,"type":"Encode","inputs":[{"name":"clip","link":1}]}`
	for name, c := range map[string]struct{ ui, want string }{
		"100,000 nested subgraphs":   {ui(`{"id":1,"type":"d0"}`, "", chain(100000, 1)), "nested up to 1000 deep; have 100001"},
		"1000 nested subgraphs":      {ui(`{"id":1,"type":"d0"}`, "", chain(999, 1)), ""},
		"subgraphs that multiply":    {ui(`{"id":1,"type":"d0"}`, "", chain(60, 2)), "at most some million nodes"},
		"a subgraph in itself":       {ui(`{"id":1,"type":"a"}`, "", `{"id":"a","nodes":[{"id":2,"type":"a"}]}`), "in itself"},
		"its own output":             {ui(`{"id":1,"type":"a","inputs":[{"name":"x","link":1}]},`+strings.Replace(encode, `"id":1`, `"id":2`, 1), `[1,1,0,2,0,"*"]`, `{"id":"a","inputs":[{"name":"x"}],"outputs":[{"name":"y","linkIds":[1]}],"nodes":[],"links":[{"id":1,"origin_id":-10,"origin_slot":0,"target_id":-20,"target_slot":0}]}`), "cycle"},
		"a bypassed self link":       {ui(`{"id":2,"type":"Lora","mode":4,"inputs":[{"name":"clip","type":"CLIP","link":1}]},`+encode, `[1,2,1,1,0,"CLIP"]`, ""), "cycle"},
		"a self link":                {ui(encode, `[1,1,0,1,0,"CLIP"]`, ""), ""},
		"a link to an absent slot":   {ui(encode+`,{"id":2,"type":"Lora","mode":4}`, `[1,2,-7,1,0,"CLIP"]`, ""), ""},
		"an absent subgraph output":  {ui(encode+`,{"id":2,"type":"a"}`, `[1,2,99999999,1,0,"CLIP"]`, `{"id":"a","nodes":[]}`), ""},
		"an absent subgraph input":   {ui(`{"id":2,"type":"a"}`, "", `{"id":"a","nodes":[`+encode+`],"links":[[1,-10,-3,1,0,"CLIP"]]}`), ""},
		"ids of any type":            {ui(`{"id":1.5,"type":"Loader"},{"id":-3,"type":"Loader"},{"id":true,"type":"Loader"},{"id":"a:b","type":"Loader"},{"id":1e400,"type":"Loader"},{"id":"__proto__","type":"Loader"}`, "", ""), ""},
		"an id that is none":         {ui(`{"id":{},"type":"Loader"}`, "", ""), "need an id and a type"},
		"an id of null":              {ui(`{"id":null,"type":"Loader"}`, "", ""), "need an id and a type"},
		"a null node in a subgraph":  {ui(`{"id":1,"type":"a"}`, "", `{"id":"a","name":"A","nodes":[null]}`), `nodes[0] of the subgraph "A" is none`},
		"the same id often":          {ui(strings.TrimSuffix(strings.Repeat(`{"id":1,"type":"Loader"},`, 50000), ","), "", ""), ""},
		"an id as another expands":   {ui(`{"id":1,"type":"a"},{"id":"1:2","type":"Loader"}`, "", `{"id":"a","nodes":[{"id":2,"type":"Loader"}]}`), "two nodes have one id"},
		"null and other wrong kinds": {ui(`{"id":1,"type":"Sampler","inputs":[null,1,"x",{"name":7,"type":[],"link":{}}],"outputs":{},"properties":[],"mode":"2x","title":{},"widgets_values":7}`, `null,[1],{},"x",[null,null,null,null,null]`, `null,7,{"id":"a","nodes":{},"links":7,"inputs":[null],"outputs":"x"}`), ""},
		"values of wrong kinds":      {ui(`{"id":1,"type":"Sampler","widgets_values":[{},[],null,true,{"filename":1}]},{"id":2,"type":"Loader","widgets_values":"abc"},{"id":3,"type":"Encode","widgets_values":[[1,[2,null],{"a":1}]]}`, "", ""), ""},
		"numbers that JSON lacks":    {ui(`{"id":1,"type":"Sampler","widgets_values":[NaN,"fixed",Infinity,-Infinity]}`, "", ""), ""},
		"reroutes in a ring":         {ui(repeat(5000, `{"id":"r%","type":"Reroute","inputs":[{"link":"l%"}]}`)+","+strings.Replace(encode, `"link":1`, `"link":"l0"`, 1), ring(5000), ""), "cycle"},
		"many slots of one name":     {ui(`{"id":1,"type":"Sampler","inputs":[`+repeat(100000, `{"name":"model","link":%}`)+`]},{"id":2,"type":"Loader"}`, repeat(100000, `[%,2,0,1,0,"MODEL"]`), ""), ""},
		"many unknown slots":         {ui(`{"id":1,"type":"Sampler","inputs":[`+repeat(100000, `{"name":"x%","link":%}`)+`]},{"id":2,"type":"Loader"}`, repeat(100000, `[%,2,0,1,0,"MODEL"]`), ""), ""},
		"instances of many inputs":   {ui(repeat(2000, `{"id":%,"type":"a"}`), "", `{"id":"a","nodes":[],"inputs":[`+repeat(100000, `{"name":"x%"}`)+`]}`), "at most some million nodes"},
		"a bypassed node for many":   {ui(`{"id":0,"type":"a","mode":4},`+repeat(20000, `{"id":"e%","type":"X","inputs":[{"name":"clip","type":"T%","link":%}]}`), repeat(20000, `[%,0,0,0,0,"x"]`), `{"id":"a","nodes":[],"inputs":[`+repeat(100000, `{"name":"x%","type":"Y"}`)+`],"outputs":[{"type":"*"}]}`), "at most some million nodes"},
		"long types":                 {ui(`{"id":0,"type":"Lora","mode":4,"inputs":[{"name":"q","type":"`+repeat(100000, "A%")+`","link":2}],"outputs":[{"type":"*"}]},{"id":1,"type":"X","inputs":[{"name":"c","type":"`+repeat(100000, "B%")+`","link":1}]}`, `[1,0,0,1,0,"x"]`, ""), ""},
		"proxies of proxies":         {ui(`{"id":1,"type":"d0","properties":{"proxyWidgets":[["0:0:0:0","name"],["x"],7,["-1","none"],[{},{}]]},"widgets_values":["v"]}`, "", chain(4, 1)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			f, err := Parse([]byte(c.ui))
			if err == nil {
				_, err = f.Prompt(Options{Nodes: testNodes(t), Now: now})
			}
			var e *graph.Error
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (!errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 5000):
				t.Errorf("%.1000v, want %s", err, c.want)
			}
			if d := time.Since(begin); d > 30*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// A file of a million nodes: GRAPHRUN_LARGE runs it, for it takes a gigabyte.
func TestMillionNodes(t *testing.T) {
	n := 50000
	if os.Getenv("GRAPHRUN_LARGE") != "" {
		n = 1000000
	}
	data := []byte(ui(repeat(n, `{"id":%,"type":"Loader"}`), "", ""))
	begin := time.Now()
	f, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.Prompt(Options{Nodes: testNodes(t)})
	if err != nil || len(p.IDs) != n {
		t.Fatalf("%v", err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d nodes, %d MB of text: %v, %d MB of memory", n, len(data)>>20, time.Since(begin), m.HeapAlloc>>20)
}

// check converts data twice: the same comes out, errors are typed, and links lead to nodes.
func check(t *testing.T, data []byte, nodes graph.Library) {
	var texts [2]string
	for i := range texts {
		f, err := Parse(data)
		if err != nil || !f.IsUI() {
			return
		}
		p, err := f.Prompt(Options{Nodes: nodes, Now: now})
		if err != nil {
			var e *graph.Error
			if !errors.As(err, &e) {
				t.Fatalf("an untyped error: %v", err)
			}
			texts[i] = err.Error()
			continue
		}
		for id, n := range p.Nodes {
			for _, in := range n.Inputs {
				if l := list(in.Value); len(l) == 2 && p.Nodes[ident(l[0])] == nil && f.prompt == nil {
					t.Fatalf("node %s, input %s: a link to nowhere: %v", id, in.Name, l)
				}
			}
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(text)
		if err := f.AfterQueue(Options{Nodes: nodes, Random: func() float64 { return 0.5 }}); err != nil {
			t.Fatal(err)
		}
		if w := f.Workflow(); !json.Valid(w) {
			t.Fatalf("the workflow is no JSON any more: %s", w)
		}
	}
	if texts[0] != texts[1] {
		t.Fatalf("two answers:\n%s\n%s", texts[0], texts[1])
	}
}

func FuzzConvert(f *testing.F) {
	archive, err := txtar.ParseFile("testdata/convert.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range archive.Files {
		f.Add(file.Data)
	}
	nodes := testNodes(f)
	if dir := os.Getenv("GRAPHRUN_GOLDEN"); dir != "" { // small pairs, with the schemas that they use
		for name, spec := range library(f, "object_info.json", "object_info_test_nodes.json") {
			nodes[name] = spec
		}
		files, _ := filepath.Glob(filepath.Join(golden.Dir(f), "workflows", "pairs", "*-own-*", "ui.json"))
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { check(t, data, nodes) })
}
