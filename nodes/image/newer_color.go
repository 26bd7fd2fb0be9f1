package image

import (
	"fmt"
	"math"

	"graphrun/graph"
	"graphrun/types"
)

func init() {
	graph.Register[ColorTransfer](newer("ColorTransfer", "Transfer Color", "image/filters", "nodes_post_processing",
		"Gives pictures the colours of a reference: by mean and spread in CIE Lab (reinhard_lab), with the channels' covariance too (mkl_lab), or by histogram."))
	graph.Register[ImageHistogram](newer("ImageHistogram", "Image Histogram", "utilities", "nodes_curve",
		"Counts the values 0 to 255 of a picture's channels, their mean and their luminance."))
	graph.Register[MarigoldV2PostProcess](newer("MarigoldV2PostProcess", "Marigold V2 Post-Process", "image/geometry estimation", "nodes_marigold",
		"Makes what Marigold V2 has painted a map: depth, disparity, normals or albedo."))
	m := newer("CurveEditor", "Curve Editor", "utilities", "nodes_curve", "A curve over 0 to 1 that is drawn in the editor, if wanted over a histogram.")
	m.Intermediate = true
	graph.Register[CurveEditor](m)
}

type transferMethod string

// Options lists the ways.
func (transferMethod) Options() []string { return []string{"reinhard_lab", "mkl_lab", "histogram"} }

// sourceStats says whose statistics are matched to the reference's.
type sourceStats struct {
	graph.Choice
	PerFrame    struct{}
	Uniform     struct{}
	TargetFrame struct {
		TargetIndex int `default:"0" min:"0" max:"10000"`
	}
}

// ColorTransfer transfers colours.
type ColorTransfer struct {
	ImageTarget types.Image
	ImageRef    types.Image
	Method      transferMethod
	SourceStats sourceStats
	Strength    float64 `default:"1.0" min:"0.0" max:"10.0" step:"0.01"`
}

type transferred struct {
	Image types.Image `out:"image"`
}

// Run matches every frame by its own statistics (per_frame; frame i to reference i, or the last), by those of all frames
// (uniform) or by those of one (target_frame), the latter two to all references together. Strength goes from the frame (0)
// to the result (1) and beyond; values end in 0..1, alpha stays.
func (n ColorTransfer) Run(c *graph.Call) (transferred, error) {
	img := n.ImageTarget
	if err := check("image_target", img); err != nil {
		return transferred{}, err
	}
	ref := n.ImageRef
	if err := check("image_ref", ref); err != nil {
		return transferred{}, err
	}
	for input, i := range map[string]types.Image{"image_target": img, "image_ref": ref} {
		if i.Shape[3] < 3 {
			return transferred{}, &graph.Error{Kind: graph.KindCustom, Input: input, Need: "a picture in colour", Have: fmt.Sprintf("%d channels", i.Shape[3])}
		}
	}
	if n.Strength == 0 {
		return transferred{img}, nil
	}
	match := map[transferMethod]func(source, reference []pixel) func(pixel) pixel{"reinhard_lab": reinhard, "mkl_lab": mongeKantorovich, "histogram": histograms}[n.Method]
	frame := func(t types.Image, i int) []pixel { return pixels(t, i, i+1, n.Method != "histogram") }
	var change func(pixel) pixel
	switch n.SourceStats.Key {
	case "uniform":
		change = match(pixels(img, 0, img.Shape[0], n.Method != "histogram"), pixels(ref, 0, ref.Shape[0], n.Method != "histogram"))
	case "target_frame":
		change = match(frame(img, min(n.SourceStats.TargetFrame.TargetIndex, img.Shape[0]-1)), pixels(ref, 0, ref.Shape[0], n.Method != "histogram"))
	}
	out, channels := img.Clone(), img.Shape[3]
	for i := range img.Shape[0] {
		if err := c.Err(); err != nil {
			return transferred{}, err
		}
		source := frame(img, i)
		f := change
		if f == nil {
			f = match(source, frame(ref, min(i, ref.Shape[0]-1)))
		}
		values := out.Item(i).Data
		for k, p := range source {
			result := f(p)
			if n.Method != "histogram" {
				result = labToRGB(result)
			}
			for c, v := range result {
				at := &values[k*channels+c]
				*at = min(max(*at+(float32(v)-*at)*float32(n.Strength), 0), 1)
			}
		}
	}
	return transferred{types.Image{Tensor: out}}, nil
}

// pixel is red, green, blue in 0..1, or L, a, b.
type pixel [3]float64

// pixels lists those of some frames, in Lab if asked to.
func pixels(img types.Image, from, to int, lab bool) []pixel {
	channels := img.Shape[3]
	size := img.Shape[1] * img.Shape[2]
	out := make([]pixel, 0, (to-from)*size)
	for k := from * size; k < to*size; k++ {
		v := img.Data[k*channels:]
		p := pixel{float64(v[0]), float64(v[1]), float64(v[2])}
		if lab {
			p = rgbToLab(p)
		}
		out = append(out, p)
	}
	return out
}

// mean and covariance of pixels; the latter divides by their number.
func mean(list []pixel) (m pixel) {
	for _, p := range list {
		for c := range m {
			m[c] += p[c] / float64(len(list))
		}
	}
	return m
}

func covariance(list []pixel, m pixel) (v matrix) {
	for _, p := range list {
		for i := range 3 {
			for j := range 3 {
				v[i][j] += (p[i] - m[i]) * (p[j] - m[j]) / float64(len(list))
			}
		}
	}
	return v
}

// reinhard matches mean and deviation of each channel (Reinhard et al. 2001).
func reinhard(source, reference []pixel) func(pixel) pixel {
	ms, mr := mean(source), mean(reference)
	vs, vr := covariance(source, ms), covariance(reference, mr)
	var by pixel
	for c := range by {
		by[c] = max(math.Sqrt(vr[c][c]), 1e-6) / max(math.Sqrt(vs[c][c]), 1e-6)
	}
	return func(p pixel) pixel {
		for c := range p {
			p[c] = (p[c]-ms[c])*by[c] + mr[c]
		}
		return p
	}
}

// mongeKantorovich matches means and covariances by the linear map that moves colours least (Pitié & Kokaram 2007).
func mongeKantorovich(source, reference []pixel) func(pixel) pixel {
	ms, mr := mean(source), mean(reference)
	root, inverse := covariance(source, ms).roots()
	middle, _ := root.times(covariance(reference, mr)).times(root).roots()
	t := inverse.times(middle).times(inverse)
	return func(p pixel) (out pixel) {
		for i := range out {
			out[i] = mr[i]
			for j := range p {
				out[i] += t[i][j] * (p[j] - ms[j])
			}
		}
		return out
	}
}

// matrix is 3 by 3.
type matrix [3][3]float64

func (a matrix) times(b matrix) (out matrix) {
	for i := range 3 {
		for j := range 3 {
			for k := range 3 {
				out[i][j] += a[i][k] * b[k][j]
			}
		}
	}
	return out
}

// roots are the square root of a symmetric matrix without negative eigenvalues, and the root's inverse. Eigenvalues count
// as 1e-10 at least: a channel that is flat has no spread to give.
func (a matrix) roots() (root, inverse matrix) {
	values, vectors := a.eigen()
	for k, l := range values {
		s := math.Sqrt(max(l, 1e-10))
		for i := range 3 {
			for j := range 3 {
				root[i][j] += vectors[i][k] * vectors[j][k] * s
				inverse[i][j] += vectors[i][k] * vectors[j][k] / s
			}
		}
	}
	return root, inverse
}

// eigen turns a symmetric matrix until it is diagonal (Jacobi); vectors are the columns.
func (a matrix) eigen() (values [3]float64, vectors matrix) {
	for i := range 3 {
		vectors[i][i] = 1
	}
	for range 50 { // it converges quadratically: ten are plenty
		p, q := 0, 1
		for _, at := range [][2]int{{0, 2}, {1, 2}} {
			if math.Abs(a[at[0]][at[1]]) > math.Abs(a[p][q]) {
				p, q = at[0], at[1]
			}
		}
		if a[p][q] == 0 {
			break
		}
		theta := math.Atan2(2*a[p][q], a[q][q]-a[p][p]) / 2
		c, s := math.Cos(theta), math.Sin(theta)
		var turn matrix
		for i := range 3 {
			turn[i][i] = 1
		}
		turn[p][p], turn[q][q], turn[p][q], turn[q][p] = c, c, s, -s
		back := turn
		back[p][q], back[q][p] = -s, s
		a, vectors = back.times(a).times(turn), vectors.times(turn)
	}
	return [3]float64{a[0][0], a[1][1], a[2][2]}, vectors
}

// histograms matches the distribution of each channel over 256 values.
func histograms(source, reference []pixel) func(pixel) pixel {
	sums := func(list []pixel) (out [3][256]int) {
		for _, p := range list {
			for c, v := range p {
				out[c][byteOf(v)]++
			}
		}
		for c := range out {
			for i := 1; i < 256; i++ {
				out[c][i] += out[c][i-1]
			}
		}
		return out
	}
	from, to := sums(source), sums(reference)
	var lut [3][256]float64
	for c := range lut {
		at := 0
		for i := range 256 {
			for at < 255 && to[c][at]*len(source) < from[c][i]*len(reference) {
				at++
			}
			lut[c][i] = float64(at) / 255
		}
	}
	return func(p pixel) pixel {
		for c, v := range p {
			p[c] = lut[c][byteOf(v)]
		}
		return p
	}
}

// byteOf is a value of 0..1 as a byte, cut.
func byteOf(v float64) int { return int(min(max(float32(v)*255, 0), 255)) }

// toSRGB is the inverse of fromSRGB.
func toSRGB(v float64) float64 {
	if v <= 0.0031308 {
		return 12.92 * v
	}
	return 1.055*math.Pow(v, 1/2.4) - 0.055
}

// Linear sRGB to CIE XYZ and back, and the white D65, as kornia has them.
var (
	xyzOfRGB = matrix{{0.412453, 0.357580, 0.180423}, {0.212671, 0.715160, 0.072169}, {0.019334, 0.119193, 0.950227}}
	rgbOfXYZ = matrix{
		{3.2404813432005266, -1.5371515162713185, -0.4985363261688878},
		{-0.9692549499965682, 1.8759900014898907, 0.0415559265582928},
		{0.0556466391351772, -0.2040413383665112, 1.0573110696453443},
	}
	whiteD65 = pixel{0.95047, 1, 1.08883}
)

func (a matrix) of(p pixel) (out pixel) {
	for i := range 3 {
		out[i] = a[i][0]*p[0] + a[i][1]*p[1] + a[i][2]*p[2]
	}
	return out
}

// rgbToLab goes from sRGB to CIE L*a*b*.
func rgbToLab(p pixel) pixel {
	for c := range p {
		p[c] = fromSRGB(p[c])
	}
	f := xyzOfRGB.of(p)
	for c := range f {
		if f[c] /= whiteD65[c]; f[c] > 0.008856 {
			f[c] = math.Cbrt(f[c])
		} else {
			f[c] = 7.787*f[c] + 4./29
		}
	}
	return pixel{116*f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])}
}

// labToRGB is the inverse of rgbToLab, in 0..1.
func labToRGB(p pixel) pixel {
	y := (p[0] + 16) / 116
	f := pixel{p[1]/500 + y, y, max(y-p[2]/200, 0)}
	for c := range f {
		if f[c] > 0.2068966 {
			f[c] = f[c] * f[c] * f[c]
		} else {
			f[c] = (f[c] - 4./29) / 7.787
		}
		f[c] *= whiteD65[c]
	}
	out := rgbOfXYZ.of(f)
	for c := range out {
		out[c] = min(max(toSRGB(out[c]), 0), 1)
	}
	return out
}

// histogram counts the values 0 to 255.
type histogram []int

// TypeName is ComfyUI's name of the link type.
func (histogram) TypeName() string { return "HISTOGRAM" }

// ImageHistogram counts values.
type ImageHistogram struct {
	Image types.Image
}

type histogramOfImage struct {
	RGB       histogram `out:"rgb"`
	Luminance histogram `out:"luminance"`
	Red       histogram `out:"red"`
	Green     histogram `out:"green"`
	Blue      histogram `out:"blue"`
}

// Run counts in the first picture, whose values are cut to bytes; rgb is the mean of the three bytes, cut too.
func (n ImageHistogram) Run(*graph.Call) (out histogramOfImage, err error) {
	img := n.Image
	if err := check("image", img); err != nil {
		return out, err
	}
	for _, h := range []*histogram{&out.RGB, &out.Luminance, &out.Red, &out.Green, &out.Blue} {
		*h = make(histogram, 256)
	}
	if img.Shape[3] < 3 {
		img = gray(img)
	}
	for _, p := range pixels(img, 0, 1, false) {
		r, g, b := byteOf(p[0]), byteOf(p[1]), byteOf(p[2])
		out.Red[r]++
		out.Green[g]++
		out.Blue[b]++
		out.RGB[(r+g+b)/3]++
		out.Luminance[min(int(0.2126*float64(r)+0.7152*float64(g)+0.0722*float64(b)), 255)]++
	}
	return out, nil
}

// curve goes through points (x, y) of 0..1; between them it is monotone_cubic or linear.
type curve struct {
	Points        [][2]float64 `json:"points"`
	Interpolation string       `json:"interpolation"`
}

// TypeName is ComfyUI's name of the link type.
func (curve) TypeName() string { return "CURVE" }

// CurveEditor is a curve.
type CurveEditor struct {
	Curve     curve      `default:"{\"points\":[[0.0,0.0],[1.0,1.0]],\"interpolation\":\"monotone_cubic\"}" socketless:"true"`
	Histogram *histogram `optional:"true"`
}

type editedCurve struct {
	Curve curve `out:"curve"`
	UI    graph.UI
}

// Run returns the curve, and shows the histogram behind it.
func (n CurveEditor) Run(*graph.Call) (editedCurve, error) {
	out := editedCurve{Curve: n.Curve}
	if n.Histogram != nil {
		list := make([]any, len(*n.Histogram))
		for i, v := range *n.Histogram {
			list[i] = v
		}
		out.UI = graph.UI{"histogram": list}
	}
	return out, nil
}

type prediction string

// Options lists what Marigold predicts.
func (prediction) Options() []string { return []string{"depth", "disparity", "normals", "albedo"} }

// MarigoldV2PostProcess makes maps.
type MarigoldV2PostProcess struct {
	Image      types.Image
	Prediction prediction
}

// Run makes the map: normals get unit length; albedo goes from light to sRGB; depth and disparity are the mean of the channels stretched
// to 0..1 over each picture, depth turned around so that what is near is bright.
func (n MarigoldV2PostProcess) Run(*graph.Call) (types.Image, error) {
	img := n.Image
	if err := check("image", img); err != nil {
		return types.Image{}, err
	}
	if img.Shape[3] < 3 {
		return types.Image{}, &graph.Error{Kind: graph.KindCustom, Input: "image", Need: "a picture of three channels", Have: fmt.Sprint(img.Shape[3])}
	}
	out := types.NewTensor(img.Shape[0], img.Shape[1], img.Shape[2], 3)
	for i := range img.Shape[0] {
		to := out.Item(i).Data
		list := pixels(img, i, i+1, false)
		low, high := math.Inf(1), math.Inf(-1)
		for _, p := range list {
			m := (p[0] + p[1] + p[2]) / 3
			low, high = min(low, m), max(high, m)
		}
		for k, p := range list {
			switch n.Prediction {
			case "normals":
				x, y, z := 2*p[0]-1, 2*p[1]-1, 2*p[2]-1
				l := max(math.Sqrt(x*x+y*y+z*z), 1e-6)
				p = pixel{(x/l + 1) / 2, (y/l + 1) / 2, (z/l + 1) / 2}
			case "albedo":
				for c := range p {
					p[c] = toSRGB(min(max(p[c], 0), 1))
				}
			default:
				v := ((p[0]+p[1]+p[2])/3 - low) / max(high-low, 1e-6)
				if n.Prediction == "depth" {
					v = 1 - v
				}
				p = pixel{v, v, v}
			}
			for c := range p {
				to[3*k+c] = float32(p[c])
			}
		}
	}
	return types.Image{Tensor: out}, nil
}
