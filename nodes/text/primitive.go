package text

import "graphrun/graph"

func init() {
	register := func(name, title, what string) graph.Meta {
		return graph.Meta{Name: name, Title: title, Category: "utils/primitive", Module: "comfy_extras.nodes_primitive", NewStyle: true, Description: "Gives " + what + " to several inputs at once."}
	}
	graph.Register[PrimitiveBoolean](register("PrimitiveBoolean", "Boolean", "a yes or no"))
	graph.Register[PrimitiveFloat](register("PrimitiveFloat", "Float", "a number"))
	graph.Register[PrimitiveInt](register("PrimitiveInt", "Int", "a whole number"))
	graph.Register[PrimitiveString](register("PrimitiveString", "String", "a text of one line"))
	graph.Register[PrimitiveStringMultiline](register("PrimitiveStringMultiline", "String (Multiline)", "a text"))
}

// PrimitiveBoolean is a yes or no.
type PrimitiveBoolean struct{ Value bool }

// Run returns the value.
func (n PrimitiveBoolean) Run(*graph.Call) (bool, error) { return n.Value, nil }

// PrimitiveFloat is a number.
type PrimitiveFloat struct {
	Value float64 `min:"-9223372036854775807" max:"9223372036854775807"`
}

// Run returns the value.
func (n PrimitiveFloat) Run(*graph.Call) (float64, error) { return n.Value, nil }

// PrimitiveInt is a whole number.
type PrimitiveInt struct {
	Value int64 `min:"-9223372036854775807" max:"9223372036854775807" control:"after_generate"`
}

// Run returns the value.
func (n PrimitiveInt) Run(*graph.Call) (int64, error) { return n.Value, nil }

// PrimitiveString is a text of one line.
type PrimitiveString struct {
	Value string `multiline:"false"`
}

// Run returns the value.
func (n PrimitiveString) Run(*graph.Call) (string, error) { return n.Value, nil }

// PrimitiveStringMultiline is a text.
type PrimitiveStringMultiline struct {
	Value string `multiline:"true"`
}

// Run returns the value.
func (n PrimitiveStringMultiline) Run(*graph.Call) (string, error) { return n.Value, nil }
