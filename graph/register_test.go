package graph

import (
	"encoding/json"
	"testing"
)

type pic struct{ N int }

func (pic) TypeName() string { return "IMAGE" }

type method string

func (method) Options() []string { return []string{"area", "nearest"} }

type scaleNode struct {
	Image     pic
	Method    method  `tooltip:"How to: scale"`
	CFG       float64 `default:"8" min:"0" max:"100" step:"0.1" round:"0.01"`
	NoiseSeed uint64  `max:"0xffffffffffffffff" control:"after_generate"`
	Mask      *pic
	Steps     int `in:"n" default:"3" optional:"true"`
}

type scaleOut struct {
	Small pic
	Big   pic `out:"large"`
	UI    UI
}

func (n scaleNode) Run(*Call) (scaleOut, error) {
	return scaleOut{Small: pic{n.Steps}, Big: n.Image, UI: UI{"text": {string(n.Method)}}}, nil
}

func TestCompile(t *testing.T) {
	s := Compile[scaleNode](Meta{Name: "Scale"})
	b, _ := json.Marshal(s.Inputs)
	t.Logf("%s", b)
	if s.Inputs[3].Name != "noise_seed" || s.Inputs[3].Opts["max"] != uint64(1<<64-1) || s.Inputs[3].Opts["control_after_generate"] != true {
		t.Errorf("noise_seed: %+v", s.Inputs[3])
	}
	if !s.Inputs[4].Optional || s.Inputs[2].Name != "cfg" || s.Inputs[1].Opts["tooltip"] != "How to: scale" {
		t.Errorf("inputs: %+v", s.Inputs)
	}
	out, err := s.Run(&Call{}, []any{pic{7}, "area", 8.0, int64(5), nil, nil})
	if err != nil || out.Values[0] != (pic{3}) || out.Values[1] != (pic{7}) || out.UI["text"][0] != "area" {
		t.Errorf("run: %+v, %v", out, err)
	}
	if s.Outputs[1].Name != "large" || s.Outputs[0].Name != "IMAGE" {
		t.Errorf("outputs: %+v", s.Outputs)
	}
	_, err = s.Run(&Call{}, []any{3, "area", 8.0, int64(5), nil, nil})
	if e, ok := err.(*Error); !ok || e.Kind != KindBadValue || e.Input != "image" {
		t.Errorf("wrong type: %v", err)
	}
}
