package workflow

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestReadAhead: a list of nodes that two goroutines read reads as by one, whatever it has and wherever the second begins.
func TestReadAhead(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	const nodes = 3 * manyNodes
	long := strings.Repeat("long ", farAhead/nodes)
	file := func(change func(i int, node string) string) string {
		var b strings.Builder
		b.WriteString(`{"nodes": [`)
		for i := range nodes {
			if i > 0 {
				b.WriteString(",\n  ")
			}
			node := fmt.Sprintf(`{"id": %d, "type": "Note", "inputs": [{"name":"a", "link":null},{"name":"b", "link": %d}], "widgets_values": ["%s", %d]}`, i, i, long, i)
			b.WriteString(change(i, node))
		}
		b.WriteString(`], "links": [[1, 2, 0, 3, 0, "*"]]}`)
		return b.String()
	}
	late := nodes - 10
	for name, change := range map[string]func(i int, node string) string{
		"plain": func(_ int, node string) string { return node },
		"nodes in strings": func(_ int, node string) string {
			return strings.Replace(node, "long ", `},\n  {\"id\": 7`+"},{\\\"id\\\": 7", 1)
		},
		"nodes in nodes": func(_ int, node string) string {
			return strings.Replace(node, `["long `, "[{},\n  "+node+`, "long `, 1)
		},
		"other keys":     func(i int, node string) string { return strings.Replace(node, `"id"`, `"order": 1, "id"`, i%2) },
		"NaN":            func(_ int, node string) string { return strings.Replace(node, `"link":null`, `"link":NaN`, 1) },
		"not a node":     func(i int, node string) string { return strings.Repeat("7", i/late) + node[min(i/late, 1)*len(node):] },
		"without an id":  func(i int, node string) string { return strings.Replace(node, `"id"`, `"no"`, i/late) },
		"damaged":        func(i int, node string) string { return strings.Replace(node, `"id":`, `"id"`, i/late) },
		"damaged string": func(i int, node string) string { return strings.Replace(node, "long", "long\x01", i/late) },
	} {
		text := file(change)
		two, one := newWalker(text), newWalker(text)
		one.ahead = &ahead{}
		got, want := readDocument(two), readDocument(one)
		gotText, gotErr := two.end()
		wantText, wantErr := one.end()
		if !reflect.DeepEqual(gotErr, wantErr) || gotText != wantText {
			t.Errorf("%s: %v, by one %v", name, gotErr, wantErr)
		}
		if wantErr == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: reads otherwise: %d and %d nodes, %v and %v", name, len(got.nodes), len(want.nodes), got.problem, want.problem)
		}
		if two.lists != one.lists && wantErr == nil {
			t.Errorf("%s: counted %d objects and lists, by one %d", name, two.lists, one.lists)
		}
		if two.ahead == nil {
			t.Errorf("%s: nothing was read ahead", name)
		}
	}
	w := newWalker(file(func(_ int, node string) string { return node }))
	if d := readDocument(w); w.ahead == nil || !slices.Contains(d.nodes, w.ahead.nodes[0]) {
		t.Error("what was read ahead was not taken over")
	}
}
