package sdnq

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"graphrun/runtime/weights"
	"graphrun/types"
)

// The metadata of a single file, which has no config beside it: the config, and the shapes that modules declare where codes
// are stored in another.
const (
	metadataConfig = "quantization_config"
	metadataShapes = "quantized_shapes"
)

// run writes everything and puts it into its place.
func (q *quantizer) run() error {
	for _, c := range q.components {
		for i, name := range slices.Sorted(maps.Keys(c.layers)) {
			_, done := q.work.done[record{Component: c.folder, Name: name}.key()]
			if _, err := os.Stat(q.work.aside(c, i)); !done && err != nil {
				q.total++
			}
		}
	}
	for _, c := range q.components {
		if err := q.choose(c); err != nil {
			return err
		}
	}
	if !q.file && !q.job.Alone {
		if err := q.copyRest(); err != nil {
			return err
		}
	}
	for _, c := range q.components {
		if err := q.write(c); err != nil {
			return err
		}
		if err := c.unchanged(""); err != nil {
			return err
		}
	}
	if !q.file && !q.job.Alone {
		if err := q.writeCard(); err != nil {
			return err
		}
	}
	return q.place()
}

// choose has dynamic quantization choose the layers' dtypes, and puts what it made aside: where the tensors lie in a file
// depends on the size of all. The config then names every layer's dtype; so does that of a single file in any case.
func (q *quantizer) choose(c *component) error {
	if !c.cfg.DynamicQuantization && c.parts == nil {
		return nil
	}
	var reports []LayerReport
	for i, name := range slices.Sorted(maps.Keys(c.layers)) {
		report := c.layers[name].report()
		if c.cfg.DynamicQuantization {
			var err error
			if report, err = q.chooseLayer(c, name, q.work.aside(c, i)); err != nil {
				return err
			}
		}
		reports = append(reports, report)
		if report.DType == "" {
			c.kept = append(c.kept, report)
			delete(c.layers, name)
			continue
		}
		c.chosen[name] = report
	}
	c.cfg.Record(reports...)
	for name := range c.layers {
		t, _ := c.store.Lookup(name)
		l, err := newLayerPlan(t, KindOf(name, t.Shape), c.fixed())
		if err != nil {
			return err
		}
		c.layers[name] = l
	}
	return nil
}

// fixed is the config without choice.
func (c *component) fixed() *Config {
	cfg := *c.cfg
	cfg.DynamicQuantization = false
	return &cfg
}

// aside is the file of a layer that waits for its place.
func (w *work) aside(c *component, layer int) string {
	return filepath.Join(w.file("chosen"), c.folder, fmt.Sprintf("%05d.safetensors", layer))
}

// chooseLayer quantizes a layer into a file of its own, or finds the report of an earlier try.
func (q *quantizer) chooseLayer(c *component, name, file string) (report LayerReport, err error) {
	if r, ok := q.work.done[record{Component: c.folder, Name: name}.key()]; ok && r.Layer != nil {
		return *r.Layer, nil
	}
	c.aside[name] = file
	if s, err := weights.Open(file); err == nil {
		defer s.Close()
		return report, json.Unmarshal([]byte(s.Metadata()["report"]), &report)
	}
	t, err := c.load(name, nil)
	if err != nil {
		return report, err
	}
	made, err := Quantize(q.ctx, q.pool, t, KindOf(name, t.Shape), c.cfg)
	if err != nil {
		return report, err
	}
	if made.DType == "" {
		made.Tensors = nil
	}
	text, err := json.Marshal(made.LayerReport)
	if err = errors.Join(err, os.MkdirAll(filepath.Dir(file), 0o755)); err != nil {
		return report, err
	}
	q.step()
	return made.LayerReport, weights.Write(file, made.Tensors, map[string]string{"report": string(text)})
}

func (q *quantizer) step() {
	q.done++
	types.Report(q.ctx, types.Progress{Phase: "quantize", Step: q.done, Total: max(q.total, q.done)})
}

// load copies a tensor of the source into buf, and gives its pages back.
func (c *component) load(name string, buf []byte) (weights.Tensor, error) {
	t, _ := c.store.Lookup(name)
	data, err := c.store.Read(t, buf)
	if err == nil {
		c.store.ReleaseData(t.Data)
		err = c.unchanged(name)
	}
	t.Data = data
	return t, err
}

// unchanged is the error of a source that was written to since it was opened.
func (c *component) unchanged(tensor string) error {
	for _, was := range c.files {
		is, err := identify(was.Name)
		if err != nil {
			return err
		}
		if is != was {
			return changed(was.Name, tensor, was, is)
		}
	}
	return nil
}

// write writes a component's config and weights.
func (q *quantizer) write(c *component) error {
	own, err := json.Marshal(c.cfg)
	if err != nil {
		return err
	}
	if q.file {
		meta := maps.Clone(c.store.Metadata())
		meta["format"], meta[metadataConfig] = "pt", string(own)
		if meta[metadataShapes], err = c.shapes(); err != nil {
			return err
		}
		return q.writeShard(c, q.work.file("file.safetensors"), c.store.Names(), meta)
	}
	c.config["quantization_config"] = own
	if err := os.MkdirAll(filepath.Join(q.work.model(), c.folder), 0o755); err != nil {
		return err
	}
	for name, value := range map[string]any{"config.json": c.config, "quantization_config.json": json.RawMessage(own)} {
		if err := writeJSON(filepath.Join(q.work.model(), c.folder, name), value); err != nil {
			return err
		}
	}
	return q.writeWeights(c)
}

// shapes are those of quantized weights whose codes have another, as JSON.
func (c *component) shapes() (string, error) {
	shapes := map[string][]int{}
	for name, l := range c.layers {
		if t, _ := c.store.Lookup(name); !slices.Equal(t.Shape, l.tensors[0].Shape) {
			shapes[name] = t.Shape
		}
	}
	text, err := json.Marshal(shapes)
	return string(text), err
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
	return writeFile(file, b.Bytes())
}

func writeFile(file string, text []byte) error {
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return &weights.Error{File: file, Need: "to write it", Err: err, Remedy: "free disk space, or choose another folder"}
	}
	return nil
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
		for _, name := range names {
			for _, t := range c.planned(name) {
				index[t.Name] = file
			}
		}
		if err := q.writeShard(c, filepath.Join(q.work.model(), c.folder, file), names, map[string]string{"format": "pt"}); err != nil {
			return err
		}
	}
	if len(shards) == 1 {
		return nil
	}
	return writeJSON(filepath.Join(q.work.model(), c.folder, stem+".safetensors.index.json"),
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

// writeShard writes one file of the tensors that come of the source's names. While a layer is quantized, the next is read and
// the one before is written.
func (q *quantizer) writeShard(c *component, file string, names []string, meta map[string]string) error {
	var plan []weights.Tensor
	for _, name := range names {
		plan = append(plan, c.planned(name)...)
	}
	if q.written(c, file, names) {
		return nil
	}
	w, err := weights.Continue(file, plan, meta)
	if err != nil {
		return err
	}
	defer w.Abort()
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return q.skip(c, w, name) })
	var busy sync.WaitGroup // nothing reads or writes when this returns
	defer busy.Wait()
	var buffers [3][]byte // of the layers that are read, quantized and written
	read := func(i int) func() (weights.Tensor, error) {
		return async(&busy, func() (t weights.Tensor, err error) {
			if i < len(names) && !c.isAside(names[i]) {
				t, err = c.load(names[i], buffers[i%3])
				buffers[i%3] = t.Data
			}
			return t, err
		})
	}
	next, writing := read(0), func() (struct{}, error) { return struct{}{}, nil }
	for i, name := range names {
		t, err := next()
		if err = errors.Join(err, q.ctx.Err()); err != nil {
			return err
		}
		next = read(i + 1)
		tensors, report, err := q.make(c, name, t)
		if err != nil {
			return err
		}
		if _, err := writing(); err != nil {
			return err
		}
		writing = async(&busy, func() (struct{}, error) { return struct{}{}, q.put(c, w, name, tensors, report) })
		if report != nil && !c.isAside(name) { // that was a step when it was chosen
			q.step()
		}
	}
	if _, err := writing(); err != nil {
		return err
	}
	return w.Commit()
}

// async runs f; the function that it returns waits for its results.
func async[T any](busy *sync.WaitGroup, f func() (T, error)) func() (T, error) {
	var value T
	var err error
	done := make(chan struct{})
	busy.Go(func() {
		defer close(done)
		value, err = f()
	})
	return func() (T, error) {
		<-done
		return value, err
	}
}

func (c *component) isAside(name string) bool { return c.aside[name] != "" && c.layers[name] != nil }

// written says that an earlier try finished the file.
func (q *quantizer) written(c *component, file string, names []string) bool {
	if _, err := os.Stat(file); err != nil {
		return false
	}
	for _, name := range names {
		r, ok := q.work.done[record{Component: c.folder, Name: name}.key()]
		if !ok {
			return false
		}
		c.recall(r)
	}
	return true
}

// skip says that an earlier try wrote what became of the source's tensor, and that it is whole.
func (q *quantizer) skip(c *component, w *weights.Writer, name string) bool {
	r, ok := q.work.done[record{Component: c.folder, Name: name}.key()]
	if !ok {
		return false
	}
	for _, t := range c.planned(name) {
		if sum, known := r.Sums[t.Name]; !known || !w.Skip(t.Name, sum) {
			return false
		}
	}
	c.recall(r)
	return true
}

// recall takes the report of a layer from the journal.
func (c *component) recall(r record) {
	if r.Layer != nil {
		c.chosen[r.Name] = *r.Layer
	}
}

// make is what becomes of a source's tensor; of what is no layer the report is nil.
func (q *quantizer) make(c *component, name string, t weights.Tensor) ([]weights.Tensor, *LayerReport, error) {
	l := c.layers[name]
	switch {
	case l == nil:
		return []weights.Tensor{t}, nil, nil
	case c.isAside(name):
		s, err := weights.Open(c.aside[name])
		if err != nil {
			return nil, nil, err
		}
		defer s.Close()
		var list []weights.Tensor
		for _, n := range s.Names() {
			x, _ := s.Lookup(n)
			if x.Data, err = s.Read(x, nil); err != nil {
				return nil, nil, err
			}
			list = append(list, x)
		}
		report := c.chosen[name]
		return list, &report, nil
	}
	made, err := l.quantize(q.ctx, q.pool, t)
	if err != nil {
		return nil, nil, err
	}
	c.chosen[name] = made.LayerReport
	return made.Tensors, &made.LayerReport, nil
}

// put writes what a source's tensor became, and notes it.
func (q *quantizer) put(c *component, w *weights.Writer, name string, tensors []weights.Tensor, report *LayerReport) error {
	r := record{Component: c.folder, Name: name, Sums: map[string]uint32{}, Layer: report}
	for _, t := range tensors {
		if err := w.Put(t.Name, t.Data); err != nil {
			return err
		}
		r.Sums[t.Name] = weights.Checksum(t.Data)
	}
	if err := q.work.note(r); err != nil {
		return err
	}
	if c.isAside(name) {
		return os.Remove(c.aside[name])
	}
	return nil
}

// place gives what was written the target's name; a target that is replaced makes room first.
func (q *quantizer) place() error {
	dst, from := filepath.Clean(q.job.Target), q.work.model()
	if q.file {
		from = q.work.file("file.safetensors")
	}
	if err := os.Chmod(from, map[bool]fs.FileMode{true: 0o644, false: 0o755}[q.file]); err != nil {
		return err
	}
	if _, err := os.Lstat(dst); err == nil && q.job.Overwrite {
		old := q.work.file("replaced")
		if err := os.Rename(dst, old); err != nil {
			return err
		}
		if err := os.Rename(from, dst); err != nil {
			return errors.Join(err, os.Rename(old, dst))
		}
	} else if err := os.Rename(from, dst); err != nil {
		return &weights.Error{File: dst, Need: "to give it its name", Err: err, Remedy: "is the folder above it still there?"}
	}
	q.work.close()
	return os.RemoveAll(q.work.dir)
}

// copyRest copies every file that is not written anew.
func (q *quantizer) copyRest() error {
	return filepath.WalkDir(q.job.Source, func(file string, d fs.DirEntry, err error) error {
		if err == nil {
			err = q.ctx.Err()
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(q.job.Source, file)
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") && rel != "." { // .git, .cache
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		to := filepath.Join(q.work.model(), rel)
		info, err := os.Stat(file) // Stat: a hub's snapshot is made of links
		if err != nil || info.IsDir() {
			return errors.Join(err, os.MkdirAll(to, 0o755))
		}
		if q.rewritten(filepath.Dir(rel), filepath.Base(rel)) {
			return nil
		}
		if have, err := os.Stat(to); err == nil && have.Size() == info.Size() {
			return nil // an earlier try did
		}
		return copyFile(q.ctx, file, to)
	})
}

// checkpoints are the files that hold a whole model.
var checkpoints = []string{".safetensors", ".ckpt", ".bin", ".pt", ".pth", ".gguf", ".onnx"}

// rewritten says that a file is the quantizer's own to write, or old weights in another format.
func (q *quantizer) rewritten(folder, name string) bool {
	if folder == "." && name == card {
		return true
	}
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

// copyFile copies a file, which gets its name when it is whole.
func copyFile(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to + ".part")
	if err != nil {
		return err
	}
	_, err = io.Copy(out, readerFunc(func(b []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return in.Read(b)
	}))
	if err = errors.Join(err, out.Close()); err != nil {
		return &weights.Error{File: to, Need: "to write it whole", Err: err, Remedy: "free disk space, or choose another folder"}
	}
	return os.Rename(to+".part", to)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
