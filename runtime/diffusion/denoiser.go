package diffusion

import (
	"context"
	"fmt"

	"graphrun/runtime/device"
	"graphrun/types"
)

// UNetModel is a UNet as the MODEL of a graph.
type UNetModel struct {
	UNet   *UNet
	Device device.Device
	Arena  *device.Arena
	Spec   types.Sampling
	Format types.LatentFormat
	Origin any // what a loader notes, to find the weights again

	tokens, out []float32 // buffers of Predict
}

var (
	_ types.Denoiser  = (*UNetModel)(nil)
	_ types.Sessioner = (*UNetModel)(nil)
)

// Session is the model with buffers of its own.
func (m *UNetModel) Session() types.Denoiser {
	own := *m
	own.tokens, own.out = nil, nil
	return &own
}

// Sampling says how the network was trained.
func (m *UNetModel) Sampling() types.Sampling { return m.Spec }

// Latent says in which scale it sees latents.
func (m *UNetModel) Latent() types.LatentFormat { return m.Format }

// Predict runs the UNet once: x [batch, channels, height, width].
func (m *UNetModel) Predict(ctx context.Context, x types.Tensor, timestep []float32, cond []types.Cond) (types.Tensor, error) {
	if err := x.Check("latent", 4); err != nil {
		return types.Tensor{}, err
	}
	if c := x.Shape[1]; c != m.UNet.Config.InChannels {
		return types.Tensor{}, fmt.Errorf("model: need latents of %d channels, have %d: the latent is of another model family", m.UNet.Config.InChannels, c)
	}
	if err := m.UNet.Config.RefuseAddition(); err != nil {
		return types.Tensor{}, fmt.Errorf("model: %w", err)
	}
	shape, err := m.context(x.Shape[0], cond)
	if err != nil {
		return types.Tensor{}, err
	}
	p := device.NewPass(ctx, m.Device, m.Arena)
	y := m.UNet.Forward(p, p.Upload(x.Data, true, x.Shape...), timestep, p.Upload(m.tokens, false, shape...), nil)
	m.out = p.DownloadTo(m.out, y, true)
	return types.Tensor{Shape: []int{x.Shape[0], m.UNet.Config.OutChannels, x.Shape[2], x.Shape[3]}, Data: m.out}, p.Close()
}

// context joins the prompts of a batch to [batch, tokens, width] in m.tokens and returns that shape. Prompts of different length are repeated to their
// least common multiple, which leaves attention as it is (numerics.md 4.2).
func (m *UNetModel) context(batch int, cond []types.Cond) ([]int, error) {
	if len(cond) != batch {
		return nil, fmt.Errorf("model: need one prompt a batch element, have %d for %d", len(cond), batch)
	}
	width, length := m.UNet.Config.CrossAttentionDim, 1
	for _, c := range cond {
		if err := c.Tokens.Check("conditioning", 3); err != nil {
			return nil, err
		}
		if c.Tokens.Shape[0] != 1 || c.Tokens.Shape[2] != width {
			return nil, fmt.Errorf("model: need conditioning of width %d, have shape %v: the CLIP is of another model family than the MODEL", width, c.Tokens.Shape)
		}
		length = lcm(length, c.Tokens.Shape[1])
	}
	if length > 1<<16 {
		return nil, fmt.Errorf("model: prompts of a batch have lengths whose common multiple is %d tokens: shorten one", length)
	}
	m.tokens = m.tokens[:0]
	for _, c := range cond {
		for range length / c.Tokens.Shape[1] {
			m.tokens = append(m.tokens, c.Tokens.Data...)
		}
	}
	return []int{batch, length, width}, nil
}

func lcm(a, b int) int {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}

// Estimate runs one prediction on the meta device: FLOPs and bytes of activations, before a weight is read.
func (m *UNetModel) Estimate(batch, height, width, tokens int) (flops, activations int64, err error) {
	meta := &device.Meta{}
	arena := device.NewArena(meta, 0)
	p := device.NewPass(context.Background(), meta, arena)
	c := m.UNet.Config
	var add *Addition
	if c.AdditionInputDim > 0 {
		const ids = 6 // of time
		add = &Addition{Text: p.New(batch, max(1, c.AdditionInputDim-ids*c.AdditionTimeEmbedDim)), TimeIDs: make([]float32, batch*ids)}
	}
	m.UNet.Forward(p, p.New(batch, height, width, c.InChannels), make([]float32, batch), p.New(batch, tokens, c.CrossAttentionDim), add)
	err = p.Close()
	return meta.FLOPs, arena.Stats().Peak, err
}
