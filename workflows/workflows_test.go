package workflows

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestLookup(t *testing.T) {
	if !slices.Contains(Names(), "demo") {
		t.Fatalf("no demo among %v", Names())
	}
	for _, name := range Names() {
		for _, form := range []string{name, name + ".json", "workflows/" + name + ".json"} {
			if text, ok := Lookup(form); !ok || !json.Valid(text) {
				t.Errorf("Lookup(%q): found %v, valid JSON %v", form, ok, json.Valid(text))
			}
		}
	}
	for _, name := range []string{"", ".", "..", "/", "nothing", "workflows.go", "elsewhere/demo.json"} {
		if _, ok := Lookup(name); ok {
			t.Errorf("Lookup(%q) found something", name)
		}
	}
}
