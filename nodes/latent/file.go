package latent

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"graphrun/graph"
	"graphrun/nodes/bridge"
	"graphrun/runtime/hub"
	"graphrun/runtime/weights"
	"graphrun/types"
)

func init() {
	graph.Register[SaveLatent](graph.Meta{
		Name: "SaveLatent", Uses: graph.IO, Title: "Save Latent", Category: "model/latent", Output: true, Hidden: []string{"PROMPT", "EXTRA_PNGINFO"},
		Description: "Writes latents as .latent files (safetensors) into the output folder, with the prompt and the workflow inside. Masks and batch indices are not kept.",
	})
	graph.Register[LoadLatent](graph.Meta{
		Name: "LoadLatent", Uses: graph.IO, Category: "_for_testing",
		Description: "Reads latents from a .latent file in the input folder. `name [output]` reads from the output folder.",
	})
}

// The tensors of a .latent file. Files without the marker are older: their latents were scaled for SD 1.5's network.
const (
	samplesKey = "latent_tensor"
	markerKey  = "latent_format_version_0"
	oldScale   = 0.18215
)

// savedLatent passes the latents on and tells the editor where they lie.
type savedLatent struct {
	Samples types.Latent `out:"samples"`
	UI      graph.UI
}

// SaveLatent writes .latent files.
type SaveLatent struct {
	Samples        types.Latent
	FilenamePrefix string `default:"latents/ComfyUI"`
}

// Run writes <prefix>_<counter>_.latent, the batch in float32.
func (n SaveLatent) Run(c *graph.Call) (savedLatent, error) {
	t := n.Samples.Samples
	if err := check("samples", t); err != nil {
		return savedLatent{}, err
	}
	text, err := bridge.Metadata(c)
	if err != nil {
		return savedLatent{}, err
	}
	metadata := map[string]string{}
	for _, t := range text {
		metadata[t.Key] = t.Value
	}
	to, err := bridge.SaveTo(c, hub.Output, n.FilenamePrefix, 0, 0)
	if err != nil {
		return savedLatent{}, err
	}
	raw := make([]byte, 0, 4*len(t.Data))
	for _, v := range t.Data {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	shown, err := to.File(to.Name, "_.latent", func(w io.Writer) error {
		return weights.Encode(w, []weights.Tensor{
			{Name: samplesKey, DType: weights.F32, Shape: t.Shape, Data: raw},
			{Name: markerKey, DType: weights.F32, Shape: []int{0}},
		}, metadata)
	})
	return savedLatent{n.Samples, graph.UI{"latents": {shown}}}, err
}

// latentFile is the name of a .latent file, possibly with its folder's kind behind it.
type latentFile string

// Options lists the files that lie directly in the input folder.
func (latentFile) Options(e *graph.Env) []string {
	f, err := graph.Service[*hub.Folders](e)
	if err != nil {
		return nil
	}
	entries, _ := os.ReadDir(f.Input) // no folder, no latents
	var list []string
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".latent") && !entry.IsDir() {
			list = append(list, entry.Name())
		}
	}
	return list
}

// LoadLatent reads a .latent file.
type LoadLatent struct {
	Latent latentFile `checked:"true"`
}

// Validate accepts any file that exists, listed or not.
func (n LoadLatent) Validate(e *graph.Env) error {
	_, err := n.path(e)
	return err
}

// Fingerprint changes with the file's contents.
func (n LoadLatent) Fingerprint(e *graph.Env) (string, error) {
	path, err := n.path(e)
	if err != nil {
		return "", err
	}
	return bridge.FileSum(path)
}

// Run reads the samples of any float type as float32.
func (n LoadLatent) Run(c *graph.Call) (types.Latent, error) {
	path, err := n.path(c.Env)
	if err != nil {
		return types.Latent{}, err
	}
	out, err := readLatent(path)
	if err != nil {
		return types.Latent{}, &graph.Error{Kind: graph.KindNodeFailed, Input: "latent", Err: err}
	}
	return out, nil
}

// readLatent reads a file that is safetensors whatever its name.
func readLatent(path string) (types.Latent, error) {
	store, err := weights.Open(path)
	if err != nil {
		return types.Latent{}, err
	}
	defer store.Close()
	t, ok := store.Lookup(samplesKey)
	if !ok {
		return types.Latent{}, fmt.Errorf("%s has no tensor %s: it is no latent that SaveLatent wrote", path, samplesKey)
	}
	values, err := t.Float32()
	if err != nil {
		return types.Latent{}, err
	}
	out := types.Tensor{Shape: append([]int{}, t.Shape...), Data: slices.Clone(values)} // values may lie in the mapped file
	if err := out.Check(samplesKey, len(out.Shape)); err != nil {
		return types.Latent{}, fmt.Errorf("%s: %w", path, err)
	}
	if _, marked := store.Lookup(markerKey); !marked {
		for i := range out.Data {
			out.Data[i] *= float32(1 / oldScale)
		}
	}
	return types.Latent{Samples: out}, nil
}

func (n LoadLatent) path(e *graph.Env) (string, error) {
	return bridge.InputFile(e, "latent", "latent", string(n.Latent))
}
