package workflow

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const inventoried = `{
	"extra": {"node_versions": {"pack-a": "1.2.3"}, "groupNodes": {"mine": {"nodes": [{"id": 0, "type": "InGroup"}]}}},
	"models": [{"name": "root.safetensors", "directory": "vae", "url": "https://x/root"}],
	"definitions": {"subgraphs": [
		{"id": "uuid-1", "nodes": [{"id": 8, "type": "Inner"}, {"id": 9, "type": "uuid-1"}, {"id": 10, "type": "KSamplr", "mode": 4}], "links": []},
		{"id": "uuid-2", "nodes": [{"id": 8, "type": "Unused"}], "links": []}]},
	"nodes": [
		{"id": 1, "type": "Samplr", "properties": {"cnr_id": "pack-a", "aux_id": "me/pack-a"}},
		{"id": 2, "type": "Samplr"}, {"id": 3, "type": "Reroute"}, {"id": 4, "type": "Muted", "mode": 2}, {"id": 5, "type": "uuid-1"}, {"id": 6, "type": "uuid-1"},
		{"id": 7, "type": "workflow>mine"}, {"id": "x", "type": "uuid-3"},
		{"id": 11, "type": "Loader", "widgets_values": ["sub\\a.safetensors"], "properties": {"ver": 7, "models": [
			{"name": "a.safetensors", "directory": "loras", "url": "https://x/a", "hash": "ab", "hash_type": "SHA256"}, {"name": ""}, 3]}},
		{"id": 12, "type": "Loader", "widgets_values": ["other"], "properties": {"models": [{"name": "stale", "directory": "loras"}]}},
		{"id": 13, "type": "Loader", "properties": {"models": [{"name": "root.safetensors", "directory": "vae", "hash": "cd"}]}}, 17
	], "links": []}`

func TestInventory(t *testing.T) {
	f, err := Parse([]byte(inventoried))
	if err != nil {
		t.Fatal(err)
	}
	i := f.Inventory()
	var got []string
	for _, c := range i.Missing(testNodes(t)) {
		got = append(got, fmt.Sprintf("%s %v %s %v", c.Name, c.Nodes, c.Pack, c.Near))
	}
	want := []string{"Samplr [1 2] pack-a (me/pack-a) 1.2.3 [Sampler]", "uuid-3 [x]  []", "Inner [5:8]  []", "InGroup [7:0]  []"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("missing\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	models, _ := json.Marshal(i.Models)
	if want := `[{"name":"root.safetensors","directory":"vae","url":"https://x/root","hash":"cd","node":"13"},{"name":"a.safetensors","directory":"loras","url":"https://x/a","hash":"ab","hash_type":"SHA256","node":"11"}]`; string(models) != want {
		t.Errorf("models\n%s\nwant\n%s", models, want)
	}
}

func TestInventoryOfPrompt(t *testing.T) {
	f, err := Parse([]byte(`{"1": {"class_type": "Loadr", "_meta": {"cnr_id": "p", "ver": "2"}}, "2": {"class_type": "Loader", "_meta": 3}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%+v", f.Inventory().Missing(testNodes(t))); got != "[{Name:Loadr Nodes:[1] Pack:p 2 Near:[Loader]}]" {
		t.Error(got)
	}
}
