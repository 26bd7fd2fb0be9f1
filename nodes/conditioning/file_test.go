package conditioning

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"graphrun/graph"
	"graphrun/runtime/hub"
	"graphrun/runtime/weights"
)

func TestConditioningLoader(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "embeddings"), 0o777); err != nil {
		t.Fatal(err)
	}
	tensor := func(name string, shape []int, values ...float32) weights.Tensor {
		var raw []byte
		for _, v := range values {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
		return weights.Tensor{Name: name, DType: weights.F32, Shape: shape, Data: raw}
	}
	tokens, pooled := tensor("conditioning", []int{1, 2, 2}, 1, 2, 3, 4), tensor("pooled_output", []int{1, 2}, 5, 6)
	for name, tensors := range map[string][]weights.Tensor{
		"both": {tokens, pooled, tensor("guidance", []int{1}, 3)}, "one": {tokens}, "none": {pooled}, "flat": {tensor("conditioning", []int{2}, 1, 2)},
	} {
		if err := weights.Write(filepath.Join(dir, "embeddings", name+".safetensors"), tensors, nil); err != nil {
			t.Fatal(err)
		}
	}
	c := &graph.Call{Context: t.Context(), Env: graph.NewEnv()}
	graph.Provide(c.Env, &hub.Folders{Models: []string{dir}})
	for name, wrong := range map[string]string{"both": "", "one": "", "none": `a tensor "conditioning"`, "flat": "conditioning", "absent": "absent"} {
		got, err := ConditioningLoader{conditioningFile(name + ".safetensors")}.Run(c)
		switch {
		case wrong != "":
			if err == nil || !strings.Contains(err.Error(), wrong) {
				t.Errorf("%s: %v, want %s", name, err, wrong)
			}
		case err != nil || len(got) != 1 || !reflect.DeepEqual(got[0].Tokens.Data, []float32{1, 2, 3, 4}):
			t.Errorf("%s: %+v, %v", name, got, err)
		case (got[0].Pooled != nil) != (name == "both") || name == "both" && !reflect.DeepEqual(got[0].Pooled.Data, []float32{5, 6}):
			t.Errorf("%s: pooled %+v", name, got[0].Pooled)
		}
	}
}
