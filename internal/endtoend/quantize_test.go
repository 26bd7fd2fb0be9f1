package endtoend

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"graphrun/graph"
	"graphrun/internal/golden"
	"graphrun/types"
)

// TestGoldenQuantizeAndPaint quantizes the tiny SD1.5 to int8 with the node, loads the folder that it wrote, and paints
// beside the original: the latents are close, and not the same.
func TestGoldenQuantizeAndPaint(t *testing.T) {
	golden.Dir(t)
	dir, staged := t.TempDir(), golden.Stage(t, "tiny/tiny-sd15")
	prompt, err := graph.ParsePrompt([]byte(`{
		"q": {"class_type": "SDNQQuantize", "inputs": {"model_path": "` + filepath.ToSlash(staged) + `", "output_name": "tiny-int8",
			"minimum_allowed_channel_size": 8, "minimum_allowed_numel": 64, "quant_conv": true}},
		"int8": {"class_type": "SDNQModelLoader", "inputs": {"model_path": ["q", 0]}},
		"dense": {"class_type": "SDNQModelLoader", "inputs": {"model_path": "` + filepath.ToSlash(staged) + `"}},
		` + painting("int8") + `, ` + painting("dense") + `}`))
	if err != nil {
		t.Fatal(err)
	}
	res := run(t, prompt, dir, "exact")
	for _, part := range []string{"unet", "vae", "text_encoder"} {
		text, err := os.ReadFile(filepath.Join(dir, "models", "diffusers", "tiny-int8", part, "config.json"))
		if err != nil || !strings.Contains(string(text), `"quant_method": "sdnq"`) {
			t.Errorf("%s/config.json tells nothing of SDNQ (%v)", part, err)
		}
	}
	near(t, res, "int8", "dense")
}

// near holds what two loaders painted to be close, and not the same.
func near(t *testing.T, res *graph.Result, name, dense string) {
	t.Helper()
	got := res.Values(name+"-paint", 0)[0].(types.Latent).Samples.Data
	want := res.Values(dense+"-paint", 0)[0].(types.Latent).Samples.Data
	var diff, size float64
	for i, w := range want {
		diff += math.Pow(float64(got[i]-w), 2)
		size += math.Pow(float64(w), 2)
	}
	off := math.Sqrt(diff / size)
	t.Logf("%s: relative difference of the latents %.4f", name, off)
	if !(off > 0 && off < 0.1) {
		t.Errorf("%s: relative difference %g, need above 0 and below 0.1", name, off)
	}
	if len(res.UI[name+"-save"]["images"]) != 1 {
		t.Errorf("%s: no picture", name)
	}
}

// TestGoldenQuantizeWhatIsLoaded paints with the node's own outputs: of a folder and of a file by their paths, kept and not, and
// of what loaders made, behind another sampling too.
func TestGoldenQuantizeWhatIsLoaded(t *testing.T) {
	golden.Dir(t)
	dir, staged := t.TempDir(), golden.Stage(t, "tiny/tiny-sd15")
	checkpoints := filepath.Join(dir, "models", "checkpoints")
	if err := os.MkdirAll(checkpoints, 0o777); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"single-file.safetensors": "tiny.safetensors"} {
		data, err := os.ReadFile(filepath.Join(staged, from))
		if err == nil {
			err = os.WriteFile(filepath.Join(checkpoints, to), data, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	quantize := func(inputs string) string {
		return `{"class_type": "SDNQQuantize", "inputs": {"minimum_allowed_channel_size": 8, "minimum_allowed_numel": 64, "quant_conv": true, ` + inputs + `}}`
	}
	links := func(loader string) string {
		return `"model": ["` + loader + `", 0], "clip": ["` + loader + `", 1], "vae": ["` + loader + `", 2]`
	}
	graphs := map[string]string{
		"kept":   quantize(`"model_path": "` + filepath.ToSlash(staged) + `"`),
		"gone":   quantize(`"model_path": "` + filepath.ToSlash(staged) + `", "save": false, "use_quantized_matmul": true`),
		"file":   quantize(`"model_path": "tiny.safetensors", "weights_dtype": "uint8"`),
		"passed": quantize(`"model_path": "tiny.safetensors", "save": false, "quant_embedding": true`),
		"linked": quantize(links("dense")),
		"alike":  quantize(links("single")),
		"shaped": quantize(`"model": ["shape", 0], "clip": ["dense", 1]`),
	}
	prompt := `{
		"dense": {"class_type": "SDNQModelLoader", "inputs": {"model_path": "` + filepath.ToSlash(staged) + `"}},
		"single": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "tiny.safetensors"}},
		"shape": {"class_type": "ModelSamplingDiscrete", "inputs": {"model": ["dense", 0], "sampling": "v_prediction", "zsnr": false}},
		` + painting("dense") + `, ` + painting("single")
	prompt += `, ` + strings.Replace(strings.ReplaceAll(painting("shape"), `["shape", 1]`, `["dense", 1]`), `["shape", 2]`, `["dense", 2]`, 1)
	for name, node := range graphs {
		paint := painting(name)
		for slot := range 3 { // the path comes first
			paint = strings.ReplaceAll(paint, `["`+name+`", `+string(rune('2'-slot))+`]`, `["`+name+`", `+string(rune('3'-slot))+`]`)
		}
		if name == "shaped" {
			paint = strings.Replace(paint, `["shaped", 3]`, `["dense", 2]`, 1)
		}
		prompt += `, "` + name + `": ` + node + `, ` + paint
	}
	p, err := graph.ParsePrompt([]byte(prompt + `}`))
	if err != nil {
		t.Fatal(err)
	}
	res := run(t, p, dir, "auto")
	for name := range graphs {
		dense := map[string]string{"file": "single", "passed": "single", "alike": "single", "shaped": "shape"}[name]
		if dense == "" {
			dense = "dense"
		}
		near(t, res, name, dense)
	}
	for path, there := range map[string]bool{"diffusers/" + filepath.Base(staged) + "-int8": true, "checkpoints/tiny-uint8.safetensors": true, "checkpoints/tiny-int8.safetensors": false} {
		if _, err := os.Stat(filepath.Join(dir, "models", filepath.FromSlash(path))); (err == nil) != there {
			t.Errorf("models/%s: %v, want it there: %v", path, err, there)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "temp", "graphrun-quantized-*")); runtime.GOOS != "windows" && len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// painting is the nodes that paint with the loader of the name.
func painting(loader string) string {
	return strings.ReplaceAll(`
		"L-yes": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["L", 1]}},
		"L-no": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["L", 1]}},
		"L-empty": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
		"L-paint": {"class_type": "KSampler", "inputs": {"model": ["L", 0], "seed": 3, "steps": 4, "cfg": 2, "sampler_name": "euler", "scheduler": "normal",
			"positive": ["L-yes", 0], "negative": ["L-no", 0], "latent_image": ["L-empty", 0], "denoise": 1}},
		"L-decode": {"class_type": "VAEDecode", "inputs": {"samples": ["L-paint", 0], "vae": ["L", 2]}},
		"L-save": {"class_type": "SaveImage", "inputs": {"images": ["L-decode", 0], "filename_prefix": "L"}}`, `"L`, `"`+loader)
}
