package sdnq

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// card is the file that tells of a model on Hugging Face.
const card = "README.md"

// writeCard writes the model's card: what it was made of and how, and how to load it. The source's licence goes with it.
func (q *quantizer) writeCard() error {
	var b strings.Builder
	base := filepath.Base(filepath.Clean(q.job.Source))
	fmt.Fprintf(&b, "---\n%stags:\n- sdnq\n- quantized\n---\n\n# %s\n\n", licence(filepath.Join(q.job.Source, card)), filepath.Base(filepath.Clean(q.job.Target)))
	fmt.Fprintf(&b, "%s, quantized by graphrun in the format of [SDNQ](https://github.com/Disty0/sdnq) %s.\n\n", verbatim(base), Version)
	b.WriteString("| component | dtype | layers | kept | before | after | error (RMS) |\n|---|---|---|---|---|---|---|\n")
	report := q.report()
	for _, c := range report.Components {
		name := c.Name
		if name == "" {
			name = c.Class
		}
		s := c.Summary()
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %.1f MB | %.1f MB | %.2f %% |\n", name, s.DTypes, s.Quantized, s.Kept, float64(c.Before)/1e6, float64(c.After)/1e6, 100*s.RMS)
	}
	b.WriteString("\n| setting | value |\n|---|---|\n")
	settings := q.job.Config.Settings()
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, settings[name])
	}
	b.WriteString("\n## Use\n\nIn Python, with diffusers and sdnq:\n\n```python\nimport sdnq  # adds SDNQ to diffusers and transformers\nimport diffusers\n\n" +
		"pipe = diffusers.AutoPipelineForText2Image.from_pretrained(\"PATH\")\n```\n\nIn graphrun: give the folder to the node Load SDNQ Model (SDNQModelLoader).\n")
	return writeFile(filepath.Join(q.work.model(), card), []byte(b.String()))
}

// verbatim is text as code in Markdown, on one line.
func verbatim(s string) string {
	return "`" + strings.NewReplacer("`", "'", "\n", " ").Replace(s) + "`"
}

// licence is what the front matter of the source's card says of its licence.
func licence(file string) string {
	text, err := os.ReadFile(file)
	rest, ok := strings.CutPrefix(string(text), "---\n")
	if err != nil || !ok {
		return ""
	}
	front, _, _ := strings.Cut(rest, "\n---")
	var b strings.Builder
	for _, line := range strings.Split(front, "\n") {
		if strings.HasPrefix(line, "license") {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// Settings are the config's values that say how weights were made, by their keys, as far as they are not the default.
func (c *Config) Settings() map[string]string {
	all := map[string]string{"weights_dtype": c.WeightsDType, "group_size": fmt.Sprint(c.GroupSize)}
	add := func(name string, on bool, value any) {
		if on {
			all[name] = fmt.Sprint(value)
		}
	}
	add("use_quantized_matmul", c.UseQuantizedMatmul, true)
	add("use_quantized_matmul_conv", c.UseMatmulConv, true)
	add("quant_conv", c.QuantConv, true)
	add("quant_embedding", c.QuantEmbedding, true)
	add("use_svd", c.UseSVD, true)
	add("svd_rank", c.UseSVD, c.SVDRank)
	add("svd_steps", c.UseSVD, c.SVDSteps)
	add("use_hadamard", c.UseHadamard, true)
	add("hadamard_group_size", c.UseHadamard, c.HadamardGroupSize)
	add("use_codebook", c.UseCodebook, true)
	add("use_dynamic_quantization", c.DynamicQuantization, true)
	add("dequantize_fp32", !c.DequantizeFP32, false)
	for name, p := range map[string]*string{"quantized_matmul_dtype": c.MatmulDType, "scale_dtype": c.ScaleDType, "zero_point_dtype": c.ZeroPointDType} {
		if p != nil {
			all[name] = *p
		}
	}
	if c.DynamicLossThreshold != nil {
		add("dynamic_loss_threshold", c.DynamicQuantization, *c.DynamicLossThreshold)
	}
	return all
}

// DType is the name of a quantized weight's dtype; shape tells a convolution.
func (c *Config) DType(weight string, shape []int) (string, error) {
	o, err := c.layer(weight, KindOf(weight, shape))
	return o.format.name, err
}

// Notes are what is to be said of how graphrun computes with weights of this config.
func (c *Config) Notes() (list []string) {
	if o, err := c.layer("", Linear); err == nil && c.UseQuantizedMatmul && (!o.matmul.integer || !o.matmul.computed()) {
		how := "graphrun does not know that: it dequantizes"
		if o.matmul.computed() {
			how = "graphrun rounds as SDNQ does, but multiplies in float32, which is slower than without"
		}
		list = append(list, "its quantized matmul is in "+o.matmul.name+": "+how)
	}
	if c.Version != "" && c.version() == nil {
		list = append(list, fmt.Sprintf("sdnq_version %.40q is no version: read as the newest", c.Version))
	}
	return list
}
