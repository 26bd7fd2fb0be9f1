package loader

import (
	"math"

	"graphrun/types"
)

// latentFormat is the format of a VAE's latents, with the linear map to a rough picture where that is known.
func latentFormat(channels int, scale, shift float64) types.LatentFormat {
	f := types.LatentFormat{Channels: channels, Scale: scale, Shift: shift}
	for _, known := range latentFormats {
		if known.Channels == channels && math.Abs(known.Scale-scale) < 1e-6 && math.Abs(known.Shift-shift) < 1e-6 {
			return known
		}
	}
	return f
}

// latentFormats are those with a map to RGB; the numbers are numerics.md 8's.
var latentFormats = []types.LatentFormat{
	{ // SD15
		Channels: 4, Scale: 0.18215, Shift: 0,
		RGB: [][3]float32{
			{0.3512, 0.2297, 0.3227}, {0.325, 0.4974, 0.235}, {-0.2829, 0.1762, 0.2721}, {-0.212, -0.2616, -0.7177},
		},
	},
	{ // SDXL
		Channels: 4, Scale: 0.13025, Shift: 0, Bias: [3]float32{0.1084, -0.0175, -0.0011},
		RGB: [][3]float32{
			{0.3651, 0.4232, 0.4341}, {-0.2533, -0.0042, 0.1068}, {0.1076, 0.1111, -0.0362}, {-0.3165, -0.2492, -0.2188},
		},
	},
	{ // SD3
		Channels: 16, Scale: 1.5305, Shift: 0.0609, Bias: [3]float32{0.2394, 0.2135, 0.1925},
		RGB: [][3]float32{
			{-0.0922, -0.0175, 0.0749},
			{0.0311, 0.0633, 0.0954},
			{0.1994, 0.0927, 0.0458},
			{0.0856, 0.0339, 0.0902},
			{0.0587, 0.0272, -0.0496},
			{-0.0006, 0.1104, 0.0309},
			{0.0978, 0.0306, 0.0427},
			{-0.0042, 0.1038, 0.1358},
			{-0.0194, 0.002, 0.0669},
			{-0.0488, 0.013, -0.0268},
			{0.0922, 0.0988, 0.0951},
			{-0.0278, 0.0524, -0.0542},
			{0.0332, 0.0456, 0.0895},
			{-0.0069, -0.003, -0.081},
			{-0.0596, -0.0465, -0.0293},
			{-0.1448, -0.1463, -0.1189},
		},
	},
	{ // Flux
		Channels: 16, Scale: 0.3611, Shift: 0.1159, Bias: [3]float32{-0.0329, -0.0718, -0.0851},
		RGB: [][3]float32{
			{-0.0346, 0.0244, 0.0681},
			{0.0034, 0.021, 0.0687},
			{0.0275, -0.0668, -0.0433},
			{-0.0174, 0.016, 0.0617},
			{0.0859, 0.0721, 0.0329},
			{0.0004, 0.0383, 0.0115},
			{0.0405, 0.0861, 0.0915},
			{-0.0236, -0.0185, -0.0259},
			{-0.0245, 0.025, 0.118},
			{0.1008, 0.0755, -0.0421},
			{-0.0515, 0.0201, 0.0011},
			{0.0428, -0.0012, -0.0036},
			{0.0817, 0.0765, 0.0749},
			{-0.1264, -0.0522, -0.1103},
			{-0.028, -0.0881, -0.0499},
			{-0.1262, -0.0982, -0.0778},
		},
	},
	{ // graphrun/demo: fitted to its own pictures by least squares
		Channels: 4, Scale: 0.6583831617446517, Bias: [3]float32{0.5588, 0.4031, 0.1542},
		RGB: [][3]float32{
			{-0.5052, 0.0771, 0.0447}, {0.4577, -0.1738, -0.4307}, {0.1191, 0.2381, 0.2013}, {0.6620, -0.0243, -0.1068},
		},
	},
}
