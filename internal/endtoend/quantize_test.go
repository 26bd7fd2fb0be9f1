package endtoend

import (
	"math"
	"os"
	"path/filepath"
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
	got := res.Values("int8-paint", 0)[0].(types.Latent).Samples.Data
	want := res.Values("dense-paint", 0)[0].(types.Latent).Samples.Data
	var diff, size float64
	for i, w := range want {
		diff += math.Pow(float64(got[i]-w), 2)
		size += math.Pow(float64(w), 2)
	}
	off := math.Sqrt(diff / size)
	t.Logf("relative difference of the latents: %.4f", off)
	if !(off > 0 && off < 0.1) {
		t.Errorf("relative difference %g, need above 0 and below 0.1", off)
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
