package logic

import (
	"io"
	"strings"

	"graphrun/graph"
	"graphrun/graph/python"
	"graphrun/nodes/bridge"
	"graphrun/runtime/hub"
)

func init() {
	graph.Register[StringFormat](newer("StringFormat", "Format Text", "text", "nodes_string",
		"Puts values into a text where {a}, {b} ... stand, with Python's formats: {a:05d}, {b:.2f}, {c:>8}."))
	graph.Register[JsonExtractString](newer("JsonExtractString", "Extract Text from JSON", "text", "nodes_string",
		"Gives the value of a key of a JSON object as text, nothing if it is not there."))
	graph.Register[ConvertArrayToString](newer("ConvertArrayToString", "Convert Array to String", "text", "nodes_string", "Writes a list as JSON."))
	graph.Register[ConvertDictionaryToString](newer("ConvertDictionaryToString", "Convert Dictionary to String", "text", "nodes_string", "Writes an object as JSON."))
	m := newer("SaveText", "Save Text", "text", "nodes_text", "Writes a text into a file of the output folder. The prefix may hold folders and dates, as that of Save Image.")
	m.Output, m.Uses, m.Hidden = true, graph.IO, []string{"PROMPT", "EXTRA_PNGINFO"}
	graph.Register[SaveText](m)
	m = newer("BuildJsonPromptIdeogram", "Build JSON Prompt (Ideogram)", "text", "nodes_json_prompt",
		"A prompt as a JSON object: description, style, and the elements of the picture with their places.")
	m.Experimental = true
	graph.Register[BuildJsonPromptIdeogram](m)
}

// StringFormat is Python's str.format.
type StringFormat struct {
	Values  graph.Autogrow[graph.Any] `names:"a..z" item:"value" min:"0"`
	FString string                    `default:"{a}" multiline:"true"`
}

// Run fills in the values by their letters.
func (n StringFormat) Run(*graph.Call) (string, error) {
	names := map[string]any{}
	for _, v := range n.Values {
		names[v.Name] = v.Value.Value
	}
	text, err := python.StrFormat(n.FString, names)
	if err != nil {
		return "", &graph.Error{
			Kind: graph.KindNodeFailed, Input: "f_string", Err: err, Need: "a text with the names of connected values in {braces}",
			Have: clip(n.FString), Hint: "connect the value, or write {{ and }} for braces",
		}
	}
	return text, nil
}

// JsonExtractString looks into a JSON object.
type JsonExtractString struct {
	JSONString string `multiline:"true"`
	Key        string
}

// Run gives the value as Python prints it; "" where there is none, or no object.
func (n JsonExtractString) Run(*graph.Call) (string, error) {
	v, err := python.Loads(n.JSONString)
	o, ok := v.(python.Dict)
	if err != nil || !ok {
		return "", nil
	}
	value, _ := o.Get(n.Key)
	if value == nil {
		return "", nil
	}
	return python.Str(value), nil
}

// ConvertArrayToString writes lists.
type ConvertArrayToString struct {
	Array  python.List
	Indent int `default:"2" min:"0" max:"8"`
}

// Run writes JSON, in one line with an indent of 0.
func (n ConvertArrayToString) Run(*graph.Call) (string, error) {
	return python.Dumps(n.Array, n.Indent)
}

// ConvertDictionaryToString writes objects.
type ConvertDictionaryToString struct {
	Dictionary python.Dict
	Indent     int `default:"2" min:"0" max:"8"`
}

// Run writes JSON, in one line with an indent of 0.
func (n ConvertDictionaryToString) Run(*graph.Call) (string, error) {
	return python.Dumps(n.Dictionary, n.Indent)
}

type textFormat string

// Options lists the kinds of files.
func (textFormat) Options() []string { return []string{"txt", "csv", "md", "json"} }

// SaveText writes a file.
type SaveText struct {
	Text           string     `forceinput:"true"`
	FilenamePrefix string     `default:"ComfyUI"`
	Format         textFormat `default:"txt"`
}

type savedText struct {
	Text string `out:"text"`
	UI   graph.UI
}

// Run writes <prefix>_<counter>.<format>; JSON is indented anew if it is some.
func (n SaveText) Run(c *graph.Call) (savedText, error) {
	text := n.Text
	if n.Format == "json" {
		if v, err := python.Loads(text); err == nil {
			if text, err = python.Dumps(v, 2); err != nil {
				return savedText{}, err
			}
		}
	}
	to, err := bridge.SaveTo(c, hub.Output, n.FilenamePrefix, 0, 0)
	if err != nil {
		return savedText{}, err
	}
	shown, err := to.File(to.Name, "."+string(n.Format), func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
	if err != nil {
		return savedText{}, err
	}
	return savedText{Text: n.Text, UI: graph.UI{"text": {n.Text}, "files": {shown}}}, nil
}

// colors are "#RRGGBB" texts.
type colors []string

// TypeName is ComfyUI's name of the link type.
func (colors) TypeName() string { return "COLORS" }

// ideogramStyle is a photo, another kind of picture, or nothing said.
type ideogramStyle struct {
	graph.Choice
	None  struct{}
	Photo struct {
		Photo string `default:""`
	}
	ArtStyle struct {
		ArtStyle string `default:""`
	}
}

// BuildJsonPromptIdeogram composes a prompt.
type BuildJsonPromptIdeogram struct {
	Element              python.List
	HighLevelDescription string `default:"" multiline:"true"`
	Background           string `default:"" multiline:"true"`
	Style                ideogramStyle
	Aesthetics           string `default:""`
	Lighting             string `default:""`
	Medium               string `default:""`
	ColorPalette         colors `default:"[]" socketless:"false"`
}

type jsonPrompt struct {
	Prompt python.Dict `out:"prompt"`
}

// Run puts the parts into the order of Ideogram's format.
func (n BuildJsonPromptIdeogram) Run(*graph.Call) (out jsonPrompt, err error) {
	add := func(d *python.Dict, key string, v any) { *d = append(*d, python.Pair{Key: key, Value: v}) }
	if strings.TrimSpace(n.HighLevelDescription) != "" {
		add(&out.Prompt, "high_level_description", n.HighLevelDescription)
	}
	if n.Style.Key != "none" {
		style := python.Dict{{Key: "aesthetics", Value: n.Aesthetics}, {Key: "lighting", Value: n.Lighting}}
		if n.Style.Key == "photo" {
			add(&style, "photo", n.Style.Photo.Photo)
			add(&style, "medium", n.Medium)
		} else {
			add(&style, "medium", n.Medium)
			add(&style, "art_style", n.Style.ArtStyle.ArtStyle)
		}
		if len(n.ColorPalette) > 0 {
			list := make([]any, len(n.ColorPalette))
			for i, c := range n.ColorPalette {
				list[i] = strings.ToUpper(c)
			}
			add(&style, "color_palette", list)
		}
		add(&out.Prompt, "style_description", style)
	}
	elements := []any(n.Element)
	if elements == nil {
		elements = []any{}
	}
	add(&out.Prompt, "compositional_deconstruction", python.Dict{{Key: "background", Value: n.Background}, {Key: "elements", Value: elements}})
	return out, nil
}
