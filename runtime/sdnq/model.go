package sdnq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"graphrun/kernels/cpu"
	"graphrun/runtime/unfinished"
	"graphrun/runtime/weights"
)

// Version is the release of sdnq whose layout a Job writes.
const Version = "0.2.8"

// maxShard is the size in bytes beyond which diffusers splits a checkpoint.
const maxShard = 10_000_000_000

// Job is a model to be quantized: a pipeline's folder or one component's in diffusers' layout becomes a new folder, as sdnq's
// save_pretrained writes it; a single safetensors file becomes a new file.
type Job struct {
	Source, Target string
	Config         *Config
	Components     []string  // of a pipeline (unet, text_encoder, ...) or a file to be quantized; empty: all that have weights
	MaxShard       int64     // bytes in one file of a folder; 0: diffusers' own limit
	Pool           *cpu.Pool // nil: one for this job

	Alone     bool // write the components alone, nothing else that the source has
	DryRun    bool // report the sizes and write nothing
	Overwrite bool // a target that exists is replaced when all is written; an unfinished try of it is forgotten
	Resume    bool // go on with an unfinished try of the same job, and leave one behind on an error
}

// ModelReport tells what became of a model.
type ModelReport struct {
	Source, Target string
	Components     []ComponentReport
	Before, After  int64    // bytes of all tensors of the components
	Unused         []string // patterns of layers to leave out that hit none
}

// ComponentReport tells what became of a component.
type ComponentReport struct {
	Name, Class   string // "" for a component's own folder or a store; the class as its config has it
	Layers        []LayerReport
	Before, After int64 // bytes of all tensors, those of no layer included
}

// QuantizeModel runs a Job of these.
func QuantizeModel(ctx context.Context, src, dst string, cfg *Config, components ...string) error {
	_, err := (&Job{Source: src, Target: dst, Config: cfg, Components: components}).Run(ctx)
	return err
}

// Run does the job. It reports the phase "quantize", one step a layer. Memory is bounded by the largest layer. The target
// appears when it is whole; until then the job writes into the folder .NAME.part beside it, of which nothing is left on an
// error or a cancelled context, unless Resume is set.
func (j *Job) Run(ctx context.Context) (*ModelReport, error) {
	if err := j.Check(); err != nil {
		return nil, err
	}
	if err := j.checkTarget(); err != nil {
		return nil, err
	}
	q := &quantizer{ctx: ctx, job: j, pool: j.Pool, shard: j.MaxShard}
	if q.shard <= 0 {
		q.shard = maxShard
	}
	if q.pool == nil {
		q.pool = cpu.NewPool(0)
		defer q.pool.Close()
	}
	defer q.close()
	if err := q.open(); err != nil {
		return nil, err
	}
	if q.layers() == 0 {
		return nil, &weights.Error{File: j.Source, Need: "layers to quantize", Have: "none", Remedy: "lower the minimum sizes, or allow convolutions (quant_conv)"}
	}
	if j.DryRun {
		return q.report(), nil
	}
	if err := q.enter(); err != nil {
		return nil, err
	}
	if !j.Resume {
		defer unfinished.Add(q.work.dir)()
		defer os.RemoveAll(q.work.dir)
	}
	defer q.work.close()
	if err := q.run(); err != nil {
		return nil, err
	}
	return q.report(), nil
}

// Check refuses settings that no model can be quantized with.
func (j *Job) Check() error { return errors.Join(j.Config.check(), j.Config.writable()) }

// checkTarget refuses a target that exists or that holds the source, or lies in it.
func (j *Job) checkTarget() error {
	if _, err := os.Lstat(j.Target); err == nil && !j.Overwrite && !j.DryRun {
		return &weights.Error{File: j.Target, Need: "a new name to write to", Have: "one that exists", Remedy: "choose another name, remove it, or overwrite it"}
	}
	src, dst := truePath(j.Source), truePath(j.Target)
	inside := func(a, b string) bool {
		rel, err := filepath.Rel(a, b)
		return err == nil && filepath.IsLocal(rel)
	}
	if !j.DryRun && (inside(src, dst) || inside(dst, src)) {
		return &weights.Error{File: j.Target, Need: "a target beside the source", Have: "one that is the source, or lies in it or around it", Remedy: "choose another name"}
	}
	return nil
}

// truePath is the path without links and dots, as far as it exists.
func truePath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if to, err := filepath.EvalSymlinks(path); err == nil {
		return to
	}
	if dir := filepath.Dir(path); dir != path {
		return filepath.Join(truePath(dir), filepath.Base(path))
	}
	return path
}

// quantizer is a Job at work.
type quantizer struct {
	ctx         context.Context
	job         *Job
	pool        *cpu.Pool
	file        bool  // the source is a single file
	shard       int64 // bytes in one file
	components  []*component
	work        *work
	done, total int // layers of this try
}

// component is one folder to be quantized, a single file, or a store in memory.
type component struct {
	folder string // within the source
	class  string
	store  *weights.Store
	files  []identity                 // what the store was mapped from
	config map[string]json.RawMessage // config.json
	cfg    *Config                    // for this component, skips included
	layers map[string]*layerPlan      // by the weight's name
	chosen map[string]LayerReport     // what is known of layers that are quantized, by the weight's name
	kept   []LayerReport              // of layers that stay as they are
	aside  map[string]string          // the files of layers that dynamic quantization made already
	parts  []part                     // of a single file
}

func (q *quantizer) close() {
	for _, c := range q.components {
		c.store.Close()
	}
}

// layers is how many are to be quantized.
func (q *quantizer) layers() (n int) {
	for _, c := range q.components {
		n += len(c.layers)
	}
	return n
}

// open finds the components and decides what becomes of each of their tensors.
func (q *quantizer) open() error {
	info, err := os.Stat(q.job.Source)
	if err != nil {
		return &weights.Error{File: q.job.Source, Need: "a model folder or a safetensors file", Err: err, Remedy: "check the path"}
	}
	if !info.IsDir() {
		q.file = true
		return q.openFile()
	}
	if strings.HasSuffix(q.job.Target, ".safetensors") {
		return &weights.Error{File: q.job.Target, Need: "the name of a folder, since the source is one", Have: "that of a file", Remedy: "leave .safetensors away"}
	}
	parts, err := findComponents(q.job.Source, q.job.Components)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err := q.openFolder(part); err != nil {
			return err
		}
	}
	return nil
}

// findComponents lists the folders within src ("." for src itself) that have a config and weights.
func findComponents(src string, wanted []string) ([]string, error) {
	has := func(part string) bool {
		_, err := os.Stat(filepath.Join(src, part, "config.json"))
		found, _ := filepath.Glob(filepath.Join(src, part, "*.safetensors"))
		return err == nil && len(found) > 0
	}
	if has(".") {
		return []string{"."}, nil
	}
	list, err := os.ReadDir(src)
	if err != nil {
		return nil, &weights.Error{File: src, Need: "a model folder", Err: err, Remedy: "check the path"}
	}
	var parts []string
	for _, e := range list {
		if has(e.Name()) && (len(wanted) == 0 || slices.Contains(wanted, e.Name())) {
			parts = append(parts, e.Name())
		}
	}
	for _, w := range wanted {
		if !slices.Contains(parts, w) {
			return nil, &weights.Error{File: filepath.Join(src, w), Need: "config.json and *.safetensors", Have: "a folder without", Remedy: "check the component's name, or download it"}
		}
	}
	if len(parts) == 0 {
		return nil, &weights.Error{File: src, Need: "a component folder with config.json and *.safetensors", Have: "none", Remedy: "check the path: a model in diffusers' layout is needed"}
	}
	return parts, nil
}

// openFolder opens a component's folder and plans its layers.
func (q *quantizer) openFolder(folder string) error {
	dir := filepath.Join(q.job.Source, folder)
	file := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(file)
	c := &component{folder: folder}
	var class struct {
		Name          string `json:"_class_name"`
		Architectures []string
	}
	if err = errors.Join(err, json.Unmarshal(text, &c.config), json.Unmarshal(text, &class)); err != nil {
		return &weights.Error{File: file, Need: "a component's config", Err: err, Remedy: "download the model again"}
	}
	own, err := LoadConfig(dir)
	if err != nil {
		return err
	}
	if own != nil || c.config["quantization_config"] != nil {
		return &weights.Error{File: file, Need: "a model that is not quantized", Have: "a quantization_config", Remedy: "quantize the original model"}
	}
	if c.store, err = weights.Open(dir); err != nil {
		return err
	}
	q.components = append(q.components, c)
	if c.files, err = identities(c.store.Files()...); err != nil {
		return err
	}
	if c.class = class.Name; c.class == "" && len(class.Architectures) > 0 {
		c.class = class.Architectures[0]
	}
	if c.class == "CLIPTextModel" { // transformers 5 has no text_model any more: it renames the weights of old files, but not their scales
		c.store = c.store.Rename(func(n string) string { return strings.TrimPrefix(n, "text_model.") })
	}
	return c.plan(q.job.Config)
}

// plan decides what becomes of each tensor.
func (c *component) plan(cfg *Config) error {
	c.cfg, c.layers, c.chosen = cfg.clone(), map[string]*layerPlan{}, map[string]LayerReport{}
	c.aside = map[string]string{}
	if cfg.AddSkipKeys {
		c.cfg.NotConvert = union(c.cfg.NotConvert, skips(c.class))
	}
	for _, name := range c.store.Names() {
		if err := c.planLayer(name); err != nil {
			return err
		}
	}
	if len(c.layers) == 0 {
		return nil
	}
	return c.refuseQuantized()
}

// refuseQuantized tells a file of codes that has no config beside it.
func (c *component) refuseQuantized() error {
	for name := range c.layers {
		scale := strings.TrimSuffix(name, ".weight") + ".scale"
		if _, ok := c.store.Lookup(scale); ok {
			return &weights.Error{File: c.shown(), Tensor: scale, Need: "a model that is not quantized", Have: "scales", Remedy: "quantize the original model"}
		}
	}
	return nil
}

// shown is the component's file for messages.
func (c *component) shown() string {
	if f := c.store.Files(); len(f) > 0 {
		return f[0]
	}
	return "the loaded model"
}

// planLayer plans the layer of a weight, or lists it as not to be converted (3.1, 3.4).
func (c *component) planLayer(name string) error {
	t, _ := c.store.Lookup(name)
	if !strings.HasSuffix(name, ".weight") || len(t.Shape) < 2 {
		return nil
	}
	kind := KindOf(name, t.Shape)
	keep := func(list bool) error {
		if list {
			c.cfg.NotConvert = append(c.cfg.NotConvert, name)
		}
		c.kept = append(c.kept, LayerReport{Module: strings.TrimSuffix(name, ".weight"), Before: int64(len(t.Data)), After: int64(len(t.Data))})
		return nil
	}
	switch {
	case c.skip(name):
		return keep(c.parts != nil)
	case kind == Conv && !c.cfg.QuantConv:
		return keep(false)
	case kind == Embedding && !c.cfg.QuantEmbedding: // listed, should Python know it for a Linear
		return keep(true)
	}
	plain := t.DType == weights.F64 || t.DType == weights.F32 || t.DType == weights.F16 || t.DType == weights.BF16
	if !plain || !sane(t.Shape) || t.Shape[1] < c.cfg.MinChannels || t.Elements() < c.cfg.MinNumel || linearAsConv(name, t.Shape) {
		return keep(true)
	}
	o, err := c.cfg.layer(name, kind)
	if err != nil {
		return err
	}
	if o.format.bitPacked() && t.Elements()%blocks[o.format.bits].codes != 0 {
		return keep(true)
	}
	l, err := newLayerPlan(t, kind, c.cfg)
	if err != nil && kind == Conv && c.cfg.UseMatmulConv { // a convolution that SDNQ cannot multiply in int8
		c.cfg.NotUseMatmul = append(c.cfg.NotUseMatmul, name)
		l, err = newLayerPlan(t, kind, c.cfg)
	}
	if err != nil {
		return err
	}
	c.layers[name] = l
	return nil
}

// skip says that a pattern, or the choice of components, leaves the layer out.
func (c *component) skip(name string) bool {
	if c.parts == nil {
		return matches(c.cfg.NotConvert, name)
	}
	for _, p := range c.parts {
		if within, ok := strings.CutPrefix(name, p.prefix); ok {
			return !p.wanted || matches(c.cfg.NotConvert, name) || matches(union(c.cfg.NotConvert, p.skips), within)
		}
	}
	return true
}

// linearAsConv says that a weight stored as a 1x1 convolution is a Linear to those that load it: the attention of
// autoencoders in the original layout.
func linearAsConv(name string, shape []int) bool {
	return len(shape) > 2 && product(shape[2:]) == 1 && (strings.Contains(name, ".attn_1.") || slices.Contains([]string{"to_q", "to_k", "to_v", "to_out"}, lastWord(name)))
}

// lastWord is the module's own name, without a number behind it.
func lastWord(name string) string {
	parts := strings.Split(strings.TrimSuffix(strings.TrimSuffix(name, ".weight"), ".0"), ".")
	return parts[len(parts)-1]
}

// clone copies the config so that its lists can grow.
func (c *Config) clone() *Config {
	out := *c
	out.NotConvert, out.NotUseMatmul = union(nil, c.NotConvert), union(nil, c.NotUseMatmul)
	out.Version, out.QuantMethod = Version, "sdnq"
	if f, err := parseFormat(c.WeightsDType); err == nil {
		out.IsInteger, out.IsUnsigned = f.integer, f.unsigned
	}
	return &out
}

// union appends what is new of b to a copy of a, which is never nil.
func union(a, b []string) []string {
	out := append([]string{}, a...)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// report adds up what is known: before the work the sizes alone.
func (q *quantizer) report() *ModelReport {
	r := &ModelReport{Source: q.job.Source, Target: q.job.Target}
	for _, c := range q.components {
		part := c.report()
		r.Components = append(r.Components, part)
		r.Before, r.After = r.Before+part.Before, r.After+part.After
	}
	for _, pattern := range q.job.Config.NotConvert {
		if !slices.ContainsFunc(q.components, func(c *component) bool { return c.hit(pattern) }) {
			r.Unused = append(r.Unused, pattern)
		}
	}
	return r
}

// hit says that a pattern hits one of the layers.
func (c *component) hit(pattern string) bool {
	return slices.ContainsFunc(c.store.Names(), func(name string) bool {
		return matches([]string{pattern}, name) || slices.ContainsFunc(c.parts, func(p part) bool {
			within, ok := strings.CutPrefix(name, p.prefix)
			return ok && matches([]string{pattern}, within)
		})
	})
}

func (c *component) report() ComponentReport {
	r := ComponentReport{Name: c.folder, Class: c.class, Layers: slices.Clone(c.kept), Before: c.store.Bytes(), After: c.store.Bytes()}
	if r.Name == "." {
		r.Name = ""
	}
	for name, l := range c.layers {
		layer, known := c.chosen[name]
		if !known {
			layer = l.report()
		}
		r.After += layer.After - layer.Before
		r.Layers = append(r.Layers, layer)
	}
	slices.SortFunc(r.Layers, func(a, b LayerReport) int { return strings.Compare(a.Module, b.Module) })
	return r
}

// changed is the error of a source that is not what it was when it was opened.
func changed(file, tensor string, was, is fmt.Stringer) error {
	return &weights.Error{File: file, Tensor: tensor, Need: "the file as it was at the start, " + was.String(), Have: is.String(), Remedy: "let nothing write to the source, and start anew"}
}
