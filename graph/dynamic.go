package graph

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// The types of the dynamic input kinds (newer-nodes.md section 1): which inputs a node has depends on what its prompt gives.
const (
	typeMatch     = "COMFY_MATCHTYPE_V3"
	typeAutogrow  = "COMFY_AUTOGROW_V3"
	typeDynCombo  = "COMFY_DYNAMICCOMBO_V3"
	typeDynSlot   = "COMFY_DYNAMICSLOT_V3"
	mostGrown     = 100 // children of an autogrow list, whatever its schema says
	defaultGrowth = 10
)

// Choice is embedded to make a struct a dynamic combo: its other fields are the options, each a struct of the inputs that
// exist while it is chosen. An option's key is its field's name in snake_case, or the tag `key`. In a prompt the inputs of
// option x.y are named "x.y"; options may hold dynamic inputs in turn.
type Choice struct {
	Key string // of the option chosen
}

// TypeName is ComfyUI's name of the kind.
func (Choice) TypeName() string { return typeDynCombo }

// Slot is embedded to make a struct a slot that brings the struct's other fields as inputs once it is linked.
type Slot[T any] struct {
	Value  T
	Linked bool
}

// TypeName is ComfyUI's name of the kind.
func (Slot[T]) TypeName() string { return typeDynSlot }

func (Slot[T]) slotType() string { return typeName(reflect.TypeFor[T]()) }

// slotter is a struct that embeds a Slot[T] of any T.
type slotter interface{ slotType() string }

// Autogrow is a list of slots that grows as they are connected, in the order of their names, without those left empty.
// Tags of the field: names:"a,b,c" or prefix:"image" (image0, image1 ...), min, max, and item, the name of one of them.
type Autogrow[T any] []Item[T]

// Item is a connected slot of an Autogrow list.
type Item[T any] struct {
	Name  string
	Value T
}

// Values lists what the slots got.
func (a Autogrow[T]) Values() []T {
	out := make([]T, len(a))
	for i, x := range a {
		out[i] = x.Value
	}
	return out
}

// TypeName is ComfyUI's name of the kind.
func (Autogrow[T]) TypeName() string { return typeAutogrow }

func (Autogrow[T]) grown() reflect.Type { return reflect.TypeFor[T]() }

// grower is an Autogrow[T] of any T.
type grower interface{ grown() reflect.Type }

// Grow is what an autogrow input is made of.
type Grow struct {
	Item     Port     // what each child is; its name is only shown
	Children []string // the names, after the input's own and a dot
	Prefix   string   // of names that are numbered from 0; "" where they are listed
	Min, Max int      // so many children at least, unless Item is optional; Max only with Prefix
}

// Option is one choice of a dynamic combo, and what a dynamic slot brings.
type Option struct {
	Key    string
	Inputs []Port

	field  int   // of the combo's struct
	fields []int // of the option's struct, by input
}

// option returns the chosen option of a dynamic combo or slot, or nil.
func (p *Port) option(value any, sent bool) *Option {
	if p.Type == typeDynSlot && sent {
		return &p.Options[0]
	}
	key, ok := unwrap(value).(string)
	if i := slices.IndexFunc(p.Options, func(o Option) bool { return o.Key == key }); ok && i >= 0 {
		return &p.Options[i]
	}
	return nil
}

// Fields are a dynamic input as Run gets it from a Spec: its children by name, nested ones as Fields too. An autogrow list
// has those that were sent, in the order of the schema; a dynamic combo has all of its option, nil where absent, and last
// its key under its own name.
type Fields []Field

// Field is a child of a dynamic input.
type Field struct {
	Name  string
	Value any
}

// For returns the spec as the node has it: every dynamic input replaced by those that the node's own inputs ask for,
// under the names that stand in the prompt ("resize_type.width", before "resize_type" itself). Run, Fingerprint and
// Validate of it take values by these inputs. Without dynamic inputs it is the spec itself.
func (s *Spec) For(n *Node) *Spec {
	if !s.dynamic() {
		return s
	}
	f := flattening{node: n}
	tree := f.ports(s.Inputs, "")
	flat := *s
	flat.Inputs = f.flat
	folded := func(in []any) []any {
		out := make([]any, len(tree))
		for i, b := range tree {
			out[i] = b.fold(in)
		}
		return out
	}
	flat.Run = func(c *Call, in []any) (Output, error) { return s.Run(c, folded(in)) }
	if s.CheckLazy != nil {
		flat.CheckLazy = func(c *Call, in []any) ([]string, error) { return s.CheckLazy(c, folded(in)) }
	}
	if s.Fingerprint != nil {
		flat.Fingerprint = func(e *Env, in []any) (string, error) { return s.Fingerprint(e, folded(in)) }
	}
	if s.Validate != nil {
		flat.Validate = func(e *Env, in []any) error { return s.Validate(e, folded(in)) }
	}
	if s.ValidateTypes != nil {
		flat.ValidateTypes = func(e *Env, in []any, types map[string]string) error { return s.ValidateTypes(e, folded(in), types) }
	}
	return &flat
}

func (s *Spec) dynamic() bool {
	for i := range s.Inputs {
		if s.Inputs[i].dynamic() {
			return true
		}
	}
	return false
}

func (p *Port) dynamic() bool { return p.Grow != nil || p.Options != nil }

// branch tells where in the flat inputs an input's value is, or those of its children.
type branch struct {
	name     string
	at       int // in the flat inputs; -1: none of its own
	dynamic  bool
	children []branch
}

// fold gathers the value of an input from those of the flat ones.
func (b *branch) fold(in []any) any {
	if !b.dynamic {
		return in[b.at]
	}
	fields := make(Fields, 0, len(b.children)+1)
	for i := range b.children {
		fields = append(fields, Field{b.children[i].name, b.children[i].fold(in)})
	}
	if b.at >= 0 {
		if in[b.at] == nil && len(fields) == 0 {
			return nil // an optional combo that is absent
		}
		fields = append(fields, Field{b.name, in[b.at]})
	}
	return fields
}

// flattening makes flat inputs of dynamic ones.
type flattening struct {
	node *Node
	all  bool // also the optional children of lists that the node has no value for
	flat []Port
}

func (f *flattening) ports(ports []Port, prefix string) []branch {
	tree := make([]branch, len(ports))
	for i := range ports {
		p := &ports[i]
		b := branch{name: p.Name, at: -1, dynamic: p.dynamic()}
		name := prefix + p.Name
		if p.Grow != nil {
			b.children = f.children(p.Grow, name)
			tree[i] = b
			continue
		}
		q := *p
		q.Name = name
		if p.Options != nil {
			value, sent := f.node.Input(name)
			if o := p.option(value, sent); o != nil {
				b.children = f.ports(o.Inputs, name+".")
			}
			if p.Type == typeDynSlot {
				q.Type, _ = p.Opts["slotType"].(string)
			}
		}
		b.at = len(f.flat)
		f.flat = append(f.flat, q)
		tree[i] = b
	}
	return tree
}

// children of an autogrow list: the first Min are required unless the item is optional.
func (f *flattening) children(g *Grow, name string) (tree []branch) {
	for k, child := range g.Children {
		q := g.Item
		q.Name = name + "." + child
		q.Optional = q.Optional || k >= g.Min
		_, sent := f.node.Input(q.Name)
		if sent || f.all || !q.Optional {
			if sent {
				tree = append(tree, branch{name: child, at: len(f.flat)})
			}
			f.flat = append(f.flat, q)
		}
	}
	return tree
}

// local is the last part of a dotted name.
func local(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// Flat lists the inputs that the node can have, in the order of For, with every child of its autogrow lists.
func (s *Spec) Flat(n *Node) []Port {
	f := flattening{node: n, all: true}
	f.ports(s.Inputs, "")
	return f.flat
}

// numbered are the names prefix0, prefix1 ...
func numbered(prefix string, n int) []string {
	names := make([]string, min(max(n, 0), mostGrown))
	for i := range names {
		names[i] = prefix + strconv.Itoa(i)
	}
	return names
}

// fillDynamic sets an Autogrow field, or the struct of a dynamic combo or slot.
func fillDynamic(field reflect.Value, p *Port, fields Fields, lists bool) error {
	if p.Grow != nil {
		field.Set(reflect.MakeSlice(field.Type(), len(fields), len(fields)))
		for i, f := range fields {
			item := field.Index(i)
			item.Field(0).SetString(f.Name)
			if err := fill(item.Field(1), &p.Grow.Item, f.Value, lists); err != nil {
				return inputError(err, p.Name+"."+f.Name)
			}
		}
		return nil
	}
	children, own := fields[:len(fields)-1], fields[len(fields)-1].Value
	o := p.option(first(own), own != nil)
	switch {
	case own == nil && p.Optional:
		return nil
	case o == nil:
		return &Error{Kind: KindNotInList, Input: p.Name, Need: "one of " + listed(p.keys()), Have: describe(own)}
	case p.Type == typeDynSlot:
		slot := field.Field(o.field)
		slot.FieldByName("Linked").SetBool(true)
		if err := fill(slot.FieldByName("Value"), &Port{Name: p.Name}, own, lists); err != nil {
			return err
		}
	default:
		field.FieldByName("Key").SetString(o.Key)
		field = field.Field(o.field)
	}
	for i := range o.Inputs {
		q := &o.Inputs[i]
		var x any
		if k := slices.IndexFunc(children, func(f Field) bool { return f.Name == q.Name }); k >= 0 {
			x = children[k].Value
		}
		if err := fill(field.Field(o.fields[i]), q, x, lists); err != nil {
			if e, ok := err.(*Error); ok {
				e.Input = p.Name + "." + e.Input
			}
			return err
		}
	}
	return nil
}

// first is the value of an input that a node gets as a list.
func first(v any) any {
	if l, ok := v.([]any); ok && len(l) == 1 {
		return l[0]
	}
	return v
}

func (p *Port) keys() []string {
	keys := make([]string, len(p.Options))
	for i, o := range p.Options {
		keys[i] = o.Key
	}
	return keys
}

// dynamicPort completes the port of an Autogrow field or of a struct that embeds Choice or Slot; t is the field's type.
func dynamicPort(p *Port, t reflect.Type, tag reflect.StructTag) error {
	switch zero := reflect.Zero(t).Interface().(type) {
	case grower:
		return growingPort(p, zero.grown(), tag)
	case slotter:
		inputs, fields, err := structPorts(t)
		at := embedded(t)
		p.Opts["slotType"] = zero.slotType()
		p.Options = []Option{{Inputs: inputs, field: at, fields: fields}}
		return err
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous || !f.IsExported() {
			continue
		}
		o := Option{Key: f.Tag.Get("key"), field: i}
		if o.Key == "" {
			o.Key = snake(f.Name)
		}
		if f.Type.Kind() != reflect.Struct {
			return fmt.Errorf("option %s: need a struct of inputs, have %s", f.Name, f.Type)
		}
		var err error
		if o.Inputs, o.fields, err = structPorts(f.Type); err != nil {
			return fmt.Errorf("option %s: %w", f.Name, err)
		}
		p.Options = append(p.Options, o)
	}
	keys := p.keys()
	p.choices = func(*Env) []string { return keys }
	return nil
}

// embedded is the index of the Choice or Slot in t.
func embedded(t reflect.Type) int {
	for i := range t.NumField() {
		if t.Field(i).Anonymous {
			return i
		}
	}
	return -1
}

// growingPort reads the tags of an Autogrow field whose items are of type t. names:"a..z" and names:"image_1..image_16"
// are short for all between.
func growingPort(p *Port, t reflect.Type, tag reflect.StructTag) (err error) {
	g := &Grow{Prefix: tag.Get("prefix"), Min: 1, Max: defaultGrowth}
	for key, n := range map[string]*int{"min": &g.Min, "max": &g.Max} {
		if text, ok := tag.Lookup(key); ok && err == nil {
			*n, err = strconv.Atoi(text)
		}
	}
	if names := tag.Get("names"); err == nil && names != "" {
		g.Children, err = between(names)
	} else {
		g.Children = numbered(g.Prefix, g.Max)
	}
	if err != nil {
		return err
	}
	name := tag.Get("item")
	if name == "" {
		name = strings.TrimRight(g.Prefix, "_")
	}
	g.Item, err = inputPort(reflect.StructField{Name: name, Type: t, Tag: reflect.StructTag(without(string(tag), "in", "names", "prefix", "min", "max", "item", "optional", "tooltip", "display_name"))})
	g.Item.Name = name
	p.Grow = g
	return err
}

// without is a struct tag less some keys.
func without(tag string, keys ...string) string {
	var kept []string
	for key, value := range eachTag(tag) {
		if !slices.Contains(keys, key) {
			kept = append(kept, key+":"+strconv.Quote(value))
		}
	}
	return strings.Join(kept, " ")
}

// between lists names: "a,b,c" as they are, "a..e" by letter, "image_1..image_4" by number.
func between(names string) ([]string, error) {
	low, high, isRange := strings.Cut(names, "..")
	if !isRange {
		return strings.Split(names, ","), nil
	}
	if len(low) == 1 && len(high) == 1 {
		var list []string
		for c := low[0]; c <= high[0]; c++ {
			list = append(list, string(c))
		}
		return list, nil
	}
	prefix := strings.TrimRight(low, "0123456789")
	from, err := strconv.Atoi(low[len(prefix):])
	to, err2 := strconv.Atoi(strings.TrimPrefix(high, prefix))
	if err != nil || err2 != nil || to < from || to-from >= mostGrown {
		return nil, fmt.Errorf("%q is no range of names", names)
	}
	var list []string
	for i := from; i <= to; i++ {
		list = append(list, prefix+strconv.Itoa(i))
	}
	return list, nil
}
