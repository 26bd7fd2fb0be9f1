package sdnq

import "graphrun/kernels/cpu"

// rotation is how a layer of c input channels is rotated (section 8).
func (c *Config) rotation(channels int) cpu.Hadamard {
	if !c.UseHadamard {
		return cpu.Hadamard{}
	}
	return cpu.Hadamard{Chunk: c.chunk(channels), Twos: c.before(0, 2, 0)}
}

// chunk is the length of the rotated chunks, 0 if the layer is not rotated.
func (c *Config) chunk(channels int) int {
	most := c.HadamardGroupSize
	if !c.before(0, 2, 1) {
		most = min(channels, most)
	}
	h := 1
	for h < most {
		h *= 2
	}
	if h > most && c.before(0, 2, 2) { // and began a power lower
		h /= 4
	}
	for h >= 4 && channels%h != 0 {
		h /= 2
	}
	if h < 4 {
		return 0
	}
	return h
}
