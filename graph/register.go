package graph

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"graphrun/graph/python"
)

// Optional abilities of a node or of a combo's type, each with or without the need for services.
type (
	optioner       interface{ Options() []string }
	envOptioner    interface{ Options(*Env) []string }
	fingerprinter  interface{ Fingerprint() (string, error) }
	envFingerprint interface {
		Fingerprint(*Env) (string, error)
	}
	lazyChecker   interface{ CheckLazy(*Call) ([]string, error) }
	validator     interface{ Validate() error }
	envValidator  interface{ Validate(*Env) error }
	linkValidator interface {
		ValidateTypes(types map[string]string) error
	}
	typeNamer interface{ TypeName() string }
)

// Register derives the schema of the node N and adds it to the library. It is called from init; a bad tag panics.
//
// Tags of an input field, all optional:
//
//	in:"name"                          its name; otherwise the field's in snake_case (StopAtCLIPLayer: stop_at_clip_layer)
//	default min max step round         numbers as Go writes them; round may be "false"
//	optional:"true"                    may be absent: the field then has its default or zero value. A pointer field is optional
//	types:"A,B"                        of an Any field: the types it takes
//	match:"id"                         of Any fields and outputs: those of one id take one common type
//	later:"true"                       required by ComfyUI's later schema alone: absent, it has its default, so that old files run
//	quiet:"true"                       of a Lazy field: the schema does not say so
//	unlisted:"true"                    taken from a prompt, though the schema does not have it
//	names prefix min max item          of an Autogrow field
//	key:"name"                         of an option of a Choice
//	checked:"true"                     the node's Validate judges the value: no range or list check
//	remote:"route"                     of a combo: the page asks that route for the list, the newest first
//	control:"after_generate"           the editor changes the value after each run; another word: how it does so at first
//	multiline dynamicprompts forceinput rawlink advanced socketless hidden image_upload ...   "true": options of ComfyUI's schema
//	tooltip display display_name widgettype image_folder ...   texts of ComfyUI's schema
//
// A field may also be an Autogrow list, or a struct that embeds Choice (a dynamic combo) or Slot.
//
// Optional methods of N: Fingerprint() or Fingerprint(*Env) (string, error), hashed into the node's signature;
// Validate() or Validate(*Env) error, called before the run; both see literal inputs only, links are zero.
// ValidateTypes(map[string]string) error judges the types of linked outputs by input, in place of the usual comparison.
// CheckLazy(*Call) ([]string, error), called before Run until it names no input that is still missing: the names of the
// Lazy inputs it needs, all computed at once. Without it Run computes them one by one with Lazy.Get.
func Register[N Runner[Out], Out any](m Meta) {
	Add(Compile[N](m))
}

// Compile derives the spec of the node N as Register does, for a library of its own.
func Compile[N Runner[Out], Out any](m Meta) *Spec {
	t := reflect.TypeFor[N]()
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("graph: node %s: %s is no struct", m.Name, t))
	}
	for _, h := range m.Hidden {
		if hiddenInputs[h] == "" {
			panic(fmt.Sprintf("graph: node %s: unknown hidden input %s", m.Name, h))
		}
	}
	s := &Spec{Meta: m}
	inputs, fields, err := structPorts(t)
	if err != nil {
		panic(fmt.Sprintf("graph: node %s: %v", m.Name, err))
	}
	s.Inputs = inputs
	eachPort(s.Inputs, func(p *Port) {
		s.TakesLists = s.TakesLists || p.List
		p.newStyle = m.NewStyle
	})
	outputs, unpack, err := outputPorts(reflect.TypeFor[Out]())
	if err != nil {
		panic(fmt.Sprintf("graph: node %s: result: %v", m.Name, err))
	}
	s.Outputs = outputs
	build := func(in []any) (N, error) {
		var n N
		v := reflect.ValueOf(&n).Elem()
		for i, x := range in {
			if err := fill(v.Field(fields[i]), &s.Inputs[i], x, s.TakesLists); err != nil {
				return n, err
			}
		}
		return n, nil
	}
	s.Run = func(c *Call, in []any) (Output, error) {
		n, err := build(in)
		if err != nil {
			return Output{}, err
		}
		out, err := n.Run(c)
		if err != nil {
			return Output{}, err
		}
		return unpack(reflect.ValueOf(&out).Elem()), nil
	}
	addAbilities(s, build)
	return s
}

// structPorts derives the inputs of a struct's exported fields, and the index of the field of each.
func structPorts(t reflect.Type) (ports []Port, fields []int, err error) {
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Anonymous {
			continue
		}
		p, err := inputPort(f)
		if err != nil {
			return nil, nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		if slices.ContainsFunc(ports, func(q Port) bool { return q.Name == p.Name }) {
			return nil, nil, fmt.Errorf("two inputs named %s", p.Name)
		}
		ports, fields = append(ports, p), append(fields, i)
	}
	return ports, fields, nil
}

// eachPort calls f for the ports and for all that lie in dynamic ones.
func eachPort(ports []Port, f func(*Port)) {
	for i := range ports {
		p := &ports[i]
		f(p)
		if p.Grow != nil {
			f(&p.Grow.Item)
		}
		for k := range p.Options {
			eachPort(p.Options[k].Inputs, f)
		}
	}
}

// addAbilities wires the node's optional methods.
func addAbilities[N any](s *Spec, build func([]any) (N, error)) {
	var zero N
	if _, ok := any(zero).(lazyChecker); ok {
		s.CheckLazy = func(c *Call, in []any) ([]string, error) {
			n, err := build(in)
			if err != nil {
				return nil, err
			}
			return any(n).(lazyChecker).CheckLazy(c)
		}
	}
	switch any(zero).(type) {
	case fingerprinter, envFingerprint:
		s.Fingerprint = func(e *Env, in []any) (string, error) {
			n, err := build(in)
			if err != nil {
				return "", err
			}
			if f, ok := any(n).(fingerprinter); ok {
				return f.Fingerprint()
			}
			return any(n).(envFingerprint).Fingerprint(e)
		}
	}
	if _, ok := any(zero).(linkValidator); ok {
		s.ValidateTypes = func(_ *Env, in []any, types map[string]string) error {
			n, err := build(in)
			if err != nil {
				return err
			}
			return any(n).(linkValidator).ValidateTypes(types)
		}
	}
	switch any(zero).(type) {
	case validator, envValidator:
		s.Validate = func(e *Env, in []any) error {
			n, err := build(in)
			if err != nil {
				return err
			}
			if v, ok := any(n).(validator); ok {
				return v.Validate()
			}
			return any(n).(envValidator).Validate(e)
		}
	}
}

// fill sets a field from what its input got; nil leaves the default of an optional input, or its zero value.
func fill(field reflect.Value, p *Port, x any, lists bool) error {
	if x == nil {
		if d, ok := p.Opts["default"]; ok && p.Optional {
			return named(assign(field, d), p)
		}
		return nil
	}
	if f, ok := x.(Fields); ok {
		return fillDynamic(field, p, f, lists)
	}
	if l, ok := field.Addr().Interface().(lazy); ok {
		if items, ok := x.([]any); ok && lists {
			if len(items) == 0 {
				return nil
			}
			x = items[0]
		}
		get, isFunc := x.(func() (any, error))
		if !isFunc {
			get = func() (any, error) { return x, nil }
		}
		l.bind(get, isFunc)
		return nil
	}
	if lists {
		items, ok := x.([]any)
		if !ok {
			items = []any{x}
		}
		if !p.List {
			if len(items) == 0 {
				return nil
			}
			return named(assign(field, items[0]), p)
		}
		s := reflect.MakeSlice(field.Type(), len(items), len(items))
		for i, item := range items {
			if err := assign(s.Index(i), item); err != nil {
				return named(err, p)
			}
		}
		field.Set(s)
		return nil
	}
	return named(assign(field, x), p)
}

func named(err error, p *Port) error { return inputError(err, p.Name) }

// inputError gives an *Error the name of the input that it is about.
func inputError(err error, name string) error {
	if e, ok := err.(*Error); ok {
		e.Input = name
	}
	return err
}

// assign sets dst to x, converting between number types where no value is lost, to and from named strings, and into
// pointers and Any. The error has no input name.
func assign(dst reflect.Value, x any) error {
	if dst.Type() == reflect.TypeFor[Any]() {
		dst.Set(reflect.ValueOf(Any{x}))
		return nil
	}
	if dst.Kind() == reflect.Pointer {
		p := reflect.New(dst.Type().Elem())
		if err := assign(p.Elem(), x); err != nil {
			return err
		}
		dst.Set(p)
		return nil
	}
	v := reflect.ValueOf(x)
	if v.IsValid() && v.Type().AssignableTo(dst.Type()) {
		dst.Set(v)
		return nil
	}
	ok := v.IsValid()
	switch {
	case !ok:
	case jsonTypes[typeName(dst.Type())] && (isJSON(x) || jsonTypes[typeName(v.Type())]): // packages have Go types of their own for these
		return assignJSON(dst, x)
	case dst.CanInt() && v.CanInt():
		ok = !dst.OverflowInt(v.Int())
	case dst.CanInt() && v.CanUint():
		ok = v.Uint() <= 1<<63-1 && !dst.OverflowInt(int64(v.Uint()))
	case dst.CanUint() && v.CanInt():
		ok = v.Int() >= 0 && !dst.OverflowUint(uint64(v.Int()))
	case dst.CanUint() && v.CanUint():
		ok = !dst.OverflowUint(v.Uint())
	case dst.CanFloat() && (v.CanFloat() || v.CanInt() || v.CanUint()):
	case dst.Kind() == reflect.String && v.Kind() == reflect.String:
	case dst.Kind() == reflect.Bool && v.Kind() == reflect.Bool:
	default:
		ok = false
	}
	if !ok {
		return &Error{Kind: KindBadValue, Need: dst.Type().String(), Have: describe(x)}
	}
	dst.Set(v.Convert(dst.Type()))
	return nil
}

// isJSON reports whether x is what a JSON list or object was read as.
func isJSON(x any) bool {
	switch x.(type) {
	case []any, map[string]any:
		return true
	}
	return false
}

// assignJSON reads a JSON value into the type of a widget that has such values.
func assignJSON(dst reflect.Value, x any) error {
	text, err := json.Marshal(x)
	if err == nil {
		err = json.Unmarshal(text, dst.Addr().Interface())
	}
	if err != nil {
		return &Error{Kind: KindBadValue, Err: err, Need: "a " + typeName(dst.Type()), Have: describe(x)}
	}
	return nil
}

// describe says what x is: its value if that is short, else its kind and size.
func describe(x any) string {
	if n, ok := x.(json.Number); ok && python.NumberText(n) != string(n) {
		return python.NumberText(n)
	}
	switch x := x.(type) {
	case nil:
		return "null"
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64) // JSON has no NaN
	case string, bool, json.Number, int, int64, uint64, []any, map[string]any:
		if b, err := json.Marshal(x); err == nil && len(b) <= 200 {
			return string(b)
		}
	}
	switch x := x.(type) {
	case string:
		return fmt.Sprintf("a text of %d bytes: %s", len(x), short([]byte(x)))
	case json.Number:
		return fmt.Sprintf("a number of %d digits", len(x))
	case []any:
		return fmt.Sprintf("a long list (%d values)", len(x))
	case map[string]any:
		return fmt.Sprintf("a long object (%d keys)", len(x))
	}
	return fmt.Sprintf("%T", x)
}

// outputPorts returns the outputs of a result type, and how to take a result apart.
func outputPorts(t reflect.Type) ([]Port, func(reflect.Value) Output, error) {
	if t == reflect.TypeFor[UI]() {
		return nil, func(v reflect.Value) Output { return Output{UI: v.Interface().(UI)} }, nil
	}
	if _, isValue := reflect.Zero(t).Interface().(typeNamer); t.Kind() != reflect.Struct || isValue {
		p, err := outputPort(t, "")
		return []Port{p}, func(v reflect.Value) Output { return Output{Values: []any{outValue(v)}} }, err
	}
	var ports []Port
	var fields []int
	ui, expand := -1, -1
	for i := range t.NumField() {
		f := t.Field(i)
		switch f.Type {
		case reflect.TypeFor[UI]():
			ui = i
			continue
		case reflect.TypeFor[*Subgraph]():
			expand = i
			continue
		}
		p, err := outputPort(f.Type, f.Tag.Get("out"))
		if p.Match = f.Tag.Get("match"); f.Tag.Get("types") != "" && p.Type == "*" {
			p.Type = f.Tag.Get("types")
		}
		if err != nil || !f.IsExported() {
			return nil, nil, fmt.Errorf("field %s: must be an exported output: %w", f.Name, err)
		}
		ports, fields = append(ports, p), append(fields, i)
	}
	return ports, func(v reflect.Value) Output {
		var o Output
		if ui >= 0 {
			o.UI = v.Field(ui).Interface().(UI)
		}
		if expand >= 0 {
			o.Expand = v.Field(expand).Interface().(*Subgraph)
		}
		for _, i := range fields {
			o.Values = append(o.Values, outValue(v.Field(i)))
		}
		return o
	}, nil
}

func outputPort(t reflect.Type, name string) (p Port, err error) {
	if l, ok := reflect.New(t).Interface().(list); ok {
		t, p.List = l.item(), true
	}
	p.Name, p.Type = name, typeName(t)
	if p.Type == "" {
		return p, fmt.Errorf("%s has no ComfyUI type: give it a method TypeName() string", t)
	}
	if p.Name == "" {
		p.Name = p.Type
	}
	return p, nil
}

// outValue is what goes along the link: the value in an Any, a []any for a List.
func outValue(v reflect.Value) any {
	if _, ok := v.Addr().Interface().(list); ok {
		items := make([]any, v.Len())
		for i := range items {
			items[i] = outValue(v.Index(i))
		}
		return items
	}
	if a, ok := v.Interface().(Any); ok {
		return a.Value
	}
	return v.Interface()
}

// typeName is ComfyUI's name of a Go type, "" if it has none.
func typeName(t reflect.Type) string {
	zero := reflect.New(t).Interface()
	if n, ok := zero.(typeNamer); ok {
		return n.TypeName()
	}
	switch zero.(type) {
	case optioner, envOptioner:
		return "COMBO"
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "INT"
	case reflect.Float64:
		return "FLOAT"
	case reflect.String:
		return "STRING"
	case reflect.Bool:
		return "BOOLEAN"
	}
	return ""
}
