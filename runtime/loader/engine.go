// Package loader assembles models: it finds a checkpoint, tells its family, binds text encoder, network and VAE to a
// device, and hands them to the graph as the interfaces of types.
package loader

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
	"graphrun/runtime/hub"
	"graphrun/runtime/sdnq"
	"graphrun/types"
)

// Config says what an Engine computes on.
type Config struct {
	Threads int // worker threads, 0 for one a core
	// Precision is "auto" (default): as the weights are stored, quantized convolutions with one scale a picture, which is not
	// what SDNQ does but about as near to float32 (docs/design.md); "sdnq": those as SDNQ has them; or "exact": every product
	// in float32.
	Precision string
	// AttentionInt8 computes the scores of attention in int8, but for layers in float32: faster, with the error that
	// docs/design.md states. Precision exact has none of it.
	AttentionInt8 bool
	Budget        int64 // bytes of activations and the operations' scratch, 0 for no limit
	Folders       *hub.Folders
}

// Engine is the device and the memory that models run in. Build one with New, share it, Close it.
type Engine struct {
	Folders *hub.Folders

	pool  *cpu.Pool
	dev   *device.CPU
	arena *device.Arena

	copies *sdnq.Copies
	fast   bool
}

// copiesShare is the part of the budget that int8 codes made of others may take: a quarter.
const copiesShare = 4

// New starts the workers of an engine.
func New(c Config) (*Engine, error) {
	if !slices.Contains([]string{"", "auto", "sdnq", "exact"}, c.Precision) {
		return nil, fmt.Errorf("precision: need auto, sdnq or exact, have %q", c.Precision)
	}
	if c.Threads < 0 || c.Threads > 1024 {
		return nil, fmt.Errorf("threads: need 0 (one a core) to 1024, have %d", c.Threads)
	}
	e := &Engine{Folders: c.Folders, pool: cpu.NewPool(c.Threads)}
	e.dev = device.NewCPU(e.pool, c.Precision == "exact")
	e.dev.QuantizeAttention(c.AttentionInt8)
	e.arena = device.NewArena(e.dev, c.Budget)
	e.fast = c.Precision != "sdnq"
	if c.Budget > 0 {
		e.copies = sdnq.NewCopies(c.Budget / copiesShare)
	}
	return e, nil
}

// Close stops the workers. Models of the engine must not be used after.
func (e *Engine) Close() { e.pool.Close() }

// Free gives activation memory that is not in use back.
func (e *Engine) Free() { e.arena.Trim() }

// Room is a *device.BudgetError if n float32 values on the host would not fit beside the activations in use.
func (e *Engine) Room(n float64) error { return e.arena.Room(n) }

// Memory says what activations hold now and held at most.
func (e *Engine) Memory() device.Stats { return e.arena.Stats() }

// Scratch is what operations hold between calls, in bytes.
func (e *Engine) Scratch() int64 { return e.arena.Scratch() }

// Threads is the number of workers.
func (e *Engine) Threads() int { return e.pool.Threads() }

// Options choose how a pipeline computes, within --precision auto.
type Options struct {
	DType           string // "auto", "float32", "bfloat16" or "float16" (computed in float32)
	QuantizedMatmul bool   // multiply int8 weights by int8 activations where SDNQ would
	Offload         bool   // give a component's mapped pages back after its use
}

// LoadPipeline loads a Hugging Face diffusers folder: model is a repo id or a local path.
func (e *Engine) LoadPipeline(ctx context.Context, model string, o Options) (types.Model, types.CLIP, types.VAE, error) {
	f, err := hub.Resolve(ctx, e.Folders, model)
	if err != nil {
		return types.Model{}, types.CLIP{}, types.VAE{}, err
	}
	m, c, v, err := e.loadFolder(ctx, f, o)
	if err != nil {
		return types.Model{}, types.CLIP{}, types.VAE{}, within("model ", model, err)
	}
	return m, c, v, nil
}

// LoadCheckpoint loads a single safetensors file that carries network, text encoder and VAE.
func (e *Engine) LoadCheckpoint(ctx context.Context, path string) (types.Model, types.CLIP, types.VAE, error) {
	m, c, v, err := e.loadFile(ctx, path)
	if err != nil {
		return types.Model{}, types.CLIP{}, types.VAE{}, within("checkpoint ", path, err)
	}
	return m, c, v, nil
}

// within names what was loaded, where the error does not begin with it.
func within(what, name string, err error) error {
	if strings.HasPrefix(err.Error(), name) {
		return err
	}
	return fmt.Errorf("%s%s: %w", what, name, err)
}
