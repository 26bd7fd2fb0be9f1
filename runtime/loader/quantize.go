package loader

import (
	"context"
	"os"
	"path/filepath"

	"graphrun/runtime/diffusion"
	"graphrun/runtime/hub"
	"graphrun/runtime/sdnq"
	"graphrun/runtime/text/clip"
	"graphrun/runtime/vae"
	"graphrun/runtime/weights"
	"graphrun/types"
)

// origin is where a model came from.
type origin struct {
	path    string // of a pipeline's folder or a file; "" for what is inside the program
	file    bool
	options Options
}

// note has the parts of a model know where they came from.
func note(m types.Model, c types.CLIP, v types.VAE, o origin) {
	if d, ok := m.Denoiser.(*diffusion.UNetModel); ok {
		d.Origin = o
	}
	if t, ok := c.TextEncoder.(*clip.Encoder); ok {
		t.Origin = o
	}
	if a, ok := v.Autoencoder.(*vae.KL); ok {
		a.Origin = o
	}
}

// network is the UNet behind a model whose sampling may have been changed.
func network(d types.Denoiser) (*diffusion.UNetModel, bool) {
	for {
		if u, ok := d.(*diffusion.UNetModel); ok {
			return u, true
		}
		w, ok := d.(interface{ Unwrap() types.Denoiser })
		if !ok {
			return nil, false
		}
		d = w.Unwrap()
	}
}

// QuantizeError is a loaded model that cannot be quantized.
type QuantizeError struct{ What, Need, Have, Hint string }

func (e *QuantizeError) Error() string {
	return e.What + ": need " + e.Need + ", have " + e.Have + ": " + e.Hint
}

// Explain takes the error apart.
func (e *QuantizeError) Explain() (what, need, have, hint string) {
	return e.What, e.Need, e.Have, e.Hint
}

// QuantizeModel is the model with its weights quantized: they are read again from where they came from, written to a file
// below the folder for what is temporary, and mapped. Products are those of int8 where the dtype has them.
func (e *Engine) QuantizeModel(ctx context.Context, m types.Model, cfg *sdnq.Config) (types.Model, *sdnq.ModelReport, error) {
	old, ok := network(m.Denoiser)
	if !ok {
		return types.Model{}, nil, &QuantizeError{"MODEL", "one that a loader here made", "another", "connect a loader's MODEL"}
	}
	made := *old.Session().(*diffusion.UNetModel)
	made.Spec = m.Sampling()
	report, err := e.requantize(ctx, "MODEL", "unet", old.Origin, cfg, func(f hub.Model, p *fileParts, o Options) (err error) {
		if p != nil {
			made.UNet, err = p.unet()
		} else {
			made.UNet, err = e.loadUNet(ctx, f, o)
		}
		return err
	})
	made.Origin = nil // where it came from is another model
	return types.Model{Denoiser: &made}, report, err
}

// QuantizeCLIP is QuantizeModel for a text encoder.
func (e *Engine) QuantizeCLIP(ctx context.Context, c types.CLIP, cfg *sdnq.Config) (types.CLIP, *sdnq.ModelReport, error) {
	old, ok := c.TextEncoder.(*clip.Encoder)
	if !ok {
		return types.CLIP{}, nil, &QuantizeError{"CLIP", "one that a loader here made", "another", "connect a loader's CLIP"}
	}
	made := *old
	report, err := e.requantize(ctx, "CLIP", "text_encoder", old.Origin, cfg, func(f hub.Model, p *fileParts, o Options) error {
		load := func() (*clip.Encoder, error) { return e.loadText(ctx, f, o) }
		if p != nil {
			load = p.text
		}
		enc, err := load()
		if err == nil {
			made.Network, made.After = enc.Network, enc.After
		}
		return err
	})
	made.Origin = nil
	return types.CLIP{TextEncoder: &made}, report, err
}

// QuantizeVAE is QuantizeModel for an autoencoder.
func (e *Engine) QuantizeVAE(ctx context.Context, v types.VAE, cfg *sdnq.Config) (types.VAE, *sdnq.ModelReport, error) {
	old, ok := v.Autoencoder.(*vae.KL)
	if !ok {
		return types.VAE{}, nil, &QuantizeError{"VAE", "one that a loader here made", "another", "connect a loader's VAE"}
	}
	var made *vae.KL
	report, err := e.requantize(ctx, "VAE", "vae", old.Origin, cfg, func(f hub.Model, p *fileParts, o Options) (err error) {
		if p != nil {
			made, err = p.vae()
		} else {
			made, err = e.loadVAE(ctx, f, o)
		}
		return err
	})
	return types.VAE{Autoencoder: made}, report, err
}

// requantize quantizes one component of where a model came from, and has load bind it.
func (e *Engine) requantize(ctx context.Context, what, component string, from any, cfg *sdnq.Config, load func(hub.Model, *fileParts, Options) error) (*sdnq.ModelReport, error) {
	o, ok := from.(origin)
	if !ok || o.path == "" {
		return nil, &QuantizeError{what, "a model loaded from a folder or a file of dense weights", "one that is built in or quantized already", "connect the loader of the original model"}
	}
	parent := os.TempDir()
	if e.Folders != nil && e.Folders.Temp != "" {
		parent = e.Folders.Temp
	}
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, "graphrun-quantized-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // what is mapped stays mapped; where the system forbids it, the file stays in the folder of what is temporary
	job := sdnq.Job{Source: o.path, Target: filepath.Join(dir, "model"), Config: cfg, Components: []string{component}, Alone: true, Pool: e.pool}
	if o.file {
		job.Target += ".safetensors"
	}
	report, err := job.Run(ctx)
	if err != nil {
		return nil, err
	}
	if !o.file {
		o.options.QuantizedMatmul = true
		return report, load(hub.Model{Name: o.path, Dir: job.Target, FS: os.DirFS(job.Target)}, nil, o.options)
	}
	store, err := weights.Open(job.Target)
	if err != nil {
		return nil, err
	}
	over, err := readOverride(store, o.path)
	if err != nil {
		return nil, err
	}
	p, err := e.openParts(store, over)
	if err != nil {
		return nil, err
	}
	use := true
	p.layers.QuantizedMatMul = &use
	return report, load(hub.Model{}, p, Options{})
}
