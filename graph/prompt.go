package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"graphrun/graph/jsonscan"
	"graphrun/graph/python"
)

// Prompt is a graph to run: nodes by id, in the order of the file.
type Prompt struct {
	IDs   []string
	Nodes map[string]*Node

	// Loose lets constants pass that are not among the choices of a node declared in the newer way, as ComfyUI's server
	// does: the node itself has to cope.
	Loose bool
}

// Node is one node of a prompt.
type Node struct {
	Class  string // "" if the file has none: validation refuses it
	Title  string // from Meta
	Inputs []Input
	Meta   json.RawMessage // "_meta" as it was read, or nil

	// Read is the SHA-256 sum, in hexadecimal digits, of the file that the node reads, if its fingerprint is one. It is
	// written as is_changed, where ComfyUI keeps it: so a picture tells what it was made of.
	Read string

	position int // in the prompt, once it was validated
}

// Input is a named input value: a link ([]any{id, slot}) or a constant.
//
// Constants are what JSON gives (nil, bool, string, json.Number, []any, map[string]any) or Go's int, int64, uint64 and
// float64; validation replaces those of declared inputs by int64, uint64, float64, string or bool.
type Input struct {
	Name  string
	Value any
}

// Link is the input value that takes an output of another node.
func Link(node string, slot int) any {
	return []any{node, LinkSlot(slot)}
}

// LinkSlot is the second element of a link.
func LinkSlot(slot int) any {
	if slot >= 0 && slot < len(slots) {
		return slots[slot]
	}
	return json.Number(strconv.Itoa(slot))
}

// slots are the numbers that most links have.
var slots = [...]any{json.Number("0"), json.Number("1"), json.Number("2"), json.Number("3")}

// Input returns the value of the named input.
func (n *Node) Input(name string) (any, bool) {
	for i := range n.Inputs {
		if n.Inputs[i].Name == name {
			return n.Inputs[i].Value, true
		}
	}
	return nil, false
}

// Set gives the named input a value.
func (n *Node) Set(name string, v any) {
	for i := range n.Inputs {
		if n.Inputs[i].Name == name {
			n.Inputs[i].Value = v
			return
		}
	}
	n.Inputs = append(n.Inputs, Input{name, v})
}

// Add appends a node; false if the id is taken.
func (p *Prompt) Add(id string, n *Node) bool {
	if _, dup := p.Nodes[id]; dup {
		return false
	}
	if p.Nodes == nil {
		p.Nodes = map[string]*Node{}
	}
	p.IDs, p.Nodes[id] = append(p.IDs, id), n
	return true
}

// ParsePrompt reads ComfyUI's API format: an object of nodes by id, each with class_type, inputs and _meta.
// Numbers are kept exactly; the NaN and Infinity that Python writes are numbers that no input takes.
// Errors are *Error of KindNoPrompt (data is empty), KindBadFile or KindDuplicateID.
func ParsePrompt(data []byte) (*Prompt, error) {
	if len(data) == 0 {
		return nil, &Error{Kind: KindNoPrompt, Need: "an object of nodes by id"}
	}
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	if !jsonscan.Valid(data) {
		if data = []byte(python.WithoutNaN(string(data))); !jsonscan.Valid(data) {
			_, err := decode(data)
			return nil, &Error{Kind: KindBadFile, Err: err, Need: "JSON", Have: short(data)}
		}
	}
	return ParseValidPrompt(data)
}

// ParseValidPrompt is ParsePrompt for what is known to be JSON, because it was part of a larger text that was read.
func ParseValidPrompt(data json.RawMessage) (*Prompt, error) {
	p := &Prompt{Nodes: map[string]*Node{}}
	r := &scanner{data: data}
	err := r.members(func(id string) error {
		n, err := parseNode(r)
		if err != nil {
			return &Error{Kind: KindBadFile, Node: id, Err: err, Need: "an object with class_type and inputs"}
		}
		if !p.Add(id, n) {
			return &Error{Kind: KindDuplicateID, Node: id, Hint: "give one of them another id"}
		}
		return nil
	})
	if _, ok := err.(*Error); err != nil && !ok {
		err = &Error{Kind: KindBadFile, Err: err}
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func parseNode(r *scanner) (*Node, error) {
	var n Node
	err := r.members(func(key string) error {
		switch c := r.space(); key {
		case "class_type":
			if c != '"' && c != 'n' {
				return fmt.Errorf("class_type: need text, have %s", short(r.skip()))
			}
			if c == '"' {
				n.Class = r.name()
				return nil
			}
		case "_meta":
			n.Meta = bytes.Clone(r.skip())
			meta := &scanner{data: n.Meta, names: r.names}
			if meta.space() == '{' { // of any shape: it is only for people
				meta.members(func(key string) error {
					v := meta.value()
					if title, ok := v.(string); ok && key == "title" {
						n.Title = title
					}
					return nil
				})
			}
			return nil
		case "inputs":
			if c == 'n' {
				break
			}
			at := map[string]int(nil) // of many inputs
			return r.members(func(name string) error {
				n.put(name, r.value(), &at)
				return nil
			})
		}
		r.skip()
		return nil
	})
	return &n, err
}

// put adds an input; one of the same name gives way. at finds the names when they are many.
func (n *Node) put(name string, v any, at *map[string]int) {
	if len(n.Inputs) < 16 {
		n.Set(name, v)
		return
	}
	if *at == nil {
		*at = make(map[string]int, 2*len(n.Inputs))
		for i, in := range n.Inputs {
			(*at)[in.Name] = i
		}
	}
	if i, again := (*at)[name]; again {
		n.Inputs[i].Value = v
		return
	}
	(*at)[name] = len(n.Inputs)
	n.Inputs = append(n.Inputs, Input{name, v})
}

// MarshalJSON writes the API format, nodes and inputs in their order.
func (p *Prompt) MarshalJSON() ([]byte, error) {
	nodes, texts := make(object, 0, len(p.IDs)), 0
	for _, id := range p.IDs {
		n := p.Nodes[id]
		inputs := make(object, 0, len(n.Inputs))
		for _, in := range n.Inputs {
			inputs = append(inputs, member{in.Name, in.Value})
			if s, ok := in.Value.(string); ok {
				texts += len(s)
			}
		}
		o := object{{"inputs", inputs}}
		if n.Class != "" {
			o = append(o, member{"class_type", n.Class})
		}
		if n.Meta != nil {
			o = append(o, member{"_meta", n.Meta})
		} else if n.Title != "" {
			o = append(o, member{"_meta", map[string]string{"title": n.Title}})
		}
		if n.Read != "" {
			o = append(o, member{"is_changed", []string{n.Read}})
		}
		nodes = append(nodes, member{id, o})
	}
	var b bytes.Buffer
	b.Grow(texts + texts/16 + 256*len(nodes))
	err := nodes.write(&b)
	return b.Bytes(), err
}
