package endtoend

import (
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"graphrun/graph"
	"graphrun/types"
)

// demoSet is runtime/hub/testdata: the emoji that the demo model was trained on, and forty prompts chosen by chance
// before any result was seen.
type demoSet struct {
	Backgrounds map[string][3]float32
	Emoji       []string
	Prompts     []struct {
		Prompt, Emoji, Background string
		Seed                      int
	}
	sheet image.Image // thumbnails with alpha, row by row, 12 a row
}

const (
	thumb   = 32 // pixels a side of a thumbnail
	columns = 12
)

func readDemoSet(t *testing.T) (d demoSet) {
	dir := filepath.Join("..", "..", "runtime", "hub", "testdata")
	raw, err := os.ReadFile(filepath.Join(dir, "demo_prompts.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "demo_reference.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if d.sheet, err = png.Decode(f); err != nil {
		t.Fatal(err)
	}
	return d
}

// thumbnail is emoji i on a background, thumb x thumb x 3 in 0..1.
func (d *demoSet) thumbnail(i int, background string) []float32 {
	out := make([]float32, 0, thumb*thumb*3)
	x0, y0 := i%columns*thumb, i/columns*thumb
	for y := range thumb {
		for x := range thumb {
			r, g, b, a := d.sheet.At(x0+x, y0+y).RGBA() // premultiplied
			for ch, v := range []uint32{r, g, b} {
				out = append(out, float32(v)/65535+(1-float32(a)/65535)*d.Backgrounds[background][ch]/255)
			}
		}
	}
	return out
}

// nearest is the emoji whose picture on the background is nearest to pic in downsampled RGB.
func (d *demoSet) nearest(pic []float32, background string) string {
	best, least := "", float32(0)
	for i, name := range d.Emoji {
		var sum float32
		for j, v := range d.thumbnail(i, background) {
			sum += (v - pic[j]) * (v - pic[j])
		}
		if best == "" || sum < least {
			best, least = name, sum
		}
	}
	return best
}

// shrink averages a picture's pixels to thumb x thumb.
func shrink(im types.Image) []float32 {
	h, w := im.Shape[1], im.Shape[2]
	out := make([]float32, thumb*thumb*3)
	for y := range thumb {
		for x := range thumb {
			y0, y1, x0, x1 := y*h/thumb, (y+1)*h/thumb, x*w/thumb, (x+1)*w/thumb
			for ch := range 3 {
				var sum float32
				for i := y0; i < y1; i++ {
					for j := x0; j < x1; j++ {
						sum += im.Data[(i*w+j)*3+ch]
					}
				}
				out[(y*thumb+x)*3+ch] = sum / float32((y1-y0)*(x1-x0))
			}
		}
	}
	return out
}

// TestDemoModelPaintsWhatThePromptSays draws forty prompts: the picture nearest to each result among all that the model
// was trained on must be the prompted one, 36 times at least.
func TestDemoModelPaintsWhatThePromptSays(t *testing.T) {
	d := readDemoSet(t)
	right := 0
	prompt, err := graph.ParsePrompt([]byte(demoPrompts(d)))
	if err != nil {
		t.Fatal(err)
	}
	res := run(t, prompt, t.TempDir(), "auto")
	for i, p := range d.Prompts {
		im := res.Values(fmt.Sprintf("image%d", i), 0)[0].(types.Image)
		if got := d.nearest(shrink(im), p.Background); got == p.Emoji {
			right++
		} else {
			t.Logf("%q: nearest is %s", p.Prompt, got)
		}
	}
	t.Logf("%d of %d right", right, len(d.Prompts))
	if len(d.Prompts) != 40 || right < 36 {
		t.Errorf("%d of %d prompts gave their picture, need 36 of 40", right, len(d.Prompts))
	}
}

// demoPrompts is one graph that draws all prompts.
func demoPrompts(d demoSet) string {
	nodes := map[string]any{
		"model":  node("SDNQModelLoader", "model_path", "graphrun/demo"),
		"empty":  node("CLIPTextEncode", "text", "", "clip", link("model", 1)),
		"latent": node("EmptyLatentImage", "width", 96, "height", 96, "batch_size", 1),
	}
	for i, p := range d.Prompts {
		text, sample, img := fmt.Sprintf("text%d", i), fmt.Sprintf("sample%d", i), fmt.Sprintf("image%d", i)
		nodes[text] = node("CLIPTextEncode", "text", p.Prompt, "clip", link("model", 1))
		nodes[sample] = node("KSampler", "model", link("model", 0), "seed", p.Seed, "steps", 20, "cfg", 4.0, "sampler_name", "euler", "scheduler", "normal",
			"positive", link(text, 0), "negative", link("empty", 0), "latent_image", link("latent", 0), "denoise", 1.0)
		nodes[img] = node("VAEDecode", "samples", link(sample, 0), "vae", link("model", 2))
		nodes[fmt.Sprintf("save%d", i)] = node("SaveImage", "images", link(img, 0), "filename_prefix", "demo")
	}
	raw, _ := json.Marshal(nodes)
	return string(raw)
}

func node(class string, inputs ...any) map[string]any {
	in := map[string]any{}
	for i := 0; i < len(inputs); i += 2 {
		in[inputs[i].(string)] = inputs[i+1]
	}
	return map[string]any{"class_type": class, "inputs": in}
}

func link(id string, slot int) any { return []any{id, slot} }
