package graph

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Port is one input or output of a node.
type Port struct {
	Name     string
	Type     string // ComfyUI's type name; "COMBO" for a choice, "*" for anything, "A,B" for a union
	Match    string // its type is that of all with this template id (the server takes any: Type is "*")
	Optional bool
	Unlisted bool           // taken from a prompt, but not in the schema
	Later    bool           // shown as required, but may be absent: older files do not have it
	List     bool           // an output that gives several values, or an input that takes them all at once
	Lazy     bool           // computed only when the node asks for it
	Checked  bool           // the node's own Validate judges the value: no range or list check
	Opts     map[string]any // default, min, max, step, ... as object_info shows them: int64, uint64, float64, string, bool
	Grow     *Grow          // of an autogrow list: its children take its place in a prompt
	Options  []Option       // of a dynamic combo: what each choice brings; of a dynamic slot one, for when it is linked

	choices  func(*Env) []string // of a combo
	first    any                 // its first choice, as an /object_info document has it, if that is no text
	newStyle bool                // see Meta.NewStyle
	socket   bool                // takes links alone: no JSON value is of its type
}

// Choices lists what a combo accepts; nil for other types.
func (p *Port) Choices(e *Env) []string {
	if p.choices == nil {
		return nil
	}
	return p.choices(e)
}

// First is the first choice of a combo: what the editor takes where the schema has no default. Other servers' may be a
// number.
func (p *Port) First(e *Env) (v any, ok bool) {
	if p.first != nil {
		return p.first, true
	}
	if choices := p.Choices(e); len(choices) > 0 {
		return choices[0], true
	}
	return nil, false
}

// IsCombo reports whether the input is a choice from a list.
func (p *Port) IsCombo() bool { return p.choices != nil }

// SetChoices makes the port a combo of the list.
func (p *Port) SetChoices(list func(*Env) []string) { p.Type, p.choices = "COMBO", list }

// Spec is a node as the executor sees it: what Register derives from a struct, or what a dynamic node builds directly.
type Spec struct {
	Meta
	Inputs  []Port
	Outputs []Port
	// TakesLists: Run gets every input as the whole list of its values and is called once.
	TakesLists bool
	// Run gets one value per input, in the order of Inputs; nil where an optional input is absent.
	Run func(c *Call, in []any) (Output, error)
	// CheckLazy, if not nil, is called like Run but before it, and names the lazy inputs that Run needs. Lazy inputs that
	// are not there yet are nil. Those it names are computed and it is called again, until it names no missing one; Run
	// gets nil for the others. Without it Run gets a func() (any, error) for each linked lazy input, which computes it.
	CheckLazy func(c *Call, in []any) ([]string, error)
	// Fingerprint, if not nil, is hashed into the node's signature; linked inputs are nil. With an error, any one, the
	// signature equals no other: the node runs anew.
	Fingerprint func(e *Env, in []any) (string, error)
	// Validate, if not nil, judges the literal inputs; linked inputs are nil.
	Validate func(e *Env, in []any) error
	// ValidateTypes, if not nil, judges the types of the outputs that inputs are linked to, by input, in place of the
	// usual comparison.
	ValidateTypes func(e *Env, in []any, types map[string]string) error
}

// Output is what one call of a node gives.
type Output struct {
	Values []any // one per output; a []any where the output is a list, a Blocker where it may not be used
	UI     UI
	Expand *Subgraph // if not nil, the outputs are its results
}

// Input returns the input of the name, or nil.
func (s *Spec) Input(name string) *Port {
	for i := range s.Inputs {
		if s.Inputs[i].Name == name {
			return &s.Inputs[i]
		}
	}
	return nil
}

// DisplayName is the name shown to people.
func (s *Spec) DisplayName() string {
	if s.Title != "" {
		return s.Title
	}
	return s.Name
}

// Library is a set of node specs by class name.
type Library map[string]*Spec

// Names lists the classes, sorted.
func (l Library) Names() []string { return slices.Sorted(maps.Keys(l)) }

var (
	registry   = Library{}
	registryMu sync.RWMutex
)

// Add registers a spec: the door for dynamic nodes. It panics on a class that is there already.
func Add(s *Spec) {
	registryMu.Lock()
	defer registryMu.Unlock()
	if _, dup := registry[s.Name]; dup || s.Name == "" {
		panic(fmt.Sprintf("graph: node %q registered twice or without a name", s.Name))
	}
	registry[s.Name] = s
}

// Registered returns all registered nodes: a copy, of which the caller may take away or add.
func Registered() Library {
	registryMu.RLock()
	defer registryMu.RUnlock()
	return maps.Clone(registry)
}
