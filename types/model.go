package types

import "context"

// Sessioner is a Denoiser that may be used by several samplers at once, each through a session of its own.
type Sessioner interface {
	// Session is the same network, with buffers of its own.
	Session() Denoiser
}

// Denoiser is the network behind a MODEL. Implementations are safe for one call at a time.
type Denoiser interface {
	// Predict runs the network once. x is [batch, channels, height, width], already scaled for the network;
	// timestep has one value a batch element, in the units of Sampling; cond holds one entry a batch element.
	// The result has the shape of x and is the raw output (noise, velocity, ...), not the denoised picture; it is valid
	// until the next call.
	Predict(ctx context.Context, x Tensor, timestep []float32, cond []Cond) (Tensor, error)
	// Sampling says how the network was trained.
	Sampling() Sampling
	// Latent says in which scale the network sees latents.
	Latent() LatentFormat
}

// TextEncoder is what stands behind a CLIP.
type TextEncoder interface {
	// Encode parses the weights in text ("(a:1.2)"), tokenises it in chunks and returns its conditioning.
	// lastLayer is 0 for the family's own choice, or -1, -2, ... counted from the last layer.
	Encode(ctx context.Context, text string, lastLayer int) (Conditioning, error)
}

// Autoencoder is what stands behind a VAE.
type Autoencoder interface {
	// Decode turns latents [batch, channels, h, w] in the VAE's scale into pictures in 0..1.
	Decode(ctx context.Context, samples Tensor) (Image, error)
	// Encode returns the mean of the posterior, [batch, channels, h, w]. Pictures are cropped (centred) to a multiple of Factor.
	Encode(ctx context.Context, pixels Image) (Tensor, error)
	// Factor is pixels per latent cell, 8 in the SD families.
	Factor() int
}

// Prediction is what a network's output means.
type Prediction string

// The predictions of numerics.md 2.1.
const (
	PredictEpsilon  Prediction = "epsilon"
	PredictVelocity Prediction = "v_prediction"
	PredictSample   Prediction = "sample"
	PredictFlow     Prediction = "flow"
	PredictEDM      Prediction = "edm"        // Karras preconditioning, Playground 2.5
	PredictCosmos   Prediction = "cosmos_rf"  // rectified flow in EDM's sigmas, Cosmos
	PredictLCM      Prediction = "lcm"        // epsilon, read by latent consistency's boundary conditions; 50 steps of the schedule
	PredictImage    Prediction = "img_to_img" // the picture itself, from what is not scaled
)

// SigmaClass names a family of noise schedules.
type SigmaClass string

// The classes of numerics.md 2.2. The empty class is discrete, or for flow predictions flow (flux if FluxShift is set).
const (
	SigmaDiscrete    SigmaClass = "discrete"
	SigmaEDM         SigmaClass = "edm"
	SigmaContinuousV SigmaClass = "continuous_v"
	SigmaFlow        SigmaClass = "flow"
	SigmaFlux        SigmaClass = "flux"
	SigmaCascade     SigmaClass = "cascade"
	SigmaCosmos      SigmaClass = "cosmos"
)

// Sampling says how a network was trained: what it predicts and on which noise schedule.
type Sampling struct {
	Prediction   Prediction
	Class        SigmaClass
	BetaSchedule string  // "linear" (ComfyUI's name of scaled_linear), "sqrt_linear", "cosine"; discrete models
	BetaStart    float64 // 0.00085 in the SD families
	BetaEnd      float64 // 0.012 in the SD families
	Steps        int     // length of the training schedule, 1000
	ZeroSNR      bool    // the schedule is rescaled to zero terminal signal
	Shift        float64 // flow and cascade models; 0 means 1 there
	Multiplier   float64 // flow models: timestep = sigma * Multiplier; 0 means 1000, ComfyUI's default
	FluxShift    bool    // flow models: Shift is the mu of exponential shifting
	SigmaMin     float64 // edm, continuous_v and cosmos models: the ends of the range
	SigmaMax     float64
	SigmaData    float64 // edm and cosmos models: the spread of the data; 0 means 1
}

// LatentFormat maps the VAE's scale to the network's: model = (vae - Shift) * Scale.
type LatentFormat struct {
	Channels     int
	Scale, Shift float64
	// RGB, if set, is a rough linear picture of a model latent: rows of Channels, then three biases.
	RGB  [][3]float32
	Bias [3]float32
}

// Progress is one step of a long task.
type Progress struct {
	Phase       string // "load", "encode", "sample", "decode", "save"
	Step, Total int
	Latent      *Tensor // the denoised estimate in the network's scale while sampling, for previews; valid during the call
}

type progressKey struct{}

// WithProgress returns a context whose long tasks report to f. f may be called from any goroutine but not concurrently.
func WithProgress(ctx context.Context, f func(Progress)) context.Context {
	return context.WithValue(ctx, progressKey{}, f)
}

// Report tells the context's listener, if there is one, of p.
func Report(ctx context.Context, p Progress) {
	if f, ok := ctx.Value(progressKey{}).(func(Progress)); ok {
		f(p)
	}
}
