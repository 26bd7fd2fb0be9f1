package workflow

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"graphrun/graph"
)

// a1111Nodes are the nodes that parameters become, in ComfyUI's form but with fewer inputs.
func a1111Nodes(t testing.TB) graph.Library {
	l, err := graph.ParseObjectInfo([]byte(`{
		"CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [["old/a.safetensors", "dream_8.safetensors", "dream_9.safetensors"]]}}, "output": ["MODEL", "CLIP", "VAE"]},
		"LoraLoader": {"input": {"required": {"model": ["MODEL"], "clip": ["CLIP"], "lora_name": [["one.pt"]], "strength_model": ["FLOAT", {"default": 1}], "strength_clip": ["FLOAT", {"default": 1}]}}, "output": ["MODEL", "CLIP"]},
		"KSampler": {"input": {"required": {"seed": ["INT", {"default": 0}], "steps": ["INT", {"default": 20}], "cfg": ["FLOAT", {"default": 8}], "sampler_name": [["euler", "euler_ancestral", "dpmpp_2m", "sample_old"]],
			"scheduler": [["simple", "normal", "karras"]], "denoise": ["FLOAT", {"default": 1}]}}, "output": ["LATENT"]},
		"LatentUpscale": {"input": {"required": {"upscale_method": [["nearest-exact", "bilinear", "area", "bicubic"]], "width": ["INT"], "height": ["INT"]}}, "output": ["LATENT"]},
		"UpscaleModelLoader": {"input": {"required": {"model_name": [["4x-UltraSharp.pth"]]}}, "output": ["UPSCALE_MODEL"]}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestA1111(t *testing.T) {
	const size = "Steps: 20, Size: 512x512"
	for _, c := range []struct{ text, input, want string }{
		{"x\nSteps: 20, Model: dream", "1.ckpt_name", `"dream_8.safetensors"`},
		{"x\nSteps: 20, Model: other", "1.ckpt_name", `"other"`},
		{"x\nSteps: 20", "1.ckpt_name", `"old/a.safetensors"`},
		{"x\nSteps: 20, Clip skip: 2", "2.stop_at_clip_layer", `-2`},
		{"x\r\nNegative prompt: y, z\r\nSteps: 20\r\nmore", "4.text", `"y, z"`},
		{"a\nNegative prompt: b\nNegative prompt: c\nSteps: 1", "3.text", `"a\nNegative prompt: b"`},
		{"a\nSteps: 5\nSteps: 6, CFG scale: 7.25", "3.text", `"a\nSteps: 5"`},
		{"a\nSteps: 5\nSteps: 6, CFG scale: 7.25", "5.cfg", `7.25`},
		{"x\nSteps: 20, Seed: 18446744073709551615", "5.seed", `18446744073709551615`},
		{"x\nSteps: many, Seed: .5", "5.steps", `20`},
		{"x\nSteps: many, Seed: .5", "5.seed", `0.5`},
		{"x\nSteps: 20, Sampler: DPM++ 2M Karras", "5.sampler_name", `"dpmpp_2m"`},
		{"x\nSteps: 20, Sampler: DPM++ 2M Karras", "5.scheduler", `"karras"`},
		{"x\nSteps: 20, Sampler: Old", "5.sampler_name", `"sample_old"`},
		{"x\nSteps: 20, Sampler: Restart", "5.sampler_name", `"euler"`},
		{"x\nSteps: 20, Sampler: Restart", "5.scheduler", `"normal"`},
		{"x\nSteps: 20", "5.scheduler", `"simple"`},
		{"x\nSteps: 20, Lora hashes: \"a: 1, Seed: 2\", Seed: 3", "5.seed", `3`},
		{"x\nSteps: 20, Hashes: {\"model\": \"a, Seed: 2\"}, Seed: 3", "5.seed", `3`},
		{"x\nSteps: 20, Size: 500x700", "6.width", `512`},
		{"x\nSteps: 20, Size: 500x700", "6.height", `704`},
		{"x\nSteps: 20, Size: big", "6.width", `null`},
		{"x <lora:one:0.5:1> y <lora:two:bad> <lora:three>\nSteps: 20", "3.text", `"x  y  \u003clora:three\u003e"`},
		{"x <lora:one:0.5:1> y <lora:two:bad> <lora:three>\nSteps: 20", "9.lora_name", `"one.pt"`},
		{"x <lora:one:0.5:1> y <lora:two:bad> <lora:three>\nSteps: 20", "9.strength_clip", `0.5`},
		{"x <lora:one:0.5:1> y <lora:two:bad> <lora:three>\nSteps: 20", "5.model", `["9",0]`},
		{"easy NEG, easyneg2, bad-hand\nSteps: 20", "3.text", `"embedding:easy NEG, easyneg2, embedding:bad-hand"`},
		{"x\n" + size + ", Hires upscale: 1.6, Hires upscaler: Latent (bicubic antialiased)", "9.width", `832`},
		{"x\n" + size + ", Hires upscale: 1.6, Hires upscaler: Latent (bicubic antialiased)", "9.upscale_method", `"bicubic"`},
		{"x\n" + size + ", Hires upscale: 2", "9.upscale_method", `"bilinear"`},
		{"x\n" + size + ", Hires upscale: 2, Hires upscaler: Latent (nearest)", "9.upscale_method", `"nearest-exact"`},
		{"x\n" + size + ", Hires upscale: 2, Hires steps: 7, Denoising strength: 0.3", "10.steps", `7`},
		{"x\n" + size + ", Hires upscale: 2, Hires steps: 0, Denoising strength: 0.3", "10.steps", `20`},
		{"x\n" + size + ", Hires upscale: 2, Denoising strength: 0.3", "10.denoise", `0.3`},
		{"x\n" + size + ", Hires resize: 600x900, Hires upscaler: 4x-Ultra", "10.model_name", `"4x-UltraSharp.pth"`},
		{"x\n" + size + ", Hires resize: 600x900, Hires upscaler: 4x-Ultra", "12.height", `960`},
		{"x\n" + size + ", Hires resize: 600x900, Hires upscaler: 4x-Ultra", "7.samples", `["14",0]`},
		{"x\n" + size + ", Hires upscale: -1", "7.samples", `["5",0]`},
	} {
		f, err := Parse([]byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		p, err := f.Prompt(Options{Nodes: a1111Nodes(t), Embeddings: []string{"easy neg", "bad-hand"}})
		if err != nil {
			t.Fatal(err)
		}
		id, input, _ := strings.Cut(c.input, ".")
		if p.Nodes[id] == nil {
			t.Errorf("%s: no node %s", c.text, id)
			continue
		}
		v, _ := p.Nodes[id].Input(input)
		if got, _ := json.Marshal(v); string(got) != c.want {
			t.Errorf("%q: %s is %s, want %s", c.text, c.input, got, c.want)
		}
	}
}

// Of several forms the workflow counts, then the prompt, then the parameters; one that is broken gives way.
func TestForms(t *testing.T) {
	const a1111 = "a fox\nSteps: 3"
	texts := func(workflow, prompt, parameters string) []byte {
		return png(chunk("tEXt", []byte("parameters\x00"+parameters)), chunk("tEXt", []byte("prompt\x00"+prompt)), chunk("tEXt", []byte("workflow\x00"+workflow)))
	}
	nested := `{"nodes": [{"id": 5, "type": "x", "inputs": [{"name": "a", "link": 1}]}, {"id": 6, "type": "Reroute", "inputs": [{"link": 1}]}], "links": [[1, 6, 0, 6, 0, "*"]]}`
	for name, c := range map[string]struct {
		data []byte
		want []string
	}{
		"workflow":           {texts(`{"nodes": [{"id": 7, "type": "Loader"}], "links": []}`, somePrompt, a1111), []string{"7"}},
		"no nodes":           {texts(`{"nodes": [], "links": []}`, somePrompt, a1111), []string{"1"}},
		"broken workflow":    {texts(`{"nodes"`, somePrompt, a1111), []string{"1"}},
		"a cycle":            {texts(nested, somePrompt, a1111), []string{"1"}},
		"broken prompt":      {texts("{", "{", a1111), []string{"1", "2", "3", "4", "5", "6", "7", "8"}},
		"parameters":         {png(chunk("tEXt", []byte("parameters\x00"+a1111))), []string{"1", "2", "3", "4", "5", "6", "7", "8"}},
		"parameters as text": {[]byte(a1111), []string{"1", "2", "3", "4", "5", "6", "7", "8"}},
	} {
		f, err := Parse(c.data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := f.Prompt(Options{Nodes: testNodes(t)})
		if err != nil || !reflect.DeepEqual(p.IDs, c.want) {
			t.Errorf("%s: nodes %v, %v, want %v", name, p, err, c.want)
		}
	}
	if _, err := Parse(png(chunk("tEXt", []byte("parameters\x00hello")))); err == nil || !strings.Contains(err.Error(), "PNG file without") {
		t.Error(err)
	}
}

func FuzzA1111(f *testing.F) {
	f.Add("a <lora:b:0.5>\nNegative prompt: c\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1, Size: 512x512, Model: d, Clip skip: 2")
	f.Add("a\nSteps: 1, Size: 8x8, Hires upscale: 2, Hires upscaler: 4x, Hires steps: 3, Denoising strength: 0.5")
	nodes := a1111Nodes(f)
	f.Fuzz(func(t *testing.T, text string) {
		p := importA1111(text, Options{Nodes: nodes, Embeddings: []string{"a", "("}})
		if len(p.IDs) < 8 {
			t.Fatal("too few nodes")
		}
		doc, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range p.IDs {
			if id != fmt.Sprint(i+1) {
				t.Fatalf("ids %v", p.IDs)
			}
			for _, in := range p.Nodes[id].Inputs {
				if l := list(in.Value); len(l) == 2 && p.Nodes[ident(l[0])] == nil {
					t.Fatalf("link to nowhere in %s", doc)
				}
			}
		}
	})
}
