package sdnq

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
)

// dynamicOrder are the dtypes that dynamic quantization tries, by ascending width: of each the signed integer, signed floats,
// the unsigned integer, unsigned floats (3.4).
var dynamicOrder = func() (names []string) {
	add := func(name string) {
		if f, err := parseFormat(name); err == nil && !slices.Contains(names, f.name) {
			names = append(names, f.name)
		}
	}
	for bits := 1; bits <= 16; bits++ {
		for _, sign := range []string{"", "u"} {
			if bits > 1 || sign == "u" {
				add(fmt.Sprintf("%sint%d", sign, bits))
			}
			if sign == "" {
				for _, native := range map[int][]string{8: {"float8_e4m3fn", "float8_e5m2"}, 16: {"float16"}}[bits] {
					add(native)
				}
			}
			for exp := 1; exp <= 5; exp++ {
				name := fmt.Sprintf("float%d_e%dm%dfn%s", bits, exp, bits-exp-1+len(sign), sign)
				if name == "float8_e4m3fn" {
					name += "_sdnq"
				}
				add(name)
			}
		}
	}
	return names
}()

// quantizeDynamic quantizes to the first dtype, from the config's own on, that keeps the loss under the threshold.
func quantizeDynamic(ctx context.Context, p *cpu.Pool, w weights.Tensor, kind Kind, cfg *Config) (*Quantized, error) {
	module := strings.TrimSuffix(w.Name, ".weight")
	o, err := cfg.layer(module+".weight", kind)
	if err != nil {
		return nil, err
	}
	threshold := math.Pow(10, -float64(o.format.bits)/2)
	if t := o.DynamicLossThreshold; t != nil && *t >= 0 {
		threshold = *t
	}
	value, _ := json.Marshal([]string{module + ".weight"})
	refused, tried := error(nil), false
	for _, name := range dynamicOrder[max(0, slices.Index(dynamicOrder, o.format.name)):] {
		if f, _ := parseFormat(name); o.UseCodebook && !(f.integer && f.unsigned) {
			continue
		}
		own := *cfg
		own.DTypes = Entries{{Key: name, Value: value}}
		l, err := newLayerPlan(w, kind, &own)
		dequantized := err != nil && kind == Conv && o.asked
		if dequantized {
			own.NotUseMatmul = append(slices.Clip(own.NotUseMatmul), module+".weight")
			l, err = newLayerPlan(w, kind, &own)
		}
		if err != nil { // not for this layer
			refused = cmp.Or(refused, err)
			continue
		}
		tried = true
		q, err := l.quantize(ctx, p, w)
		if err != nil {
			return nil, err
		}
		if q.NoMatMul = dequantized; q.loss <= threshold {
			return q, nil
		}
	}
	if !tried {
		return nil, refused
	}
	size := int64(len(w.Data))
	return &Quantized{LayerReport: LayerReport{Module: module, Before: size, After: size}, Tensors: []weights.Tensor{w}}, nil
}
