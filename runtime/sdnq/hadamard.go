package sdnq

// hadamardSize is the length of the rotated chunks (section 8) for c input channels, 0 if the layer is not rotated.
func hadamardSize(c, group int) int {
	h := 1
	for h < min(c, group) {
		h *= 2
	}
	for h >= 4 && c%h != 0 {
		h /= 2
	}
	if h < 4 {
		return 0
	}
	return h
}
