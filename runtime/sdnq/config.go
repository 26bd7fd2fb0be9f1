// Package sdnq reads and writes weights quantized by SDNQ: the config beside a checkpoint, the layout of each layer's
// tensors, and the arithmetic between codes and numbers. sdnq-format.md is the source; sections are named in comments.
package sdnq

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"graphrun/runtime/weights"
)

// Config is a quantization_config (section 2), keys in the order that Python writes them. DefaultConfig has the
// defaults of absent keys.
type Config struct {
	AddSkipKeys           bool            `json:"add_skip_keys"`
	CodebookSteps         int             `json:"codebook_steps"`
	DequantizeFP32        bool            `json:"dequantize_fp32"`
	DynamicLossThreshold  *float64        `json:"dynamic_loss_threshold"`
	GroupSize             int             `json:"group_size"` // 0 automatic, -1 whole row, -2 whole tensor, else elements
	HadamardGroupSize     int             `json:"hadamard_group_size"`
	IsInteger             bool            `json:"is_integer"`
	IsTraining            bool            `json:"is_training"`
	IsUnsigned            bool            `json:"is_unsigned"`
	MinChannels           int             `json:"minimum_allowed_channel_size"`
	MinNumel              int             `json:"minimum_allowed_numel"`
	DTypes                Entries         `json:"modules_dtype_dict"`   // dtype or floor -> patterns
	Overrides             Entries         `json:"modules_quant_config"` // pattern -> keys of this config
	NotConvert            []string        `json:"modules_to_not_convert"`
	NotUseMatmul          []string        `json:"modules_to_not_use_matmul"`
	NonBlocking           bool            `json:"non_blocking"`
	QuantConv             bool            `json:"quant_conv"`
	QuantEmbedding        bool            `json:"quant_embedding"`
	QuantMethod           string          `json:"quant_method"`
	QuantizationDevice    json.RawMessage `json:"quantization_device"`
	MatmulDType           *string         `json:"quantized_matmul_dtype"`
	ReturnDevice          json.RawMessage `json:"return_device"`
	ScaleDType            *string         `json:"scale_dtype"`
	Version               string          `json:"sdnq_version,omitempty"`
	SVDRank               int             `json:"svd_rank"`
	SVDSteps              int             `json:"svd_steps"`
	UseCodebook           bool            `json:"use_codebook"`
	UseCodebookScale      bool            `json:"use_codebook_scale"`
	DynamicQuantization   bool            `json:"use_dynamic_quantization"`
	UseGradCkpt           bool            `json:"use_grad_ckpt"`
	UseHadamard           bool            `json:"use_hadamard"`
	UseQuantizedMatmul    bool            `json:"use_quantized_matmul"`
	UseMatmulConv         bool            `json:"use_quantized_matmul_conv"`
	UseStaticQuantization bool            `json:"use_static_quantization"`
	UseStochasticRounding bool            `json:"use_stochastic_rounding"`
	UseSVD                bool            `json:"use_svd"`
	WeightsDType          string          `json:"weights_dtype"`
	ZeroPointDType        *string         `json:"zero_point_dtype"`
}

// DefaultConfig has the values of a config that says nothing.
func DefaultConfig() *Config {
	return &Config{
		CodebookSteps: 24, DequantizeFP32: true, HadamardGroupSize: 256, IsInteger: true, MinChannels: 32, MinNumel: 16384,
		AddSkipKeys: true, NotConvert: []string{}, NotUseMatmul: []string{}, QuantMethod: "sdnq", SVDRank: 32, SVDSteps: 8,
		UseGradCkpt: true, UseStaticQuantization: true, WeightsDType: "int8",
	}
}

// Entries is a JSON object in the order of the file: first match wins, so the order counts.
type Entries []Entry

// Entry is one key of an Entries with its value.
type Entry struct {
	Key   string
	Value json.RawMessage
}

// UnmarshalJSON keeps the keys' order.
func (e *Entries) UnmarshalJSON(text []byte) error {
	*e = nil
	if string(text) == "null" {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.New("need an object")
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		*e = append(*e, Entry{key.(string), value})
	}
	return nil
}

// MarshalJSON writes the keys in order.
func (e Entries) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, entry := range e {
		if i > 0 {
			b = append(b, ',')
		}
		key, err := json.Marshal(entry.Key)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, key...), ':'), entry.Value...)
	}
	return append(b, '}'), nil
}

// ParseConfig reads a quantization_config object. Unknown keys are ignored, absent and null ones have their defaults.
func ParseConfig(text []byte) (*Config, error) {
	bad := func(need, have string, err error) error {
		return &weights.Error{File: "quantization_config", Need: need, Have: have, Err: err, Remedy: "take config.json and weights from the same download"}
	}
	c := DefaultConfig()
	if err := json.Unmarshal(text, c); err != nil {
		return nil, bad("an object of SDNQ's keys", "", err)
	}
	if c.QuantMethod == "sdnq_training" {
		return nil, &weights.Error{
			File: "quantization_config", Need: `"quant_method": "sdnq"`, Have: `"sdnq_training", the format that SDNQ trains in`,
			Remedy: "convert it in Python with sdnq.training.convert_training_model_to_sdnq and save it, or quantize the original model",
		}
	}
	if c.QuantMethod != "sdnq" {
		return nil, bad(`"quant_method": "sdnq"`, fmt.Sprintf("%.60q", c.QuantMethod), nil)
	}
	if c.GroupSize < -2 || c.HadamardGroupSize < 0 {
		return nil, bad("group_size of -2 or more and a positive hadamard_group_size", fmt.Sprintf("%d and %d", c.GroupSize, c.HadamardGroupSize), nil)
	}
	if err := c.check(); err != nil {
		return nil, bad("dtypes, patterns and overrides of the format", "", err)
	}
	return c, nil
}

// LoadConfig reads the config of a component's folder: quantization_config.json, else the quantization_config of
// config.json (1.1). It returns nil without an error for a component that SDNQ has not quantized.
func LoadConfig(dir string) (*Config, error) { return LoadConfigFS(os.DirFS(dir), ".") }

// LoadConfigFS is LoadConfig for folder dir of fsys.
func LoadConfigFS(fsys fs.FS, dir string) (*Config, error) {
	file := path.Join(dir, "quantization_config.json")
	text, err := fs.ReadFile(fsys, file)
	if errors.Is(err, fs.ErrNotExist) {
		file = path.Join(dir, "config.json")
		var c struct {
			Quantization json.RawMessage `json:"quantization_config"`
		}
		if text, err = fs.ReadFile(fsys, file); err == nil {
			err = json.Unmarshal(text, &c)
			text = c.Quantization
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &weights.Error{File: file, Need: "a readable config", Err: err, Remedy: "take config.json and weights from the same download"}
	}
	var method struct {
		Name  string `json:"quant_method"`
		DType string `json:"weights_dtype"`
	}
	if len(text) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(text, &method); err == nil && method.Name != "sdnq" && method.Name != "sdnq_training" && (method.Name != "" || method.DType == "") {
		return nil, nil // another's, or none; SDNQ's own loader does not ask for the name
	}
	c, err := ParseConfig(text)
	if err != nil {
		var e *weights.Error
		if errors.As(err, &e) {
			e.File = file
		}
		return nil, err
	}
	return c, nil
}

// check reads every name and pattern once, so that nothing fails later.
func (c *Config) check() error {
	names := []string{c.WeightsDType}
	for _, p := range []*string{c.MatmulDType, c.ScaleDType, c.ZeroPointDType} {
		if p != nil && *p != "none" {
			names = append(names, *p)
		}
	}
	for _, n := range names {
		if _, err := parseFormat(n); err != nil {
			return err
		}
	}
	patterns := slices.Concat(c.NotConvert, c.NotUseMatmul)
	for _, e := range c.DTypes {
		var list []string
		if err := json.Unmarshal(e.Value, &list); err != nil {
			return fmt.Errorf("modules_dtype_dict %q: %w", e.Key, err)
		}
		if _, _, err := parseFloor(e.Key); err != nil {
			return err
		}
		patterns = append(patterns, list...)
	}
	for _, e := range c.Overrides {
		over := *c
		over.Overrides = nil
		if err := json.Unmarshal(e.Value, &over); err != nil {
			return fmt.Errorf("modules_quant_config %q: %w", e.Key, err)
		}
		over.DTypes, over.Overrides = nil, nil
		if err := over.check(); err != nil {
			return err
		}
		patterns = append(patterns, e.Key)
	}
	for _, p := range patterns {
		if _, err := compile(p); err != nil {
			return fmt.Errorf("pattern %q: %w", p, err)
		}
	}
	return nil
}

// Skips says whether a pattern of modules_to_not_convert hits the parameter's name.
func (c *Config) Skips(param string) bool { return matches(c.NotConvert, param) }

// Record notes what dynamic quantization chose for the layers, which must be all that were quantized, so that the config
// loads what Quantize made: modules_dtype_dict names each layer under its dtype and nothing else, modules_to_not_convert those
// that were left as they are, modules_to_not_use_matmul those that SDNQ must dequantize.
func (c *Config) Record(layers ...LayerReport) {
	names := map[string][]string{}
	c.NotConvert, c.DTypes = union(nil, c.NotConvert), nil
	for _, r := range layers {
		if r.DType == "" {
			c.NotConvert = union(c.NotConvert, []string{r.Module + ".weight"})
			continue
		}
		names[r.DType] = append(names[r.DType], r.Module+".weight")
		if r.NoMatMul {
			c.NotUseMatmul = union(c.NotUseMatmul, []string{r.Module + ".weight"})
		}
	}
	for _, dtype := range slices.Sorted(maps.Keys(names)) {
		list, _ := json.Marshal(names[dtype])
		c.DTypes = append(c.DTypes, Entry{Key: dtype, Value: list})
	}
}

// compile makes the regular expression of a pattern with a star: ".*" is a dot and anything, "*" anything (3.2).
func compile(pattern string) (*regexp.Regexp, error) {
	p := strings.ReplaceAll(pattern, ".*", `\.*`)
	return regexp.Compile("^(?:" + strings.ReplaceAll(p, "*", ".*") + ")")
}

// matches says whether one of the patterns hits the parameter's name (3.2).
func matches(patterns []string, name string) bool {
	parts := strings.Split(name, ".")
	for _, p := range patterns {
		if top, ok := strings.CutPrefix(p, "."); ok {
			if strings.HasPrefix(name, top) {
				return true
			}
			continue
		}
		if p == name || slices.Contains(parts, p) {
			return true
		}
		if strings.Contains(p, "*") {
			if re, err := compile(p); err == nil && re.MatchString(name) {
				return true
			}
		}
	}
	return false
}

// Kind is what layer a weight belongs to, as far as quantization cares.
type Kind uint8

const (
	Linear        Kind = iota // [O, I]
	Conv                      // [O, C, k...], with one to three axes of the kernel
	ConvTranspose             // [I, O, k...]
	Embedding                 // [tokens, width]
)

// layerOptions are a config's values for one layer (3.3).
type layerOptions struct {
	Config
	format format // of the codes
	matmul format // of the quantized matmul
	asked  bool   // the config asks for a quantized matmul; the size rule is still to be applied
}

// layer applies the config's patterns to the layer whose weight has the name param ("a.b.weight").
func (c *Config) layer(param string, kind Kind) (layerOptions, error) {
	o := layerOptions{Config: *c}
	for _, e := range c.Overrides {
		if matches([]string{e.Key}, param) {
			if err := json.Unmarshal(e.Value, &o.Config); err != nil {
				return o, fmt.Errorf("modules_quant_config %q: %w", e.Key, err)
			}
			break
		}
	}
	o.asked = o.UseQuantizedMatmul
	switch kind {
	case Conv:
		o.asked = o.UseMatmulConv
	case ConvTranspose, Embedding:
		o.asked = false
	}
	var err error
	if o.format, err = parseFormat(o.WeightsDType); err != nil {
		return o, err
	}
	for _, e := range c.DTypes {
		var list []string
		if err := json.Unmarshal(e.Value, &list); err != nil {
			return o, fmt.Errorf("modules_dtype_dict %q: %w", e.Key, err)
		}
		if !matches(list, param) {
			continue
		}
		f, floor, err := parseFloor(e.Key)
		if err != nil {
			return o, err
		}
		if !floor || o.format.bits < f.bits {
			o.format = f
			break
		}
	}
	if matches(o.NotUseMatmul, param) {
		o.asked = false
	}
	o.matmul, err = o.matmulFormat()
	return o, err
}

// parseFloor reads a key of modules_dtype_dict: a dtype, or the least number of bits ("minimum_6bit").
func parseFloor(key string) (f format, floor bool, err error) {
	k := strings.ToLower(key)
	rest := strings.TrimLeft(strings.TrimPrefix(k, "minimum"), "-_")
	rest = strings.TrimRight(strings.TrimSuffix(strings.TrimSuffix(rest, "bits"), "bit"), "-_")
	if !strings.HasPrefix(k, "minimum") && !strings.HasSuffix(k, "bit") && !strings.HasSuffix(k, "bits") {
		f, err = parseFormat(k)
		return f, false, err
	}
	unsigned := strings.HasPrefix(rest, "uint")
	n, err := strconv.Atoi(strings.TrimPrefix(strings.TrimPrefix(rest, "u"), "int"))
	if err != nil {
		return f, true, fmt.Errorf("modules_dtype_dict: unknown dtype or number of bits %q", key)
	}
	f, ok := integer(n, unsigned || n <= 4)
	if !ok {
		return f, true, fmt.Errorf("modules_dtype_dict: no integer dtype of %d bits (%q)", n, key)
	}
	return f, true, nil
}

// matmulFormat is MM of 5.1.
func (o *layerOptions) matmulFormat() (format, error) {
	switch {
	case o.MatmulDType != nil:
		return parseFormat(*o.MatmulDType)
	case o.format.integer && o.format.unsigned && o.format.bits == 8:
		return o.format, nil
	case o.format.integer:
		return parseFormat("int8")
	case o.format.bits < 16:
		return parseFormat("float8_e4m3fn")
	}
	return parseFormat("float16")
}

// requant says that codes cannot feed the matmul as they are, whatever their groups (requant0 of 5.1).
func (o *layerOptions) requant() bool {
	d, mm := o.format, o.matmul
	return o.UseCodebook || dtypeSet(o.ScaleDType) || dtypeSet(o.ZeroPointDType) || d.bits > mm.bits || d.integer != mm.integer ||
		d.unsigned && !mm.integer || d.packed && !d.integer && !mm.integer && (d.bits >= mm.bits || d.max > mm.max)
}

func dtypeSet(p *string) bool { return p != nil && *p != "none" }

// rule is how packed floats of the config's version decode.
func (c *Config) rule() rule {
	switch {
	case c.before(0, 1, 6):
		return noSubnormals
	case c.before(0, 2, 2):
		return oneForZero
	}
	return subnormals
}

// before says that the config has an sdnq_version, and an older one than this.
func (c *Config) before(version ...int) bool {
	v := c.version()
	return v != nil && slices.Compare(v, version) < 0
}

// version is the first numbers of sdnq_version, nil if there are none.
func (c *Config) version() []int {
	v := make([]int, 3)
	if n, _ := fmt.Sscanf(c.Version, "%d.%d.%d", &v[0], &v[1], &v[2]); n == 0 {
		return nil
	}
	return v
}
