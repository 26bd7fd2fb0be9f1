package loader

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"graphrun/runtime/diffusion"
	"graphrun/runtime/hub"
	"graphrun/runtime/nn"
	"graphrun/runtime/sdnq"
	"graphrun/runtime/text/clip"
	"graphrun/runtime/vae"
	"graphrun/runtime/weights"
)

// ModelInfo is what is known of a model before it is run. Sizes are bytes.
type ModelInfo struct {
	Path       string          `json:"path"`
	Family     string          `json:"family"`
	Supported  bool            `json:"supported"`     // a workflow can load and run it
	Why        string          `json:"why,omitempty"` // it is not
	Size       int64           `json:"size"`          // of all files
	Components []ComponentInfo `json:"components"`
	Plans      []MemoryPlan    `json:"plans"`
}

// ComponentInfo is what is known of a part of a model.
type ComponentInfo struct {
	Name      string   `json:"name"`
	Class     string   `json:"class,omitempty"`
	Tensors   int      `json:"tensors"`
	Size      int64    `json:"size"`
	DTypes    []Share  `json:"dtypes"` // of quantized layers those of their codes; the largest first
	SDNQ      *Scheme  `json:"sdnq,omitempty"`
	Supported bool     `json:"supported"` // its network is known here and its tensors fit
	Why       string   `json:"why,omitempty"`
	Notes     []string `json:"notes,omitempty"`
}

// Share is how much of a component is stored in a dtype.
type Share struct {
	DType string `json:"dtype"`
	Bytes int64  `json:"bytes"`
}

// Scheme is how SDNQ quantized a component.
type Scheme struct {
	Version  string            `json:"version"`
	Layers   int               `json:"layers"`
	Settings map[string]string `json:"settings"`
}

// MemoryPlan is what a model takes on a device while it makes a picture, counted on the meta device.
type MemoryPlan struct {
	Device      string `json:"device"`
	Picture     string `json:"picture"`
	Weights     int64  `json:"weights"`     // mapped at once; pages of files can be given back and read again
	Activations int64  `json:"activations"` // float32, of the largest of a step with guidance and the VAE
}

// sizes of pictures that plans are made for, in pixels a side.
var planned = []int{512, 1024}

// Info reads the headers and configs of a model: a pipeline's folder or repository on this machine, one component's folder, or
// a safetensors file.
func (e *Engine) Info(ctx context.Context, model string) (*ModelInfo, error) {
	if info, err := os.Stat(model); err == nil && !info.IsDir() {
		return e.fileInfo(ctx, model)
	}
	f, err := hub.Local(e.Folders, model)
	if err != nil {
		return nil, err
	}
	return e.folderInfo(ctx, f)
}

func (e *Engine) folderInfo(ctx context.Context, f hub.Model) (*ModelInfo, error) {
	info := &ModelInfo{Path: cmp.Or(f.Dir, f.Name), Size: folderSize(f.FS), Components: []ComponentInfo{}}
	var p estimates
	if _, err := fs.Stat(f.FS, "model_index.json"); err != nil { // one component
		c, peak := e.componentInfo(ctx, f, ".")
		p.add(info, c, peak)
		info.Family, info.Why = cmp.Or(c.Class, "unknown"), cmp.Or(c.Why, "one component: a workflow needs the pipeline that it belongs to")
		info.Plans = p.plans()
		return info, nil
	}
	index, err := readJSON[map[string]any](f, "model_index.json")
	if err != nil {
		return nil, err
	}
	info.Family, _ = index["_class_name"].(string)
	folders, _ := fs.ReadDir(f.FS, ".")
	for _, d := range folders {
		part := d.Name()
		if found, _ := fs.Glob(f.FS, part+"/*.safetensors"); len(found) > 0 {
			c, peak := e.componentInfo(ctx, f, part)
			p.add(info, c, peak)
		}
	}
	if _, _, _, err := e.loadFolder(ctx, f, Options{QuantizedMatmul: true}); err != nil {
		info.Why = err.Error()
	} else {
		info.Supported = true
	}
	info.Plans = p.plans()
	return info, ctx.Err()
}

// folderSize adds up the files of a folder; links count as what they lead to.
func folderSize(fsys fs.FS) (bytes int64) {
	_ = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if i, err := fs.Stat(fsys, name); err == nil && !i.IsDir() {
				bytes += i.Size()
			}
		}
		return nil
	})
	return bytes
}

// estimates are the activations of networks, by pixels a side.
type estimates struct {
	sizes       []int64
	activations [2]int64
}

// estimate is the peak for a picture of so many pixels a side, 0 where it is not known.
type estimate func(pixels int) int64

func (p *estimates) add(info *ModelInfo, c ComponentInfo, peak estimate) {
	info.Components = append(info.Components, c)
	p.sizes = append(p.sizes, c.Size)
	for i, pixels := range planned {
		if peak != nil {
			p.activations[i] = max(p.activations[i], peak(pixels))
		}
	}
}

// plans are those of the devices here: the CPU with all weights mapped, and with components given back after their use.
func (p *estimates) plans() (list []MemoryPlan) {
	list = []MemoryPlan{}
	if len(p.sizes) == 0 || p.activations[0] == 0 {
		return list
	}
	all := int64(0)
	for _, s := range p.sizes {
		all += s
	}
	for i, pixels := range planned {
		picture := fmt.Sprintf("%dx%d", pixels, pixels)
		list = append(list, MemoryPlan{"cpu", picture, all, p.activations[i]})
		if len(p.sizes) > 1 {
			list = append(list, MemoryPlan{"cpu, cpu_offload", picture, slices.Max(p.sizes), p.activations[i]})
		}
	}
	return list
}

// componentInfo tells of a component's folder, and binds it, which reads no weights.
func (e *Engine) componentInfo(ctx context.Context, f hub.Model, part string) (c ComponentInfo, peak estimate) {
	c.Name = strings.TrimPrefix(part, ".")
	config, binder, store, err := e.component(ctx, f, part, Options{QuantizedMatmul: true})
	if err != nil {
		c.Why = err.Error()
		return c, nil
	}
	var class struct {
		Name          string `json:"_class_name"`
		Architectures []string
	}
	if err := json.Unmarshal(config, &class); err != nil {
		c.Why = err.Error()
		return c, nil
	}
	if c.Class = class.Name; c.Class == "" && len(class.Architectures) > 0 {
		c.Class = class.Architectures[0]
	}
	quant, err := quantization(f, part, config)
	c.stored(store, quant)
	if err == nil {
		peak, err = e.bind(c.Class, config, binder)
	}
	if c.Supported = err == nil; err != nil {
		c.Why = err.Error()
	}
	return c, peak
}

// bind binds a component of a class that is known here, and returns how its activations are estimated.
func (e *Engine) bind(class string, config []byte, b *nn.Binder) (estimate, error) {
	switch class {
	case "UNet2DConditionModel":
		c, err := diffusion.ParseUNetConfig(config)
		if err != nil {
			return nil, err
		}
		u, err := diffusion.NewUNet(c, b)
		return unetPeak(u), err
	case "FluxTransformer2DModel":
		c, err := diffusion.ParseFluxConfig(config)
		if err != nil {
			return nil, err
		}
		n, err := diffusion.NewFlux(c, b)
		return func(pixels int) int64 {
			_, bytes, _ := n.Estimate(pixels/16, pixels/16, 512)
			return bytes
		}, err
	case "AutoencoderKL":
		c, err := vae.ParseConfig(config)
		if err != nil {
			return nil, err
		}
		v, err := vae.New(c, b, e.dev, e.arena)
		return vaePeak(v), err
	case "CLIPTextModel", "CLIPTextModelWithProjection":
		c, err := clip.ParseConfig(config)
		if err == nil {
			_, err = clip.New(c, b)
		}
		return nil, err
	}
	return nil, fmt.Errorf("class %q: need one of UNet2DConditionModel, FluxTransformer2DModel, AutoencoderKL, CLIPTextModel: this network is not supported yet", class)
}

func unetPeak(u *diffusion.UNet) estimate {
	return func(pixels int) int64 {
		_, bytes, err := (&diffusion.UNetModel{UNet: u}).Estimate(2, pixels/8, pixels/8, 77) // with guidance: two at once
		if err != nil {
			return 0
		}
		return bytes
	}
}

func vaePeak(v *vae.KL) estimate {
	return func(pixels int) int64 {
		_, bytes, err := v.Estimate(pixels/v.Factor(), pixels/v.Factor())
		if err != nil {
			return 0
		}
		return bytes
	}
}

// stored tells what the tensors are stored in.
func (c *ComponentInfo) stored(s *weights.Store, quant *sdnq.Config) {
	sizes := map[string]int64{}
	for _, name := range s.Names() {
		t, _ := s.Lookup(name)
		dtype := t.DType.String()
		module, isWeight := strings.CutSuffix(name, ".weight")
		if _, quantized := s.Lookup(module + ".scale"); isWeight && quantized && quant != nil {
			if c.SDNQ == nil {
				c.SDNQ = &Scheme{Version: cmp.Or(quant.Version, "unknown"), Settings: quant.Settings()}
			}
			c.SDNQ.Layers++
			if d, err := quant.DType(name, t.Shape); err == nil {
				dtype = d
			}
		}
		sizes[dtype] += int64(len(t.Data))
		c.Tensors++
		c.Size += int64(len(t.Data))
	}
	c.DTypes = []Share{}
	for _, d := range slices.SortedFunc(maps.Keys(sizes), func(a, b string) int { return cmp.Or(cmp.Compare(sizes[b], sizes[a]), cmp.Compare(a, b)) }) {
		c.DTypes = append(c.DTypes, Share{d, sizes[d]})
	}
	if c.SDNQ != nil {
		c.Notes = quant.Notes()
	}
}

// fileInfo tells of a single file.
func (e *Engine) fileInfo(ctx context.Context, file string) (*ModelInfo, error) {
	store, err := weights.Open(file)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	info := &ModelInfo{Path: file, Family: "unknown"}
	if i, err := os.Stat(file); err == nil {
		info.Size = i.Size()
	}
	over, err := readOverride(store, file)
	if err != nil {
		return nil, err
	}
	parts, err := e.openParts(store, over)
	if err != nil {
		return nil, err
	}
	var unknown *FamilyError
	if err = detectFamily(store); err == nil {
		info.Family = "SD1.x"
	} else if errors.As(err, &unknown) && unknown.Need == "a checkpoint of SD1.x" {
		info.Family = unknown.Have
	}
	if err != nil {
		info.Why = err.Error()
	} else if _, _, _, err := e.loadFile(ctx, file); err != nil {
		info.Why = err.Error()
	} else {
		info.Supported = true
	}
	var p estimates
	for _, part := range sdnq.FileParts(store) {
		c := ComponentInfo{Name: part.Name}
		c.stored(store.Rename(part.Only), parts.config)
		var peak estimate
		switch {
		case !info.Supported:
			c.Why = "part of a model that is not supported"
		case part.Name == "unet":
			u, err := parts.unet()
			c.Class, c.Supported, peak = "UNet2DConditionModel", err == nil, unetPeak(u)
		case part.Name == "vae":
			v, err := parts.vae()
			c.Class, c.Supported, peak = "AutoencoderKL", err == nil, vaePeak(v)
		case part.Name == "text_encoder":
			c.Class, c.Supported = "CLIPTextModel", true
		default:
			c.Supported = true
		}
		p.add(info, c, peak)
	}
	info.Plans = p.plans()
	return info, ctx.Err()
}

// String is the whole for people.
func (m *ModelInfo) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  family     %s\n  on disk    %s\n", m.Path, m.Family, bytesText(m.Size))
	if m.Supported {
		b.WriteString("  supported  yes\n")
	} else {
		fmt.Fprintf(&b, "  supported  no: %s\n", oneLine(m.Why))
	}
	for _, c := range m.Components {
		var dtypes []string
		for _, d := range c.DTypes {
			dtypes = append(dtypes, d.DType+" "+bytesText(d.Bytes))
		}
		fmt.Fprintf(&b, "  %s: %s, %s in %d tensors (%s)\n", cmp.Or(c.Name, filepath.Base(m.Path)), cmp.Or(c.Class, "no class"), bytesText(c.Size), c.Tensors, strings.Join(dtypes, ", "))
		if s := c.SDNQ; s != nil {
			var settings []string
			for _, k := range slices.Sorted(maps.Keys(s.Settings)) {
				settings = append(settings, k+" "+s.Settings[k])
			}
			fmt.Fprintf(&b, "    SDNQ %s, %d layers: %s\n", s.Version, s.Layers, strings.Join(settings, ", "))
		}
		if !c.Supported {
			fmt.Fprintf(&b, "    not supported: %s\n", oneLine(c.Why))
		}
		for _, n := range c.Notes {
			fmt.Fprintf(&b, "    %s\n", n)
		}
	}
	for _, p := range m.Plans {
		fmt.Fprintf(&b, "  memory on %s, %s: %s of weights, %s of activations\n", p.Device, p.Picture, bytesText(p.Weights), bytesText(p.Activations))
	}
	return b.String()
}

// oneLine keeps what a file says from steering the terminal.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
}
