package sdnq

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"graphrun/kernels/cpu"
	"graphrun/runtime/unfinished"
	"graphrun/runtime/weights"
	"graphrun/types"
)

// Version is the release of sdnq whose layout QuantizeModel writes.
const Version = "0.2.8"

// maxShard is the size in bytes beyond which diffusers splits a checkpoint.
const maxShard = 10_000_000_000

// QuantizeModel quantizes a model of diffusers' layout, a pipeline's folder or one component's, into the new folder dst,
// as sdnq's save_pretrained does: quantized weights, quantization_config in config.json and beside it, all other files
// copied. Of a pipeline the named components are quantized, or all that have weights if none is named. It reports the
// phase "quantize", one step a layer. On an error or a cancelled context nothing is left of dst.
func QuantizeModel(ctx context.Context, src, dst string, cfg *Config, components ...string) (err error) {
	if _, err := os.Lstat(dst); err == nil {
		return &weights.Error{File: dst, Need: "a new folder to write to", Have: "one that exists", Remedy: "choose another name, or remove it"}
	}
	if err := errors.Join(cfg.check(), cfg.writable()); err != nil {
		return err
	}
	parts, err := findComponents(src, components)
	if err != nil {
		return err
	}
	q := &quantizer{ctx: ctx, pool: cpu.NewPool(0), src: src, shard: maxShard}
	defer q.close()
	for _, part := range parts {
		if err := q.plan(part, cfg); err != nil {
			return err
		}
	}
	if q.total == 0 {
		return &weights.Error{File: src, Need: "layers to quantize", Have: "none", Remedy: "lower the minimum sizes, or allow convolutions (quant_conv)"}
	}
	parent, base := filepath.Split(filepath.Clean(dst))
	q.dst, err = os.MkdirTemp(filepath.Clean(parent+"."), "."+base+".*.part")
	if err != nil {
		return &weights.Error{File: dst, Need: "a folder to write to", Err: err, Remedy: "make the folder above it, or allow writing to it"}
	}
	defer unfinished.Add(q.dst)()
	defer os.RemoveAll(q.dst)
	if err := errors.Join(os.Chmod(q.dst, 0o755), q.copyRest()); err != nil {
		return err
	}
	for _, c := range q.components {
		if err := q.write(c); err != nil {
			return err
		}
	}
	return os.Rename(q.dst, dst)
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

// quantizer is one QuantizeModel at work.
type quantizer struct {
	ctx         context.Context
	pool        *cpu.Pool
	src, dst    string
	shard       int64 // bytes in one file
	components  []*component
	done, total int // layers
}

// component is one folder to be quantized.
type component struct {
	folder string
	store  *weights.Store
	config map[string]json.RawMessage // config.json
	cfg    *Config                    // for this component, skips included
	layers map[string]*layerPlan      // by the weight's name
}

func (q *quantizer) close() {
	q.pool.Close()
	for _, c := range q.components {
		c.store.Close()
	}
}

// plan opens a component and decides what becomes of each of its tensors.
func (q *quantizer) plan(folder string, cfg *Config) error {
	file := filepath.Join(q.src, folder, "config.json")
	text, err := os.ReadFile(file)
	c := &component{folder: folder, cfg: cfg.clone(), layers: map[string]*layerPlan{}}
	var class struct {
		Name          string `json:"_class_name"`
		Architectures []string
	}
	if err = errors.Join(err, json.Unmarshal(text, &c.config), json.Unmarshal(text, &class)); err != nil {
		return &weights.Error{File: file, Need: "a component's config", Err: err, Remedy: "download the model again"}
	}
	if c.config["quantization_config"] != nil {
		return &weights.Error{File: file, Need: "a model that is not quantized", Have: "a quantization_config", Remedy: "quantize the original model"}
	}
	if c.store, err = weights.Open(filepath.Join(q.src, folder)); err != nil {
		return err
	}
	q.components = append(q.components, c)
	name := class.Name
	if name == "" && len(class.Architectures) > 0 {
		name = class.Architectures[0]
	}
	if name == "CLIPTextModel" { // transformers 5 has no text_model any more: it renames the weights of old files, but not their scales
		c.store = c.store.Rename(func(n string) string { return strings.TrimPrefix(n, "text_model.") })
	}
	if cfg.AddSkipKeys {
		c.cfg.NotConvert = union(c.cfg.NotConvert, skips(name))
	}
	for _, name := range c.store.Names() {
		if err := c.planLayer(name); err != nil {
			return err
		}
	}
	q.total += len(c.layers)
	return nil
}

// planLayer plans the layer of a weight, or lists it as not to be converted (3.1, 3.4).
func (c *component) planLayer(name string) error {
	t, _ := c.store.Lookup(name)
	if !strings.HasSuffix(name, ".weight") || len(t.Shape) < 2 || matches(c.cfg.NotConvert, name) {
		return nil
	}
	switch KindOf(name, t.Shape) {
	case Conv:
		if !c.cfg.QuantConv {
			return nil
		}
	case Embedding:
		if !c.cfg.QuantEmbedding {
			return nil
		}
	}
	small := t.Shape[1] < c.cfg.MinChannels || t.Elements() < c.cfg.MinNumel
	plain := t.DType == weights.F64 || t.DType == weights.F32 || t.DType == weights.F16 || t.DType == weights.BF16
	if !small && plain && sane(t.Shape) {
		o, err := c.cfg.layer(name, Linear)
		if err != nil {
			return err
		}
		small = o.format.bitPacked() && t.Elements()%blocks[o.format.bits].codes != 0
	}
	if small || !plain || !sane(t.Shape) {
		c.cfg.NotConvert = append(c.cfg.NotConvert, name)
		return nil
	}
	l, err := newLayerPlan(t, KindOf(name, t.Shape), c.cfg)
	if err != nil && len(t.Shape) > 2 && c.cfg.UseMatmulConv { // a convolution that SDNQ cannot multiply in int8
		c.cfg.NotUseMatmul = append(c.cfg.NotUseMatmul, name)
		l, err = newLayerPlan(t, KindOf(name, t.Shape), c.cfg)
	}
	if err != nil {
		return err
	}
	c.layers[name] = l
	return nil
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

// copyRest copies every file that is not written anew.
func (q *quantizer) copyRest() error {
	return filepath.WalkDir(q.src, func(file string, d fs.DirEntry, err error) error {
		if err == nil {
			err = q.ctx.Err()
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(q.src, file)
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") && rel != "." { // .git, .cache
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		to := filepath.Join(q.dst, rel)
		if info, err := os.Stat(file); err != nil || info.IsDir() { // Stat: a hub's snapshot is made of links
			return errors.Join(err, os.MkdirAll(to, 0o755))
		}
		if q.rewritten(filepath.Dir(rel), filepath.Base(rel)) {
			return nil
		}
		return copyFile(q.ctx, file, to)
	})
}

// checkpoints are the files that hold a whole model.
var checkpoints = []string{".safetensors", ".ckpt", ".bin", ".pt", ".pth", ".gguf", ".onnx"}

// rewritten says that a file is the quantizer's own to write, or old weights in another format.
func (q *quantizer) rewritten(folder, name string) bool {
	if pipeline := q.components[0].folder != "."; pipeline && folder == "." && slices.Contains(checkpoints, filepath.Ext(name)) {
		return true // the same model again, as a single file
	}
	if !slices.ContainsFunc(q.components, func(c *component) bool { return filepath.Clean(c.folder) == folder }) {
		return false
	}
	for _, suffix := range []string{".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".msgpack", ".onnx"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return name == "config.json" || name == "quantization_config.json"
}

func copyFile(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, readerFunc(func(b []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return in.Read(b)
	}))
	return errors.Join(err, out.Close())
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// write writes a component's config and weights.
func (q *quantizer) write(c *component) error {
	own, err := json.Marshal(c.cfg)
	if err != nil {
		return err
	}
	c.config["quantization_config"] = own
	for name, value := range map[string]any{"config.json": c.config, "quantization_config.json": json.RawMessage(own)} {
		if err := writeJSON(filepath.Join(q.dst, c.folder, name), value); err != nil {
			return err
		}
	}
	return q.writeWeights(c)
}

// writeJSON writes JSON as Python does: keys in order, two spaces, no HTML escapes.
func writeJSON(file string, value any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(value); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// writeWeights writes one file, or shards with an index where one would be too large.
func (q *quantizer) writeWeights(c *component) error {
	shards, total := q.shards(c)
	stem := "diffusion_pytorch_model"
	if c.config["_class_name"] == nil {
		stem = "model"
	}
	index := map[string]string{}
	for i, names := range shards {
		file := stem + ".safetensors"
		if len(shards) > 1 {
			file = fmt.Sprintf("%s-%05d-of-%05d.safetensors", stem, i+1, len(shards))
		}
		if err := q.writeShard(c, file, names, index); err != nil {
			return err
		}
	}
	if len(shards) == 1 {
		return nil
	}
	return writeJSON(filepath.Join(q.dst, c.folder, stem+".safetensors.index.json"),
		map[string]any{"metadata": map[string]int64{"total_size": total}, "weight_map": index})
}

// shards divides the source's names into files of at most q.shard bytes, as far as single layers allow.
func (q *quantizer) shards(c *component) (shards [][]string, total int64) {
	size := q.shard
	for _, name := range c.store.Names() {
		n := int64(0)
		for _, t := range c.planned(name) {
			n += int64(t.Elements()) * int64(t.DType.Bits()) / 8
		}
		total += n
		if size += n; size > q.shard {
			shards, size = append(shards, nil), n
		}
		last := &shards[len(shards)-1]
		*last = append(*last, name)
	}
	return shards, total
}

// planned is what the source's tensor becomes: itself, or a layer's tensors, without data.
func (c *component) planned(name string) []weights.Tensor {
	if l := c.layers[name]; l != nil {
		return l.tensors
	}
	t, _ := c.store.Lookup(name)
	return []weights.Tensor{t}
}

// writeShard writes one file of the tensors that come of the source's names, and notes them in the index.
func (q *quantizer) writeShard(c *component, file string, names []string, index map[string]string) error {
	var plan []weights.Tensor
	for _, name := range names {
		plan = append(plan, c.planned(name)...)
	}
	for _, t := range plan {
		index[t.Name] = file
	}
	w, err := weights.Create(filepath.Join(q.dst, c.folder, file), plan, map[string]string{"format": "pt"})
	if err != nil {
		return err
	}
	defer w.Abort()
	for _, name := range names {
		if err := q.ctx.Err(); err != nil {
			return err
		}
		tensors := c.planned(name)
		if l := c.layers[name]; l != nil {
			source, _ := c.store.Lookup(name)
			layer, err := l.quantize(q.ctx, q.pool, source)
			if err != nil {
				return err
			}
			tensors = layer.Tensors
			q.done++
			types.Report(q.ctx, types.Progress{Phase: "quantize", Step: q.done, Total: q.total})
		}
		for _, t := range tensors {
			if err := w.Put(t.Name, t.Data); err != nil {
				return err
			}
		}
	}
	return w.Commit()
}
