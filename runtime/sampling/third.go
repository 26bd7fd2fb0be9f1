package sampling

import "graphrun/types"

// Third is a third prompt that guides beside the positive and the negative one (numerics.md 4.1).
type Third struct {
	Prompt types.Conditioning
	Way    ThirdWay
	Scale  float64
}

// ThirdWay says how three prompts guide.
type ThirdWay string

// The ways. DualCFG goes from the negative prompt to the third by Scale and on to the positive one by CFG; nested, from the
// negative one by Scale to what lies from the third to the positive one by CFG. PerpNeg goes from the third, which is empty,
// by CFG to the positive one less Scale times what the negative one has at right angles to it.
const (
	DualCFG       ThirdWay = "regular"
	DualCFGNested ThirdWay = "nested"
	PerpNeg       ThirdWay = "perp_neg"
)

// mix writes the guided estimate, from the estimates under the three prompts, which are of one size.
func (t *Third) mix(dst, pos, neg, third []float32, cfg float32) {
	scale := float32(t.Scale)
	switch t.Way {
	case DualCFGNested:
		for i := range dst {
			inner := third[i] + (pos[i]-third[i])*cfg
			dst[i] = neg[i] + (inner-neg[i])*scale
		}
	case PerpNeg:
		var dot, square float64 // over the whole batch, as the reference does
		for i := range dst {
			p, q := float64(pos[i]-third[i]), float64(neg[i]-third[i])
			dot += p * q
			square += p * p
		}
		share := float32(dot / square)
		for i := range dst {
			p, q := pos[i]-third[i], neg[i]-third[i]
			dst[i] = third[i] + cfg*(p-scale*(q-share*p))
		}
	default:
		for i := range dst {
			dst[i] = neg[i] + (third[i]-neg[i])*scale + (pos[i]-third[i])*cfg
		}
	}
}
