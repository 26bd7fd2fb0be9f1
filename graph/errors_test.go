package graph

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// shortage is an error that takes itself apart, as those of the runtime do.
type shortage struct{}

func (shortage) Error() string { return "a.bin: need 8 bytes, have 7: copy it again" }
func (shortage) Explain() (what, need, have, hint string) {
	return "a.bin", "8 bytes", "7", "copy it again"
}

// TestExplained looks at what a node's error becomes when its cause says need, have and the remedy.
func TestExplained(t *testing.T) {
	cause := fmt.Errorf("model m: %w", shortage{})
	e := asError(&Error{Kind: KindNodeFailed, Input: "model_path", Err: cause}, "1", "Loader", "")
	if e.Need != "8 bytes" || e.Have != "7" || e.Hint != "copy it again" || e.Input != "model_path" {
		t.Errorf("need %q, have %q, hint %q, input %q", e.Need, e.Have, e.Hint, e.Input)
	}
	if want := "node 1 (Loader), input model_path: model m: a.bin; need 8 bytes; have 7; copy it again"; e.Error() != want {
		t.Errorf("have %q\nwant %q", e.Error(), want)
	}
	if !errors.Is(e, cause) || !errors.As(e, &shortage{}) {
		t.Error("the cause is lost")
	}
	if e := asError(context.Canceled, "1", "Loader", ""); e.Need != "" || !errors.Is(e, context.Canceled) {
		t.Errorf("an error that explains nothing became %v", e)
	}
}

// TestLongTexts feeds what would fill the screen.
func TestLongTexts(t *testing.T) {
	long := strings.Repeat("x", 1e6)
	e := &Error{Kind: KindNodeFailed, Err: errors.New(long), Need: long, Have: long, Hint: long}
	if n := len(e.Error()); n > 5000 {
		t.Errorf("the error has %d bytes", n)
	}
	for _, v := range []any{long, []any{long, long}, map[string]any{"a": long}} {
		if d := describe(v); len(d) > 300 || strings.Contains(d, "interface") || d == "string" {
			t.Errorf("described as %.400s", d)
		}
	}
}

// TestConstantForSocket gives a constant where only a link can be. Validation lets it pass, as ComfyUI's does; a run is
// refused, and one of what is valid does not call the node with it.
func TestConstantForSocket(t *testing.T) {
	for _, v := range []string{`"text"`, `{"a":1}`, `null`, `7`, `{"__value__":[1,2]}`} {
		p, err := ParsePrompt([]byte(`{"1":{"class_type":"TestPicture","inputs":{"picture":` + v + `}}}`))
		if err != nil {
			t.Fatal(err)
		}
		l := Library{"TestPicture": Compile[pictureShow](Meta{Name: "TestPicture", Output: true})}
		if outputs, problems := Validate(p, l, nil, nil); problems != nil || len(outputs) != 1 {
			t.Errorf("%s: %v", v, problems)
		}
		_, err = Run(t.Context(), p, Options{Nodes: l})
		if e, ok := err.(*ValidationError); !ok || len(e.Nodes) != 1 || e.Nodes[0].Errors[0].Need != "a link to an output of type TEST_PICTURE" {
			t.Errorf("%s: %v", v, err)
		}
		_, err = Run(t.Context(), p, Options{Nodes: l, Partial: true})
		if e, ok := err.(*Error); !ok || e.Kind != KindBadValue || e.Input != "picture" || e.Need == "" {
			t.Errorf("%s: %v", v, err)
		}
	}
}

type testPicture struct{}

func (testPicture) TypeName() string { return "TEST_PICTURE" }

type pictureShow struct{ Picture testPicture }

func (pictureShow) Run(*Call) (UI, error) { return UI{}, nil }
