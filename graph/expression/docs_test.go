package expression

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocs computes every example of docs/expressions.md, and looks for every function in it.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/expressions.md")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile("`([^`]+)`")
	rows := regexp.MustCompile("(?m)^\\| (`.*`) \\| (`.*`) \\|$").FindAllStringSubmatch(string(page), -1)
	compute := func(text string) any {
		p, err := Compile(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		v, err := p.Run(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if list, ok := List(v); ok {
			return list
		}
		return v
	}
	n := 0
	for _, row := range rows {
		formulas, results := code.FindAllStringSubmatch(row[1], -1), code.FindAllStringSubmatch(row[2], -1)
		if len(formulas) != len(results) {
			t.Errorf("%s: %d formulas, %d results", row[0], len(formulas), len(results))
			continue
		}
		for i, f := range formulas {
			n++
			if got, want := compute(f[1]), compute(results[i][1]); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v, the page says %v", f[1], got, want)
			}
		}
	}
	if n < 60 {
		t.Errorf("the page has %d examples", n)
	}
	for _, name := range names() {
		if !strings.Contains(string(page), "`"+name+"(") {
			t.Errorf("the page has no example of %s", name)
		}
	}
}

// names lists the functions of the language; loops such as map and all beside them.
func names() []string {
	list := slices.Clone(harmless)
	for name := range functions {
		if isName(name) {
			list = append(list, name)
		}
	}
	return list
}
