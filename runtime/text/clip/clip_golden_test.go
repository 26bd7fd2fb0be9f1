package clip

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"graphrun/internal/golden"
	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
	"graphrun/runtime/nn"
	"graphrun/runtime/weights"
)

// TestGoldenCLIP holds the text encoder, state by state, to transformers in float32.
func TestGoldenCLIP(t *testing.T) { golden.Models(t, testCLIP, "clip_text") }

func testCLIP(t *testing.T, c golden.ModelCase) {
	dir := filepath.Join(golden.Stage(t, "tiny/"+c.Model), c.Component)
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := ParseConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	store, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	n, err := New(config, nn.NewBinder(store, nil, nn.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	pool := cpu.NewPool(2)
	defer pool.Close()
	dev := device.NewCPU(pool, true)
	tensors := c.Tensors(t)
	var ids []int
	end, top := 0, -1
	for i, id := range tensors[c.Inputs["input_ids"].(string)].I64() {
		ids = append(ids, int(id))
		if int(id) > top { // the first of the greatest id is the end token
			end, top = i, int(id)
		}
	}
	wants := 0
	p := device.NewPass(context.Background(), dev, device.NewArena(dev, 0))
	p.Point = func(name string, got device.Tensor) {
		if key, ok := c.Outputs[name]; ok {
			wants++
			golden.Close(t, name, p.Download(got, false), tensors[key].F32(), c.Tol, 0)
		}
	}
	_, last := n.Forward(p, ids, nil, 0)
	all := p.Download(last, false)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if key, ok := c.Outputs["pooler_output"]; ok {
		wants++
		golden.Close(t, "pooler_output", all[end*config.HiddenSize:(end+1)*config.HiddenSize], tensors[key].F32(), c.Tol, 0)
	}
	if wants < 3 {
		t.Errorf("only %d outputs compared of %v", wants, c.Outputs)
	}
}
