package graph

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Optional abilities of a node or of a combo's type, each with or without the need for services.
type (
	optioner       interface{ Options() []string }
	envOptioner    interface{ Options(*Env) []string }
	fingerprinter  interface{ Fingerprint() (string, error) }
	envFingerprint interface {
		Fingerprint(*Env) (string, error)
	}
	lazyChecker  interface{ CheckLazy(*Call) ([]string, error) }
	validator    interface{ Validate() error }
	envValidator interface{ Validate(*Env) error }
	typeNamer    interface{ TypeName() string }
)

// Register derives the schema of the node N and adds it to the library. It is called from init; a bad tag panics.
//
// Tags of an input field, all optional:
//
//	in:"name"                          its name; otherwise the field's in snake_case (StopAtCLIPLayer: stop_at_clip_layer)
//	default min max step round         numbers as Go writes them; round may be "false"
//	optional:"true"                    may be absent: the field then has its default or zero value. A pointer field is optional
//	types:"A,B"                        of an Any field: the types it takes
//	checked:"true"                     the node's Validate judges the value: no range or list check
//	control:"after_generate"           the editor changes the value after each run
//	multiline dynamicprompts forceinput rawlink advanced image_upload ...   "true": options of ComfyUI's schema
//	tooltip display image_folder ...   texts of ComfyUI's schema
//
// Optional methods of N: Fingerprint() or Fingerprint(*Env) (string, error), hashed into the node's signature;
// Validate() or Validate(*Env) error, called before the run; both see literal inputs only, links are zero.
// CheckLazy(*Call) ([]string, error), called before Run until it names no input that is still missing: the names of the
// Lazy inputs it needs, all computed at once. Without it Run computes them one by one with Lazy.Get.
func Register[N Runner[Out], Out any](m Meta) {
	Add(compile[N, Out](m))
}

// Compile derives the spec of the node N as Register does, for a library of its own.
func Compile[N Runner[Out], Out any](m Meta) *Spec { return compile[N, Out](m) }

func compile[N Runner[Out], Out any](m Meta) *Spec {
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
	var fields []int
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		p, err := inputPort(f)
		if err != nil {
			panic(fmt.Sprintf("graph: node %s: field %s: %v", m.Name, f.Name, err))
		}
		if s.Input(p.Name) != nil {
			panic(fmt.Sprintf("graph: node %s: two inputs named %s", m.Name, p.Name))
		}
		s.TakesLists = s.TakesLists || p.List
		s.Inputs = append(s.Inputs, p)
		fields = append(fields, i)
	}
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
	if l, ok := field.Addr().Interface().(lazy); ok {
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

func named(err error, p *Port) error {
	if e, ok := err.(*Error); ok {
		e.Input = p.Name
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

// describe says what x is: its value if that is short, else its kind and size.
func describe(x any) string {
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
	_, isValue := reflect.Zero(t).Interface().(typeNamer)
	if t.Kind() != reflect.Struct || isValue {
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

// inputPort derives an input from a struct field.
func inputPort(f reflect.StructField) (Port, error) {
	p := Port{Name: snake(f.Name), Opts: map[string]any{}}
	t := f.Type
	zero := reflect.New(t).Interface()
	if l, ok := zero.(lazy); ok {
		t, p.Lazy = l.elem(), true
		p.Opts["lazy"] = true
	} else if l, ok := zero.(list); ok {
		t, p.List = l.item(), true
	}
	if t.Kind() == reflect.Pointer {
		t, p.Optional = t.Elem(), true
	}
	p.Type = typeName(t)
	if p.Type == "" {
		return p, fmt.Errorf("%s has no ComfyUI type: give it a method TypeName() string", t)
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Interface, reflect.Slice:
		p.socket = t != reflect.TypeFor[Any]()
	}
	switch o := reflect.New(t).Interface().(type) {
	case optioner:
		p.choices = func(*Env) []string { return o.Options() }
	case envOptioner:
		p.choices = o.Options
	}
	return p, readTags(&p, t, string(f.Tag))
}

// The tags of options that ComfyUI's schema spells otherwise.
var optionNames = map[string]string{"control": "control_after_generate", "dynamicprompts": "dynamicPrompts", "forceinput": "forceInput", "rawlink": "rawLink"}

var (
	flagTags = []string{
		"multiline", "dynamicprompts", "forceinput", "rawlink", "advanced", "multiselect",
		"image_upload", "video_upload", "audio_upload", "file_upload", "animated_image_upload",
	}
	textTags = []string{"tooltip", "display", "image_folder", "label_on", "label_off", "placeholder"}
)

// readTags puts the field's tags into the port. An unknown tag is an error: it would be a misspelt one.
func readTags(p *Port, t reflect.Type, tags string) (err error) {
	for key, value := range eachTag(tags) {
		name := key
		if n, ok := optionNames[key]; ok {
			name = n
		}
		switch {
		case key == "in":
			p.Name = value
		case key == "types":
			if t != reflect.TypeFor[Any]() {
				return fmt.Errorf("tag types: needs a graph.Any field, not %s", t)
			}
			p.Type = value
		case key == "optional":
			p.Optional = value == "true"
		case key == "checked":
			p.Checked = value == "true"
		case key == "control":
			p.Opts[name] = true
		case slices.Contains(flagTags, key):
			p.Opts[name] = value == "true"
		case slices.Contains(textTags, key):
			p.Opts[name] = value
		case key == "round" && value == "false":
			p.Opts[name] = false
		case slices.Contains([]string{"default", "min", "max", "step", "round"}, key):
			if p.Opts[name], err = parseTag(t, value); err != nil {
				return fmt.Errorf("tag %s:%q: %w", key, value, err)
			}
		default:
			return fmt.Errorf("unknown or malformed tag %s", key)
		}
	}
	return nil
}

// eachTag yields the key:"value" pairs of a struct tag; what is malformed comes as a key of its own.
func eachTag(tag string) func(yield func(key, value string) bool) {
	return func(yield func(key, value string) bool) {
		for tag = strings.TrimLeft(tag, " \t"); tag != ""; tag = strings.TrimLeft(tag, " \t") {
			key, rest, ok := strings.Cut(tag, ":")
			quoted, err := strconv.QuotedPrefix(rest)
			if !ok || err != nil {
				yield(tag, "")
				return
			}
			value, _ := strconv.Unquote(quoted)
			if !yield(key, value) {
				return
			}
			tag = rest[len(quoted):]
		}
	}
}

// parseTag reads a number, text or boolean of the kind of t: int64 or uint64, float64, string, bool.
func parseTag(t reflect.Type, s string) (any, error) {
	switch t.Kind() {
	case reflect.Int, reflect.Int64, reflect.Uint64:
		if n, err := strconv.ParseInt(s, 0, 64); err == nil {
			return n, nil
		}
		return strconv.ParseUint(s, 0, 64)
	case reflect.Float64:
		return strconv.ParseFloat(s, 64)
	case reflect.String:
		return s, nil
	case reflect.Bool:
		return strconv.ParseBool(s)
	}
	return nil, fmt.Errorf("an input of type %s has no literal value", t)
}

// snake turns StopAtCLIPLayer into stop_at_clip_layer.
func snake(s string) string {
	var b strings.Builder
	r := []rune(s)
	for i, c := range r {
		if unicode.IsUpper(c) {
			if i > 0 && (!unicode.IsUpper(r[i-1]) || i+1 < len(r) && unicode.IsLower(r[i+1])) && r[i-1] != '_' {
				b.WriteByte('_')
			}
			c = unicode.ToLower(c)
		}
		b.WriteRune(c)
	}
	return b.String()
}
