package workflow

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"graphrun/graph"
)

// maxA1111 is the longest text that is taken for parameters where nothing else says so.
const maxA1111 = 1 << 20

// isA1111 reports whether text is what A1111 writes about a picture: its settings stand in a line "Steps: ...".
func isA1111(text string) bool { return strings.Contains(text, "\nSteps:") }

// settings are A1111's settings by their lower-case names.
type settings map[string]string

// setting is one "name: value" of the line; a value in quotes or braces may hold commas.
var setting = regexp.MustCompile(`\s*([^:,]+):\s*("[^"]*"|\{[^}]*\}|[^,]*)(?:,|$)`)

// splitA1111 takes parameters apart: the prompt, "Negative prompt:" if there is one, and the line of settings.
func splitA1111(text string) (positive, negative string, s settings) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	at := strings.LastIndex(text, "\nSteps:")
	if at < 0 {
		return text, "", settings{}
	}
	line, _, _ := strings.Cut(text[at+1:], "\n")
	s = settings{}
	for _, m := range setting.FindAllStringSubmatch(line, -1) {
		s[strings.ToLower(strings.TrimSpace(m[1]))] = strings.TrimSpace(m[2])
	}
	const mark = "\nNegative prompt:"
	positive = text[:at]
	if n := strings.LastIndex(positive, mark); n >= 0 {
		positive, negative = positive[:n], positive[n+len(mark):]
	}
	return strings.TrimSpace(positive), strings.TrimSpace(negative), s
}

// importer builds the prompt of A1111's parameters (section 10).
type importer struct {
	settings
	o Options
	p *graph.Prompt
}

// importA1111 makes a prompt of A1111's parameters. Nodes are numbered as in the editor: 1 checkpoint, 2 clip skip, 3 and
// 4 texts, 5 sampler, 6 latent, 7 decoder, 8 save; then what the second pass needs, then LoRAs.
func importA1111(text string, o Options) *graph.Prompt {
	positive, negative, s := splitA1111(text)
	i := &importer{s, o, &graph.Prompt{Nodes: map[string]*graph.Node{}}}
	checkpoint := i.add("CheckpointLoaderSimple")
	skip := i.add("CLIPSetLastLayer", graph.Input{Name: "clip", Value: checkpoint.out(1)})
	texts := [2]made{i.add("CLIPTextEncode"), i.add("CLIPTextEncode")}
	sampler := i.add("KSampler")
	latent := i.add("EmptyLatentImage")
	decode := i.add("VAEDecode", graph.Input{Name: "vae", Value: checkpoint.out(2)})
	i.add("SaveImage", graph.Input{Name: "images", Value: decode.out(0)})

	i.choose(checkpoint, "ckpt_name", s["model"])
	if n, ok := amount(s["clip skip"]); ok {
		skip.Set("stop_at_clip_layer", negated(n))
	}
	i.sample(sampler)
	width, height, sized := i.size("size")
	if sized {
		latent.Set("width", width)
		latent.Set("height", height)
	}
	samplers := []made{sampler}
	last := sampler
	if second, ok := i.secondPass(checkpoint, sampler, width, height); ok {
		samplers, last = append(samplers, second), second
	}
	model, clip := checkpoint.out(0), skip.out(0)
	for k, text := range []string{positive, negative} {
		text, loras := takeLoras(text)
		for _, l := range loras {
			n := i.add("LoraLoader", graph.Input{Name: "model", Value: model}, graph.Input{Name: "clip", Value: clip})
			i.choose(n, "lora_name", l.name)
			n.Set("strength_model", l.weight)
			n.Set("strength_clip", l.weight)
			model, clip = n.out(0), n.out(1)
		}
		texts[k].Set("text", i.nameEmbeddings(text))
		texts[k].Set("clip", clip)
	}
	for _, n := range samplers {
		n.Set("model", model)
		n.Set("positive", texts[0].out(0))
		n.Set("negative", texts[1].out(0))
	}
	sampler.Set("latent_image", latent.out(0))
	decode.Set("samples", last.out(0))
	return i.p
}

// made is a node of the new prompt.
type made struct {
	*graph.Node
	id string
}

func (m made) out(slot int) any { return graph.Link(m.id, slot) }

// add appends a node with the defaults of its widgets, and the links. Values that are set later keep the defaults' places.
func (i *importer) add(class string, links ...graph.Input) made {
	n := &graph.Node{Class: class}
	if spec := i.o.Nodes[class]; spec != nil {
		c := classOf(spec, i.o.Env)
		n.Title = c.title
		for k := range c.inputs {
			in := &c.inputs[k]
			if v, absent := in.initial(); in.isWidget() && !absent {
				n.Inputs = append(n.Inputs, graph.Input{Name: in.name, Value: v})
			}
		}
	}
	n.Inputs = append(n.Inputs, links...)
	id := strconv.Itoa(len(i.p.IDs) + 1)
	i.p.Add(id, n)
	return made{n, id}
}

// choose sets a choice to its first option that begins with the text, or else to the text itself.
func (i *importer) choose(n made, input, text string) {
	if text == "" {
		return
	}
	if spec := i.o.Nodes[n.Class]; spec != nil && spec.Input(input) != nil {
		for _, option := range spec.Input(input).Choices(i.o.Env) {
			if strings.HasPrefix(option, text) {
				text = option
				break
			}
		}
	}
	n.Set(input, text)
}

// sample sets the sampler's own values. A sampler that is not known leaves the default.
func (i *importer) sample(n made) {
	for _, of := range [][2]string{{"seed", "seed"}, {"steps", "steps"}, {"cfg scale", "cfg"}} {
		if v, ok := amount(i.settings[of[0]]); ok {
			n.Set(of[1], v)
		}
	}
	name, ok := i.settings["sampler"]
	if !ok {
		return
	}
	name = strings.ReplaceAll(strings.Replace(strings.ToLower(name), "++", "pp", 1), " ", "_")
	scheduler := "normal"
	if bare := strings.Replace(name, "karras", "", 1); bare != name {
		name, scheduler = strings.TrimRight(bare, "_"), "karras"
	}
	n.Set("scheduler", scheduler)
	if spec := i.o.Nodes[n.Class]; spec != nil && spec.Input("sampler_name") != nil {
		options := spec.Input("sampler_name").Choices(i.o.Env)
		for _, known := range []string{name, "sample_" + name} {
			if slices.Contains(options, known) {
				n.Set("sampler_name", known)
				return
			}
		}
	}
}

// size is a setting such as 512x768, each side rounded up to a multiple of 64.
func (i *importer) size(name string) (width, height int64, ok bool) {
	w, h, _ := strings.Cut(i.settings[name], "x")
	x, wide := side(w)
	y, high := side(h)
	return x, y, wide && high
}

// side is a length in pixels, rounded up to a multiple of 64.
func side(text string) (int64, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(f > 0) || f > 1<<30 {
		return 0, false
	}
	return int64(math.Ceil(f/64)) * 64, true
}

// upscaled is the size of the second pass.
func (i *importer) upscaled(width, height int64) (w, h int64, ok bool) {
	if by, given := i.settings["hires upscale"]; given {
		f, err := strconv.ParseFloat(by, 64)
		if err != nil || !(f > 0) || f > 1<<10 {
			return 0, 0, false
		}
		w, _ = side(strconv.FormatFloat(float64(width)*f, 'f', -1, 64))
		h, _ = side(strconv.FormatFloat(float64(height)*f, 'f', -1, 64))
		return w, h, w > 0 && h > 0
	}
	return i.size("hires resize")
}

// secondPass adds what enlarges the first sampler's result and samples it again, if the settings have it: a latent is
// enlarged itself, or decoded, enlarged by a model, scaled and encoded.
func (i *importer) secondPass(checkpoint, first made, width, height int64) (second made, ok bool) {
	w, h, ok := i.upscaled(width, height)
	if !ok {
		return made{}, false
	}
	method := i.settings["hires upscaler"]
	var scale, latent made
	if method == "" || strings.HasPrefix(method, "Latent") {
		scale = i.add("LatentUpscale", graph.Input{Name: "samples", Value: first.out(0)})
		i.choose(scale, "upscale_method", latentMethod(method))
		latent = scale
	} else {
		decode := i.add("VAEDecodeTiled", graph.Input{Name: "samples", Value: first.out(0)}, graph.Input{Name: "vae", Value: checkpoint.out(2)})
		load := i.add("UpscaleModelLoader")
		i.choose(load, "model_name", method)
		enlarge := i.add("ImageUpscaleWithModel", graph.Input{Name: "upscale_model", Value: load.out(0)}, graph.Input{Name: "image", Value: decode.out(0)})
		scale = i.add("ImageScale", graph.Input{Name: "image", Value: enlarge.out(0)})
		latent = i.add("VAEEncodeTiled", graph.Input{Name: "pixels", Value: scale.out(0)}, graph.Input{Name: "vae", Value: checkpoint.out(2)})
	}
	scale.Set("width", w)
	scale.Set("height", h)
	second = i.add("KSampler")
	for _, name := range []string{"steps", "cfg", "sampler_name", "scheduler"} {
		if v, ok := first.Input(name); ok {
			second.Set(name, v)
		}
	}
	if v, ok := amount(i.settings["hires steps"]); ok && v != "0" { // which means as many
		second.Set("steps", v)
	}
	if v, ok := amount(i.settings["denoising strength"]); ok {
		second.Set("denoise", v)
	}
	second.Set("latent_image", latent.out(0))
	return second, true
}

// latentMethod is LatentUpscale's word for one of A1111's latent upscalers; plain "Latent" is bilinear there.
func latentMethod(name string) string {
	for _, method := range []string{"nearest-exact", "bicubic", "nearest"} {
		if strings.Contains(name, method) {
			return method
		}
	}
	return "bilinear"
}

// lora is a LoRA that a text names.
type lora struct {
	name   string
	weight any
}

var (
	loraTag = regexp.MustCompile(`<lora:([^:]+):([^>]+)>`)
	weight  = regexp.MustCompile(`^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?`)
)

// takeLoras takes the tags <lora:name:weight> out of a text. One whose weight is no number is only taken out.
func takeLoras(text string) (rest string, loras []lora) {
	rest = loraTag.ReplaceAllStringFunc(text, func(tag string) string {
		m := loraTag.FindStringSubmatch(tag)
		if f, err := strconv.ParseFloat(strings.TrimSpace(weight.FindString(m[2])), 64); err == nil {
			loras = append(loras, lora{m[1], f})
		}
		return ""
	})
	return rest, loras
}

// nameEmbeddings writes "embedding:" before every word that is the name of one.
func (i *importer) nameEmbeddings(text string) string {
	if len(i.o.Embeddings) == 0 {
		return text
	}
	names := make([]string, len(i.o.Embeddings))
	for k, name := range i.o.Embeddings {
		names[k] = regexp.QuoteMeta(name)
	}
	words, err := regexp.Compile(`(?i)\b(` + strings.Join(names, `\b|\b`) + `)\b`)
	if err != nil { // more names than an expression may have
		return text
	}
	return words.ReplaceAllString(text, "embedding:$1")
}

// amount reads a number, whole ones exactly.
func amount(text string) (json.Number, bool) {
	if f, err := strconv.ParseFloat(text, 64); err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return "", false
	} else if json.Valid([]byte(text)) {
		return json.Number(text), true
	} else {
		return json.Number(strconv.FormatFloat(f, 'g', -1, 64)), true // such as .5
	}
}

// negated is the number with the other sign.
func negated(n json.Number) json.Number {
	if rest, ok := strings.CutPrefix(string(n), "-"); ok {
		return json.Number(rest)
	}
	return "-" + n
}
