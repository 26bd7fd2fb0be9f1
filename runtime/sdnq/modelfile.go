package sdnq

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"graphrun/runtime/weights"
)

// part is one of the models in a single file.
type part struct {
	name   string // as diffusers calls its folder
	prefix string // of its tensors
	skips  []string
	wanted bool
}

// fileParts are the models that single files hold, by the prefix of their tensors (families.md 11); the first that fits
// counts. What fits none is a network by itself.
var fileParts = []part{
	{name: "unet", prefix: "model.diffusion_model."},
	{name: "vae", prefix: "first_stage_model."},
	{name: "vae", prefix: "vae."},
	{name: "text_encoder", prefix: "cond_stage_model."},
	{name: "text_encoder", prefix: "conditioner.embedders.0."},
	{name: "text_encoder_2", prefix: "conditioner.embedders.1."},
	{name: "text_encoder", prefix: "text_encoders.clip_l."},
	{name: "text_encoder_2", prefix: "text_encoders.clip_g."},
	{name: "text_encoder_3", prefix: "text_encoders.t5xxl."},
	{name: "model", prefix: ""},
}

// originalSkips are the names that the layouts of single files have for what add_skip_keys leaves out (3.4): the embeddings
// of time and text, norms and their modulation, and the last layer.
var originalSkips = strings.Fields(`time_embed label_emb time_in vector_in guidance_in img_in txt_in x_embedder t_embedder y_embedder
	context_embedder cap_embedder pos_embed final_layer .out patch_embedding text_embedding time_embedding time_projection head
	norm norm1 norm2 norm3 lm_head wte`)

// openFile opens a single file and plans its layers. Its config names each layer in full, so that whoever takes the file apart
// can rename them.
func (q *quantizer) openFile() error {
	j := q.job
	if !strings.HasSuffix(j.Source, ".safetensors") && !strings.HasSuffix(j.Source, ".sft") {
		return &weights.Error{File: j.Source, Need: "a .safetensors file or a folder", Have: "a file of another kind", Remedy: "convert it to safetensors"}
	}
	if !strings.HasSuffix(j.Target, ".safetensors") {
		return &weights.Error{File: j.Target, Need: "the name of a .safetensors file, since the source is one", Have: "another", Remedy: "add .safetensors"}
	}
	if j.MaxShard > 0 {
		return &weights.Error{File: j.Source, Need: "a folder to be written in shards", Have: "a single file, which stays one", Remedy: "leave the size of shards away"}
	}
	store, err := weights.Open(j.Source)
	if err != nil {
		return err
	}
	c := &component{folder: ".", store: store}
	q.components = append(q.components, c)
	if store.Metadata()[metadataConfig] != "" {
		return &weights.Error{File: j.Source, Need: "a model that is not quantized", Have: "a " + metadataConfig + " in its metadata", Remedy: "quantize the original model"}
	}
	if c.files, err = identities(store.Files()...); err != nil {
		return err
	}
	if c.parts, err = findParts(store, j.Config, j.Components); err != nil {
		return err
	}
	if j.Alone {
		c.store = store.Rename(func(name string) string {
			for _, p := range c.parts {
				if strings.HasPrefix(name, p.prefix) {
					if p.wanted {
						return name
					}
					return ""
				}
			}
			return name
		})
	}
	cfg := j.Config.clone()
	cfg.AddSkipKeys = false // the parts have their own
	if err := c.plan(cfg); err != nil {
		return err
	}
	c.cfg.AddSkipKeys = j.Config.AddSkipKeys
	c.cfg.NotUseMatmul = []string{} // of patterns nothing is left: names in full
	for name, l := range c.layers {
		if !l.asked && (cfg.UseQuantizedMatmul || cfg.UseMatmulConv) {
			c.cfg.NotUseMatmul = append(c.cfg.NotUseMatmul, name)
		}
	}
	slices.Sort(c.cfg.NotUseMatmul)
	return nil
}

// findParts lists the models in a file, and marks those that are wanted.
func findParts(s *weights.Store, cfg *Config, wanted []string) (parts []part, err error) {
	names := s.Names()
	var found []string
	for _, p := range fileParts {
		if !slices.ContainsFunc(names, func(n string) bool {
			return strings.HasPrefix(n, p.prefix) && !slices.ContainsFunc(parts, func(q part) bool { return strings.HasPrefix(n, q.prefix) })
		}) {
			continue
		}
		if p.prefix == "" && len(parts) > 0 {
			p.name = "other" // such as the schedule of the noise
		}
		p.wanted = len(wanted) == 0 || slices.Contains(wanted, p.name)
		if cfg.AddSkipKeys {
			p.skips = union(originalSkips, commonSkips)
		}
		parts, found = append(parts, p), append(found, p.name)
	}
	for _, w := range wanted {
		if !slices.Contains(found, w) {
			return nil, &weights.Error{File: s.Files()[0], Need: "components that are in the file: " + strings.Join(found, ", "), Have: fmt.Sprintf("%q", w), Remedy: "name one of these"}
		}
	}
	return parts, nil
}

// OfFile reads what a single file says of its quantization: the config, nil for a dense file, and the weights in the shapes
// that modules declare, without data, for those who tell a model by its shapes. A file of codes without a config is read with
// one that is empty: a layer's stored bytes then say its dtype (1.2).
func OfFile(s *weights.Store) (cfg *Config, shapes *weights.Store, err error) {
	file := "checkpoint"
	if f := s.Files(); len(f) > 0 {
		file = f[0]
	}
	text := s.Metadata()[metadataConfig]
	if text == "" {
		return nil, s, nil
	}
	if cfg, err = ParseConfig([]byte(text)); err != nil {
		return nil, nil, fmt.Errorf("%s: metadata: %w", file, err)
	}
	var declared map[string][]int
	if text = s.Metadata()[metadataShapes]; text != "" {
		if err := json.Unmarshal([]byte(text), &declared); err != nil {
			return nil, nil, &weights.Error{File: file, Tensor: metadataShapes, Need: "an object of shapes in the metadata", Err: err, Remedy: "quantize the original model again"}
		}
	}
	var list []weights.Tensor
	for _, name := range s.Names() {
		t, _ := s.Lookup(name)
		if shape, ok := declared[name]; ok {
			if !sane(shape) {
				return nil, nil, &weights.Error{File: file, Tensor: name, Need: "a shape of two or more axes in the metadata's " + metadataShapes, Have: fmt.Sprint(shape), Remedy: "quantize the original model again"}
			}
			t.Shape = shape
		}
		t.Data = nil
		list = append(list, t)
	}
	return cfg, weights.Of(list...), nil
}

// Guess is a config for a layer that has none, of a module of the dense shape: its stored bytes and whether it has zero points
// tell the dtype (1.2), but for floats that are packed. What cannot be told is left to the errors of Layer.
func Guess(s *weights.Store, name string, dense []int) *Config {
	c := DefaultConfig()
	w, _ := s.Lookup(name + ".weight")
	_, unsigned := s.Lookup(name + ".zero_point")
	switch bits := 8 * len(w.Data) / max(1, product(dense)); {
	case w.DType.IsFloat():
		for native, f := range map[weights.DType]string{
			weights.F16: "float16", weights.BF16: "bfloat16", weights.F8E4M3: "float8_e4m3fn", weights.F8E5M2: "float8_e5m2",
			weights.F8E4M3FNUZ: "float8_e4m3fnuz", weights.F8E5M2FNUZ: "float8_e5m2fnuz",
		} {
			if w.DType == native {
				c.WeightsDType = f
			}
		}
	case w.DType == weights.I64:
		c.WeightsDType = "uint1"
	case unsigned:
		c.WeightsDType = fmt.Sprintf("uint%d", bits)
	default:
		c.WeightsDType = fmt.Sprintf("int%d", bits)
	}
	return c
}

// Renamed is the config for layers that go by other names: f gives that of a parameter, "" for one that is not there. Patterns
// that are no whole names are left out.
func (c *Config) Renamed(f func(name string) string) *Config {
	rename := func(list []string) []string {
		out := []string{}
		for _, name := range list {
			if to := f(name); to != "" {
				out = append(out, to)
			}
		}
		return out
	}
	out := *c
	out.NotConvert, out.NotUseMatmul, out.DTypes = rename(c.NotConvert), rename(c.NotUseMatmul), nil
	for _, e := range c.DTypes {
		var list []string
		if json.Unmarshal(e.Value, &list) != nil { // check has read it
			continue
		}
		if value, err := json.Marshal(rename(list)); err == nil {
			out.DTypes = append(out.DTypes, Entry{e.Key, value})
		}
	}
	return &out
}

// FilePart is one of the models in a single file.
type FilePart struct {
	Name string                   // as diffusers calls its folder
	Only func(name string) string // the name of a tensor that is the part's, "" for another's
}

// FileParts lists the models in a file.
func FileParts(s *weights.Store) (list []FilePart) {
	parts, _ := findParts(s, &Config{}, nil) // nothing is wanted that could miss
	for i, p := range parts {
		list = append(list, FilePart{p.name, func(name string) string {
			for _, before := range parts[:i] {
				if strings.HasPrefix(name, before.prefix) {
					return ""
				}
			}
			if !strings.HasPrefix(name, p.prefix) {
				return ""
			}
			return name
		}})
	}
	return list
}

// IsQuantized says that a component's folder or a single file is SDNQ's.
func IsQuantized(path string) bool {
	if !strings.HasSuffix(path, ".safetensors") {
		c, err := LoadConfig(path)
		return err == nil && c != nil
	}
	s, err := weights.Open(path)
	if err != nil {
		return false
	}
	defer s.Close()
	return s.Metadata()[metadataConfig] != ""
}
