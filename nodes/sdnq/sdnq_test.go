package sdnq

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graphrun/graph"
	"graphrun/runtime/hub"
	"graphrun/runtime/sdnq"
	"graphrun/runtime/weights"
)

// model writes a pipeline of one component with one Linear of 64 by 32.
func model(t *testing.T, dir string) []float32 {
	t.Helper()
	unet := filepath.Join(dir, "unet")
	values, raw := make([]float32, 64*32), []byte(nil)
	for i := range values {
		values[i] = float32(math.Sin(float64(i)))
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(values[i]))
	}
	if err := errors.Join(
		os.MkdirAll(unet, 0o777),
		os.WriteFile(filepath.Join(dir, "model_index.json"), []byte(`{"_class_name": "P"}`), 0o666),
		os.WriteFile(filepath.Join(unet, "config.json"), []byte(`{"_class_name": "UNet2DConditionModel"}`), 0o666),
		weights.Write(filepath.Join(unet, "diffusion_pytorch_model.safetensors"),
			[]weights.Tensor{{Name: "proj.weight", DType: weights.F32, Shape: []int{64, 32}, Data: raw}}, nil),
	); err != nil {
		t.Fatal(err)
	}
	return values
}

func TestQuantize(t *testing.T) {
	root := t.TempDir()
	src := filepath.Join(root, "source")
	values := model(t, src)
	env := graph.NewEnv()
	graph.Provide(env, &hub.Folders{Models: []string{filepath.Join(root, "models")}})
	p, err := graph.ParsePrompt([]byte(`{"1":{"class_type":"SDNQQuantize","inputs":{"model_path":` + quote(src) + `,"quant_conv":true,"minimum_allowed_channel_size":1,
		"minimum_allowed_numel":1,"components":"unet"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "models", "diffusers", ".source-int8.part", "model"), 0o777); err != nil { // of a process that was killed
		t.Fatal(err)
	}
	steps := 0
	res, err := graph.Run(context.Background(), p, graph.Options{Env: env, Events: func(e graph.Event) {
		if p, ok := e.(graph.Progress); ok && p.Phase == "quantize" {
			steps++
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	dir := res.Values("1", 0)[0].(string)
	if want := filepath.Join(root, "models", "diffusers", "source-int8"); dir != want || steps != 1 || res.UI["1"]["text"][0] != dir {
		t.Errorf("wrote %s, want %s; %d reports", dir, want, steps)
	}
	cfg, err := sdnq.LoadConfig(filepath.Join(dir, "unet"))
	if err != nil || cfg == nil || cfg.WeightsDType != "int8" || !cfg.QuantConv {
		t.Fatalf("config %v, %v", cfg, err)
	}
	store, err := weights.Open(filepath.Join(dir, "unet"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	layer, err := sdnq.Layer(store, "proj", cfg, []int{64, 32})
	if err != nil {
		t.Fatal(err)
	}
	largest := 0.0
	for i, v := range layer.Dequantize() {
		largest = max(largest, math.Abs(float64(v-values[i])))
	}
	t.Logf("largest difference %.3g", largest)
	if largest > 0.5/127 {
		t.Errorf("int8 misses by %g", largest)
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func TestQuantizeErrors(t *testing.T) {
	root := t.TempDir()
	src := filepath.Join(root, "source")
	model(t, src)
	t.Setenv("HF_HUB_OFFLINE", "1")
	folders := &hub.Folders{Models: []string{filepath.Join(root, "models")}}
	good := SDNQQuantize{ModelPath: src, WeightsDType: "int8", MinChannels: 1, MinNumel: 1, Save: true}
	for name, change := range map[string]func(*SDNQQuantize){
		"outside":      func(n *SDNQQuantize) { n.OutputName = "../x" },
		"absolute":     func(n *SDNQQuantize) { n.OutputName = "/tmp/x" },
		"no such":      func(n *SDNQQuantize) { n.ModelPath = filepath.Join(root, "none") },
		"demo":         func(n *SDNQQuantize) { n.ModelPath = hub.Demo },
		"no component": func(n *SDNQQuantize) { n.Components = "vae" },
		"too small":    func(n *SDNQQuantize) { n.MinNumel = 1 << 20 },
	} {
		n := good
		change(&n)
		env := graph.NewEnv()
		graph.Provide(env, folders)
		if _, err := n.Run(&graph.Call{Context: context.Background(), Env: env}); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
		if left, _ := filepath.Glob(filepath.Join(root, "models", "diffusers", "*")); len(left) > 0 {
			t.Errorf("%s leaves %s", name, strings.Join(left, ", "))
		}
	}
	if _, err := good.Run(&graph.Call{Context: context.Background(), Env: graph.NewEnv()}); err == nil {
		t.Error("no folders: no error")
	}
}

// Every format that the node offers can be written.
func TestFormats(t *testing.T) {
	root := t.TempDir()
	src := filepath.Join(root, "source")
	model(t, src)
	env := graph.NewEnv()
	graph.Provide(env, &hub.Folders{Models: []string{filepath.Join(root, "models")}})
	for _, dtype := range weightsDType("").Options() {
		n := SDNQQuantize{ModelPath: src, WeightsDType: weightsDType(dtype), MinChannels: 1, MinNumel: 1, Save: true}
		if _, err := n.Run(&graph.Call{Context: context.Background(), Env: env}); err != nil {
			t.Errorf("%s: %v", dtype, err)
		}
	}
}
