package graph_test

import (
	"context"
	"fmt"

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

// Show is an output node: it runs for what it shows.
type Show struct{ Text string }

// Run shows the text in the editor.
func (n Show) Run(*graph.Call) (graph.UI, error) { return graph.UI{"text": {n.Text}}, nil }

func init() {
	graph.Register[Upper](graph.Meta{Name: "Upper", Title: "Repeat Loudly", Category: "utils"})
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
