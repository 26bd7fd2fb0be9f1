package conditioning

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"graphrun/graph"
	"graphrun/runtime/hub"
	"graphrun/types"
)

// encoder answers with what it was asked.
type encoder struct{ err error }

func (e encoder) Encode(ctx context.Context, text string, lastLayer int) (types.Conditioning, error) {
	types.Report(ctx, types.Progress{Phase: "encode", Step: 1, Total: 1})
	return types.Conditioning{{Tokens: types.Tensor{Shape: []int{1, 1, 1}, Data: []float32{float32(len(text))}}, Strength: float64(lastLayer)}}, e.err
}

func TestTextEncode(t *testing.T) {
	call := &graph.Call{Context: context.Background()}
	clip, err := CLIPSetLastLayer{types.CLIP{TextEncoder: encoder{}}, -2}.Run(call)
	if err != nil {
		t.Fatal(err)
	}
	a, err := CLIPTextEncode{"four", clip}.Run(call)
	if err != nil || a[0].Tokens.Data[0] != 4 || a[0].Strength != -2 {
		t.Fatalf("%v, %v", a, err)
	}
	b, err := ConditioningCombine{a, types.Conditioning{{Strength: 7}, {Strength: 8}}}.Run(call)
	if err != nil || len(b) != 3 || b[0].Strength != -2 || b[2].Strength != 8 {
		t.Fatalf("%v, %v", b, err)
	}
	if b[0].Strength = 1; a[0].Strength != -2 {
		t.Error("the combined list shares memory with its parts")
	}
	failed := errors.New("no memory")
	if _, err := (CLIPTextEncode{"", types.CLIP{TextEncoder: encoder{failed}}}).Run(call); !errors.Is(err, failed) {
		t.Errorf("the encoder's error is lost: %v", err)
	}
	var e *graph.Error
	if _, err := (CLIPTextEncode{}).Run(call); !errors.As(err, &e) || e.Input != "clip" || e.Hint == "" {
		t.Errorf("no text encoder: %v", err)
	}
}

// A text that names embeddings, or may, has the fingerprint of their files.
func TestTextFingerprint(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "embeddings", "one.safetensors")
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		t.Fatal(err)
	}
	env := graph.NewEnv()
	graph.Provide(env, &hub.Folders{Models: []string{root}})
	prints := func() (out [3]string) {
		for i, text := range []string{"a cat", "a cat, Embedding:one", ""} {
			print, err := CLIPTextEncode{Text: text}.Fingerprint(env)
			if err != nil {
				t.Fatal(err)
			}
			out[i] = print
		}
		return out
	}
	before := prints()
	if err := os.WriteFile(file, []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	after := prints()
	if before[0] != after[0] || before[1] == after[1] || before[2] == after[2] {
		t.Errorf("before %q, after %q", before, after)
	}
}
