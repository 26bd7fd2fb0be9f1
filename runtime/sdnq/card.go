package sdnq

import (
	"fmt"
	"os"
	"path/filepath"
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
	for _, s := range q.job.Config.settings() {
		fmt.Fprintf(&b, "| %s | %s |\n", s[0], s[1])
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

// settings are the config's values for people.
func (c *Config) settings() [][2]string {
	list := [][2]string{{"weights_dtype", c.WeightsDType}, {"group_size", fmt.Sprint(c.GroupSize)}}
	add := func(name string, on bool, value any) {
		if on {
			list = append(list, [2]string{name, fmt.Sprint(value)})
		}
	}
	add("use_quantized_matmul", c.UseQuantizedMatmul, true)
	add("use_quantized_matmul_conv", c.UseMatmulConv, true)
	add("quantized_matmul_dtype", c.MatmulDType != nil, deref(c.MatmulDType))
	add("quant_conv", c.QuantConv, true)
	add("quant_embedding", c.QuantEmbedding, true)
	add("use_svd", c.UseSVD, true)
	add("svd_rank", c.UseSVD, c.SVDRank)
	add("svd_steps", c.UseSVD, c.SVDSteps)
	add("use_hadamard", c.UseHadamard, true)
	add("hadamard_group_size", c.UseHadamard, c.HadamardGroupSize)
	add("use_codebook", c.UseCodebook, true)
	add("use_dynamic_quantization", c.DynamicQuantization, true)
	if c.DynamicLossThreshold != nil {
		add("dynamic_loss_threshold", c.DynamicQuantization, *c.DynamicLossThreshold)
	}
	add("dequantize_fp32", !c.DequantizeFP32, false)
	add("modules_to_not_convert", len(c.NotConvert) > 0, verbatim(strings.Join(c.NotConvert, " ")))
	return list
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
