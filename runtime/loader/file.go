package loader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"graphrun/runtime/diffusion"
	"graphrun/runtime/nn"
	"graphrun/runtime/sdnq"
	"graphrun/runtime/text"
	"graphrun/runtime/text/clip"
	"graphrun/runtime/vae"
	"graphrun/runtime/weights"
	"graphrun/types"
)

// override is what a file may say of itself, in its metadata (tiny_config) or beside it (single-file.json): what shapes
// do not tell. A part that is given replaces what was detected.
type override struct {
	Family string                     `json:"family"`
	UNet   json.RawMessage            `json:"unet_or_transformer"`
	VAE    json.RawMessage            `json:"vae"`
	Text   map[string]json.RawMessage `json:"text"`
}

// loadFile reads a single-file SD1.x checkpoint in the original layout.
func (e *Engine) loadFile(ctx context.Context, path string) (m types.Model, c types.CLIP, v types.VAE, err error) {
	store, err := weights.Open(path)
	if err != nil {
		return m, c, v, err
	}
	if err := detectFamily(store); err != nil {
		return m, c, v, err
	}
	over, err := readOverride(store, path)
	if err != nil {
		return m, c, v, err
	}
	file, err := e.openParts(store, over)
	if err != nil {
		return m, c, v, err
	}
	step := func(i int) { types.Report(ctx, types.Progress{Phase: "load", Step: i, Total: loadSteps}) }
	step(0)
	te, err := file.text()
	if err != nil {
		return m, c, v, err
	}
	step(1)
	kl, err := file.vae()
	if err != nil {
		return m, c, v, err
	}
	step(2)
	unet, err := file.unet()
	if err != nil {
		return m, c, v, err
	}
	step(loadSteps)
	m.Denoiser = &diffusion.UNetModel{
		UNet: unet, Device: e.dev, Arena: e.arena, Format: latentFormat(kl.Config.LatentChannels, kl.Config.ScalingFactor, kl.Config.ShiftFactor),
		Spec: types.Sampling{Prediction: types.PredictEpsilon, BetaSchedule: "linear", BetaStart: 0.00085, BetaEnd: 0.012, Steps: 1000},
	}
	c.TextEncoder, v.Autoencoder = te, kl
	note(m, c, v, origin{path: path, file: true})
	return m, c, v, nil
}

// families that a file may be, by a name that only they have (families.md 11), in order.
var families = []struct{ name, family string }{
	{"model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight", "SD3"},
	{"model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale", "FLUX"},
	{"double_blocks.0.img_attn.norm.key_norm.scale", "FLUX"},
	{"model.diffusion_model.head.modulation", "Wan"},
	{"model.diffusion_model.txt_norm.weight", "Qwen-Image"},
	{"conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight", "SDXL"},
	{"conditioner.embedders.1.model.ln_final.weight", "SDXL"},
	{"cond_stage_model.model.ln_final.weight", "SD2 single-file (its diffusers folder loads with SDNQModelLoader)"},
}

// FamilyError is a single file that is no checkpoint of a family known here.
type FamilyError struct{ Need, Have, Hint string }

func (e *FamilyError) Error() string {
	return fmt.Sprintf("need %s, have %s: %s", e.Need, e.Have, e.Hint)
}

// Explain takes the error apart.
func (e *FamilyError) Explain() (what, need, have, hint string) { return "", e.Need, e.Have, e.Hint }

func detectFamily(s *weights.Store) error {
	for _, f := range families {
		if _, ok := s.Lookup(f.name); ok {
			return &FamilyError{"a checkpoint of SD1.x", f.family, "choose another: this family is not supported yet"}
		}
	}
	for _, need := range []string{"model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.decoder.conv_in.weight"} {
		if _, ok := s.Lookup(need); !ok {
			return &FamilyError{"a file with network, text encoder and VAE of SD1.x", "one without " + need, "choose a whole checkpoint: this is a single component, or of another family"}
		}
	}
	return nil
}

func readOverride(s *weights.Store, path string) (o override, err error) {
	raw := []byte(s.Metadata()["tiny_config"])
	if len(raw) == 0 {
		raw, err = os.ReadFile(filepath.Join(filepath.Dir(path), "single-file.json"))
		if errors.Is(err, fs.ErrNotExist) {
			return o, nil
		}
		if err != nil {
			return o, err
		}
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return o, fmt.Errorf("tiny_config: %w", err)
	}
	return o, nil
}

// fileParts makes the networks of a single file, dense or quantized.
type fileParts struct {
	engine *Engine
	store  *weights.Store
	config *sdnq.Config   // nil for a dense file
	shapes *weights.Store // the weights in the shapes that modules declare
	layers nn.Options
	override
}

func (e *Engine) openParts(store *weights.Store, o override) (*fileParts, error) {
	config, shapes, err := sdnq.OfFile(store)
	return &fileParts{e, store, config, shapes, nn.Options{Copies: e.copies, FastConv: e.fast}, o}, err
}

// binder binds the tensors below a prefix under the names that f makes of theirs.
func (p *fileParts) binder(prefix string, f func(string) string) *nn.Binder {
	names := func(name string) string {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			return ""
		}
		return f(rest)
	}
	var config *sdnq.Config
	if p.config != nil {
		config = p.config.Renamed(names)
	}
	return nn.NewBinder(p.store.Rename(names), config, p.layers)
}

const (
	fileUNet = "model.diffusion_model."
	fileVAE  = "first_stage_model."
	fileText = "cond_stage_model.transformer."
)

func (p *fileParts) unet() (*diffusion.UNet, error) {
	c, err := diffusion.DetectUNet(p.shapes.Sub(fileUNet))
	if p.UNet != nil {
		c, err = diffusion.ParseUNetConfig(p.UNet)
	}
	if err != nil {
		return nil, err
	}
	if c.RefuseAddition() != nil {
		return nil, fmt.Errorf("checkpoint: this is an SDXL-type UNet (label_emb): the SDXL family comes later; SD1.x checkpoints load now")
	}
	return diffusion.NewUNet(c, p.binder(fileUNet, diffusion.OriginalUNetNames(c)))
}

func (p *fileParts) vae() (*vae.KL, error) {
	c, err := vae.Detect(p.shapes.Sub(fileVAE))
	if p.VAE != nil {
		c, err = vae.ParseConfig(p.VAE)
	}
	if err != nil {
		return nil, err
	}
	return vae.New(c, p.binder(fileVAE, vae.OriginalNames(len(c.BlockOutChannels))), p.engine.dev, p.engine.arena)
}

func (p *fileParts) text() (*clip.Encoder, error) {
	c, err := clip.Detect(p.shapes.Sub(fileText))
	if p.Text["clip_l"] != nil {
		var sized clip.Config
		if sized, err = clip.ParseConfig(p.Text["clip_l"]); err == nil {
			sized.VocabSize, sized.Positions = c.VocabSize, c.Positions
			c = sized
		}
	}
	if err != nil {
		return nil, err
	}
	network, err := clip.New(c, p.binder(fileText, func(n string) string { return n }))
	if err != nil {
		return nil, err
	}
	return p.engine.encoder(network, text.DefaultCLIP()), nil
}
