package graph_test

import (
	"context"
	"fmt"
	"strings"

	"graphrun/graph"
)

// Upper is a node: its fields are its inputs, in the order of the editor's widgets.
type Upper struct {
	Text  string `multiline:"true" tooltip:"What to repeat."`
	Times int    `default:"2" min:"1" max:"100"`
	Mood  mood   // has Options, so it is a choice
}

type mood string

// Options lists the choices; the first is the default.
func (mood) Options() []string { return []string{"loud", "quiet"} }

// Run returns its output, a STRING. More outputs would be the fields of a struct.
func (n Upper) Run(c *graph.Call) (string, error) {
	out := ""
	for i := range n.Times {
		if err := c.Err(); err != nil { // the run was interrupted
			return "", err
		}
		out += n.Text
		if n.Mood == "loud" {
			out += "!"
		}
		c.Progress("repeat", i+1, n.Times)
	}
	return out, nil
}

// Compose has one input of each dynamic kind.
type Compose struct {
	Style style                  // a combo whose choice decides which inputs follow
	Lines graph.Autogrow[string] `prefix:"line" min:"1" max:"20"` // line0, line1 ...: slots that grow as they are linked
	Else  graph.Lazy[graph.Any]  `match:"kind" optional:"true"`   // takes the type of the output with the same id
}

// style is a dynamic combo: the inputs of its options are style.mark and style.words.
type style struct {
	graph.Choice // Key says which
	Marked       struct {
		Mark string `default:"!"`
	}
	Counted struct {
		Words int `min:"1"`
	} `key:"so many words"`
	Plain struct{}
}

// Composed are its outputs.
type Composed struct {
	Text  string
	Other graph.Any `out:"other" match:"kind"`
}

// Run joins the lines that are connected.
func (n Compose) Run(*graph.Call) (out Composed, err error) {
	text := strings.Join(n.Lines.Values(), " ")
	switch n.Style.Key {
	case "marked":
		text += n.Style.Marked.Mark
	case "so many words":
		words := strings.Fields(text)
		text = strings.Join(words[:min(n.Style.Counted.Words, len(words))], " ")
	}
	return Composed{Text: text}, nil
}

// Show is an output node: it runs for what it shows.
type Show struct{ Text string }

// Run shows the text in the editor.
func (n Show) Run(*graph.Call) (graph.UI, error) { return graph.UI{"text": {n.Text}}, nil }

func init() {
	graph.Register[Upper](graph.Meta{Name: "Upper", Title: "Repeat Loudly", Category: "utils"})
	graph.Register[Compose](graph.Meta{Name: "Compose", Category: "utils", NewStyle: true})
	graph.Register[Show](graph.Meta{Name: "Show", Category: "utils", Output: true})
}

// A node from struct to result: it is registered, checked, run.
func Example() {
	prompt, err := graph.ParsePrompt([]byte(`{
		"1": {"class_type": "Upper", "inputs": {"text": "go", "times": 3, "mood": "loud"}},
		"2": {"class_type": "Show", "inputs": {"text": ["1", 0]}}}`))
	if err != nil {
		panic(err)
	}
	result, err := graph.Run(context.Background(), prompt, graph.Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(result.UI["2"]["text"]...)

	prompt.Nodes["1"].Set("times", 0)
	_, err = graph.Run(context.Background(), prompt, graph.Options{})
	fmt.Println(err)
	// Output:
	// go!go!go!
	// node 1 (Upper), input times: the value is below the minimum; need at least 1; have 0
}

// The inputs of dynamic kinds have dotted names in a prompt.
func Example_dynamic() {
	prompt, err := graph.ParsePrompt([]byte(`{
		"1": {"class_type": "Compose", "inputs": {"style": "so many words", "style.words": 2, "lines.line0": "a b", "lines.line2": "c"}},
		"2": {"class_type": "Show", "inputs": {"text": ["1", 0]}}}`))
	if err != nil {
		panic(err)
	}
	result, err := graph.Run(context.Background(), prompt, graph.Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(result.UI["2"]["text"]...)

	prompt.Nodes["1"].Set("style.words", 0)
	_, err = graph.Run(context.Background(), prompt, graph.Options{})
	fmt.Println(err)
	// Output:
	// a b
	// node 1 (Compose), input style.words: the value is below the minimum; need at least 1; have 0
}
