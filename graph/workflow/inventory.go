package workflow

import (
	"encoding/json"
	"strings"

	"graphrun/graph"
)

// Pack is the node pack that a file says a node comes from; "" where it does not say.
type Pack struct {
	ID      string `json:"cnr_id,omitempty"` // in ComfyUI's registry
	Repo    string `json:"aux_id,omitempty"` // owner/name on GitHub
	Version string `json:"ver,omitempty"`    // a version or commit
}

// String names the pack for people, "" if the file does not.
func (p Pack) String() string {
	name := p.ID
	if name == "" {
		name = p.Repo
	} else if p.Repo != "" {
		name += " (" + p.Repo + ")"
	}
	if name != "" && p.Version != "" {
		name += " " + p.Version
	}
	return name
}

// Model is a model file that a workflow says it needs. Fields that it does not give are "".
type Model struct {
	Name      string `json:"name"`
	Directory string `json:"directory"` // of the models folder: "vae", "loras", ...
	URL       string `json:"url,omitempty"`
	Hash      string `json:"hash,omitempty"`
	HashType  string `json:"hash_type,omitempty"` // "SHA256", ...
	Node      string `json:"node,omitempty"`      // the first node that says so, "" for the workflow as a whole
}

// Names reports whether an input's value, which may have folders before it, is the model's file.
func (m Model) Names(value string) bool {
	return value == m.Name || strings.HasSuffix("/"+strings.ReplaceAll(value, `\`, "/"), "/"+m.Name)
}

// Class is a node class that a file uses.
type Class struct {
	Name  string   `json:"class"`
	Nodes []string `json:"nodes"` // execution ids, of a subgraph in its first instance
	Pack  Pack     `json:"pack"`
	Near  []string `json:"near,omitempty"` // of Missing: known names that look alike
}

// Inventory is what a file says it needs: the nodes that run, neither muted nor bypassed nor the editor's own, and the
// model files that they name.
type Inventory struct {
	Classes []Class // in the order of the file
	Models  []Model
}

// Missing lists the classes that the library does not have, with the names that come near the first of them.
func (i Inventory) Missing(l graph.Library) (missing []Class) {
	for _, c := range i.Classes {
		if l[c.Name] == nil {
			if len(missing) < graph.MostNear {
				c.Near = l.Nearest(c.Name)
			}
			missing = append(missing, c)
		}
	}
	return missing
}

// Inventory reads what the file says, whether it can be converted or not. Subgraphs count where an instance runs.
func (f *File) Inventory() Inventory {
	v := &inventory{classes: map[string]int{}, models: map[[2]string]int{}}
	if !f.IsUI() {
		v.prompt(f.prompt)
	}
	ui := f.tree()
	if ui == nil {
		return v.Inventory
	}
	extra := object(ui["extra"])
	v.versions = object(extra["node_versions"])
	inner := map[string]map[string]any{}
	for _, d := range list(object(ui["definitions"])["subgraphs"]) {
		inner[ident(object(d)["id"])] = object(d)
	}
	for name, d := range object(extra["groupNodes"]) {
		inner["workflow>"+name], inner["workflow/"+name] = object(d), object(d)
	}
	type level struct {
		path string
		tree map[string]any
	}
	for todo := []level{{"", ui}}; len(todo) > 0; todo = todo[1:] {
		at := todo[0]
		v.list(at.tree["models"], "")
		for _, x := range list(at.tree["nodes"]) {
			n := object(x)
			typ, id, mode := text(n["type"]), at.path+ident(n["id"]), integer(n["mode"])
			if typ == "" || mode == muted || mode == bypassed || (&node{typ: typ}).isVirtual() {
				continue
			}
			if d, ok := inner[typ]; ok {
				if d != nil {
					todo = append(todo, level{id + ":", d})
				}
				inner[typ] = nil // once is enough, also for one that contains itself
				continue
			}
			properties := object(n["properties"])
			if f.IsUI() {
				v.class(typ, id, properties)
			}
			if usesModel(n) {
				v.list(properties["models"], id)
			}
		}
	}
	return v.Inventory
}

// inventory collects.
type inventory struct {
	Inventory
	classes  map[string]int    // where in Classes
	models   map[[2]string]int // by folder and name, where in Models
	versions map[string]any    // of packs, as the file lists them for all
}

func (v *inventory) class(name, id string, properties map[string]any) {
	name = renamed(name)
	at, ok := v.classes[name]
	if !ok {
		at = len(v.Classes)
		v.classes[name] = at
		p := Pack{text(properties["cnr_id"]), text(properties["aux_id"]), text(properties["ver"])}
		if p.Version == "" {
			p.Version = text(v.versions[p.ID])
		}
		v.Classes = append(v.Classes, Class{Name: name, Pack: p})
	}
	v.Classes[at].Nodes = append(v.Classes[at].Nodes, id)
}

// prompt reads the classes of the API format, whose _meta may name packs too.
func (v *inventory) prompt(data []byte) {
	p, err := graph.ParsePrompt(data)
	if err != nil {
		return // Prompt says why
	}
	for _, id := range p.IDs {
		n := p.Nodes[id]
		var meta any
		json.Unmarshal(n.Meta, &meta) // of any shape
		v.class(n.Class, id, object(meta))
	}
}

// list reads a list of models.
func (v *inventory) list(models any, node string) {
	for _, x := range list(models) {
		o := object(x)
		m := Model{text(o["name"]), text(o["directory"]), text(o["url"]), text(o["hash"]), text(o["hash_type"]), node}
		if m.Name == "" {
			continue
		}
		key := [2]string{m.Directory, m.Name}
		at, ok := v.models[key]
		if !ok {
			v.models[key] = len(v.Models)
			v.Models = append(v.Models, m)
			continue
		}
		old := &v.Models[at]
		for _, f := range [][2]*string{{&old.URL, &m.URL}, {&old.Hash, &m.Hash}, {&old.HashType, &m.HashType}, {&old.Node, &m.Node}} {
			if *f[0] == "" {
				*f[0] = *f[1]
			}
		}
	}
}

// usesModel reports whether the models that a node lists are those that it loads: the editor keeps the list when the
// user chooses another file.
func usesModel(n map[string]any) bool {
	values := list(n["widgets_values"])
	for _, x := range list(object(n["properties"])["models"]) {
		for _, v := range values {
			if s := text(v); s != "" && (Model{Name: text(object(x)["name"])}).Names(s) {
				return true
			}
		}
	}
	return len(values) == 0
}
