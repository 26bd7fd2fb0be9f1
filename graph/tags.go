package graph

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

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
	switch p.Type {
	case "":
		return p, fmt.Errorf("%s has no ComfyUI type: give it a method TypeName() string", t)
	case typeAutogrow, typeDynCombo, typeDynSlot:
		if err := dynamicPort(&p, t, f.Tag); err != nil {
			return p, err
		}
		return p, readTags(&p, t, without(string(f.Tag), "names", "prefix", "min", "max", "item", "types", "default", "forceinput", "socketless"))
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Interface, reflect.Slice:
		p.socket = t != reflect.TypeFor[Any]() && !jsonTypes[p.Type]
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
var optionNames = map[string]string{
	"control": "control_after_generate", "dynamicprompts": "dynamicPrompts", "forceinput": "forceInput", "rawlink": "rawLink",
	"widgettype": "widgetType",
}

var (
	flagTags = []string{
		"multiline", "dynamicprompts", "forceinput", "rawlink", "advanced", "multiselect", "socketless", "hidden",
		"image_upload", "video_upload", "audio_upload", "file_upload", "animated_image_upload",
	}
	textTags = []string{"tooltip", "display", "image_folder", "label_on", "label_off", "placeholder", "display_name", "widgettype", "component"}
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
		case (key == "types" || key == "match") && t != reflect.TypeFor[Any]():
			return fmt.Errorf("tag %s: needs a graph.Any field, not %s", key, t)
		case key == "types":
			p.Type = value
		case key == "match":
			p.Match = value
		case key == "optional":
			p.Optional = value == "true"
		case key == "unlisted":
			p.Optional, p.Unlisted = value == "true", value == "true"
		case key == "quiet":
			delete(p.Opts, "lazy")
		case key == "later":
			p.Optional, p.Later = value == "true", value == "true"
		case key == "checked":
			p.Checked = value == "true"
		case key == "control" && value == "after_generate":
			p.Opts[name] = true
		case key == "control":
			p.Opts[name] = value
		case key == "remote":
			p.Opts[name] = map[string]any{"route": value, "refresh_button": true, "control_after_refresh": "first"}
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
	if p.Match != "" {
		p.Opts["template"] = object{{"template_id", p.Match}, {"allowed_types", p.Type}}
		p.Type = "*" // the reference takes anything
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

// parseTag reads a number, text or boolean of the kind of t: int64 or uint64, float64, string, bool; JSON for a widget
// that has such values.
func parseTag(t reflect.Type, s string) (any, error) {
	if jsonTypes[typeName(t)] && t.Kind() != reflect.String {
		return decode([]byte(s))
	}
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
