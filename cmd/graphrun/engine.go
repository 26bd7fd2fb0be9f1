package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"graphrun/frontend"
	"graphrun/graph"
	"graphrun/kernels/cpu"
	_ "graphrun/nodes/all" // registers the node library
	"graphrun/runtime/hub"
	"graphrun/runtime/loader"
)

// folderFlags say where files are.
type folderFlags struct {
	input, output string
	models        []string
}

func (f *folderFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.input, "input", "input", "folder of pictures that workflows read")
	flags.StringVarP(&f.output, "output", "o", "output", "folder of what workflows write; previews go to its temp folder")
	flags.StringArrayVar(&f.models, "models", []string{"models"}, "folder of models, repeatable")
}

func (f *folderFlags) open() *hub.Folders {
	return &hub.Folders{Input: f.input, Output: f.output, Temp: filepath.Join(f.output, "temp"), Models: f.models}
}

// engineFlags say what an engine computes on.
type engineFlags struct {
	folderFlags
	threads       int
	precision     string
	attentionInt8 bool
	memory        float64 // GiB
	cacheFlags
	testNodes bool
}

func (f *engineFlags) add(flags *pflag.FlagSet) {
	f.addCompute(flags)
	f.folderFlags.add(flags)
}

// addCompute adds the flags but for those of folders.
func (f *engineFlags) addCompute(flags *pflag.FlagSet) {
	flags.IntVar(&f.threads, "cpu-threads", 0, "worker threads, 0 for one a core")
	flags.Float64Var(&f.memory, "memory", 0, "GiB that activations may take, 0 for what is free but for an eighth")
	flags.StringVar(&f.precision, "precision", "auto", "auto: as the weights are stored, int8 where they say so; sdnq: quantized convolutions to the bit as SDNQ has them, slower; exact: float32 throughout")
	flags.BoolVar(&f.attentionInt8, "attention-int8", false, "scores of attention from int8 queries and keys, where layers are not float32: about 1 % off on normal data, 5 % where a few channels are far larger")
}

// addRuns adds the flags of verbs that run whole workflows.
func (f *engineFlags) addRuns(flags *pflag.FlagSet) {
	f.cacheFlags.add(flags)
	flags.BoolVar(&f.testNodes, "test-nodes", false, "add the nodes of ComfyUI's execution tests")
	flags.MarkHidden("test-nodes")
}

// engine is everything that nodes reach through the environment: the folders, the device with its models, and the cache
// of results.
type engine struct {
	folders *hub.Folders
	models  *loader.Engine
	env     *graph.Env
	cache   graph.Cache
	locked  bool // runs are held to the locks of their workflows
}

var _ frontend.Engine = (*engine)(nil)

// open builds the engine. Close it after the last run.
func (f *engineFlags) open() (*engine, error) {
	e := &engine{folders: f.folderFlags.open(), env: graph.NewEnv()}
	if !(f.memory >= 0) || f.memory > 1<<20 {
		return nil, &usageError{fmt.Errorf("--memory %g: need a number of GiB, 0 for what is free but for an eighth", f.memory)}
	}
	var err error
	if e.models, err = loader.New(loader.Config{Threads: f.threads, Precision: f.precision, AttentionInt8: f.attentionInt8, Budget: f.budget(), Folders: e.folders}); err != nil {
		return nil, &usageError{err}
	}
	if err := f.configure(&e.cache, fmt.Sprintf("precision %s, attention int8 %v", f.precision, f.attentionInt8)); err != nil {
		e.Close()
		return nil, err
	}
	if f.testNodes {
		addTestNodes()
	}
	graph.Provide(e.env, e.folders)
	graph.Provide(e.env, e.models)
	return e, nil
}

// budget is what activations and the operations' scratch may take, in bytes: what the user says or, by default, the memory
// that is free at the start, or left to a control group, but for an eighth. A picture that needs more ends in an error that
// says so, not in the system's ending the process.
func (f *engineFlags) budget() int64 {
	if f.memory > 0 {
		return int64(f.memory * (1 << 30))
	}
	total, free := machineMemory()
	return max(free-free/8, total/16)
}

func (e *engine) Close() { e.models.Close() }

// Stats implements frontend.Stats.
func (e *engine) Stats() frontend.System {
	total, free := machineMemory()
	return frontend.System{
		Version: version(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), RAMTotal: total, RAMFree: free,
		Devices: []frontend.Device{{
			Name: fmt.Sprintf("cpu %s, %d threads", cpu.Features(), e.models.Threads()), Type: "cpu",
			MemoryTotal: total, MemoryFree: free, InUse: e.models.Memory().Held + e.models.Scratch(),
		}},
	}
}

// Free implements frontend.Freer. A model lives as long as a result that holds it.
func (e *engine) Free(models bool) {
	if models {
		e.cache.Free()
	}
	e.models.Free()
	debug.FreeOSMemory()
}

// modelFolders are the kinds of models that ComfyUI knows, in its order (server.md 4).
var modelFolders = []string{
	"checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision", "style_models", "embeddings",
	"diffusers", "vae_approx", "controlnet", "gligen", "upscale_models", "custom_nodes", "hypernetworks", "photomaker",
	"classifiers", "model_patches", "audio_encoders",
}

// modelSuffixes end the names of model files; configs are listed whatever they are called.
var modelSuffixes = []string{".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"}

// ModelFolders implements frontend.Models.
func (e *engine) ModelFolders() []string {
	list := slices.Clone(modelFolders)
	for _, kind := range slices.Sorted(maps.Keys(e.folders.Extra)) {
		if !slices.Contains(list, kind) && kind != "unet" && kind != "clip" {
			list = append(list, kind)
		}
	}
	return list
}

// ModelFiles implements frontend.Models.
func (e *engine) ModelFiles(folder string) ([]string, error) {
	if !slices.Contains(e.ModelFolders(), folder) {
		return nil, fmt.Errorf("model folder %q: need one of %s", folder, strings.Join(e.ModelFolders(), ", "))
	}
	switch folder {
	case "configs":
		return e.folders.List(folder, ".yaml"), nil
	case "custom_nodes", "diffusers", "classifiers": // folders, or none of ours
		return nil, nil
	}
	return e.folders.List(folder, modelSuffixes...), nil
}

// ModelDirs implements frontend.Models.
func (e *engine) ModelDirs(folder string) []string { return e.folders.ModelDirs(folder) }

// ModelPath implements frontend.Models.
func (e *engine) ModelPath(folder, name string) (string, error) { return e.folders.Find(folder, name) }

// written lists the files that the nodes of a run saved, in the order of the prompt.
func (e *engine) written(p *graph.Prompt, r *graph.Result) ([]string, error) {
	var files []string
	for _, id := range p.IDs {
		some, err := e.files(r.UI[id])
		if err != nil {
			return nil, err
		}
		files = append(files, some...)
	}
	return files, nil
}

// files lists the paths of the files that a node shows.
func (e *engine) files(shown graph.UI) ([]string, error) {
	refs, err := shownFiles(shown)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, f := range refs {
		dir, err := e.folders.Dir(hub.Kind(f.Type))
		if err != nil {
			return nil, err
		}
		files = append(files, filepath.Join(dir, filepath.FromSlash(f.Subfolder), f.Filename))
	}
	return files, nil
}

// fileRef is a file as nodes show it.
type fileRef struct{ Filename, Subfolder, Type string }

// shownFiles lists the files that a node shows, among whatever else it shows.
func shownFiles(shown graph.UI) ([]fileRef, error) {
	var files []fileRef
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		for _, item := range shown[name] {
			text, err := json.Marshal(item)
			if err != nil {
				return nil, err
			}
			var f fileRef
			if json.Unmarshal(text, &f) == nil && f.Filename != "" {
				files = append(files, f)
			}
		}
	}
	return files, nil
}

// usage makes an argument check of cobra's a usage error.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return &usageError{err}
		}
		return nil
	}
}
