package picture

// boolWriter is VP8's arithmetic coder (RFC 6386, 7.3): probabilities are of a 0, in 256ths.
type boolWriter struct {
	out    []byte
	low    uint64 // its top lies at bit 32 + pending, the carry above it
	size   uint32 // of the interval, 128 to 255
	shifts int    // until the next byte is whole
}

func newBoolWriter() boolWriter { return boolWriter{size: 255, shifts: 24} }

func (w *boolWriter) bit(b bool, prob uint8) {
	split := 1 + (w.size-1)*uint32(prob)>>8
	if b {
		w.low += uint64(split)
		w.size -= split
	} else {
		w.size = split
	}
	for w.size < 128 {
		w.size <<= 1
		w.shift()
	}
}

// shift moves the interval up one bit. Of low 32 bits count; what is carried out of them goes into the bytes written.
func (w *boolWriter) shift() {
	if w.low>>31&1 != 0 {
		for i := len(w.out) - 1; i >= 0; i-- {
			if w.out[i]++; w.out[i] != 0 {
				break
			}
		}
	}
	w.low = w.low << 1 & (1<<32 - 1)
	if w.shifts--; w.shifts == 0 {
		w.out = append(w.out, byte(w.low>>24))
		w.low &= 1<<24 - 1
		w.shifts = 8
	}
}

// bits writes the low n bits of v, the highest first, as likely 0 as 1.
func (w *boolWriter) bits(v, n int) {
	for i := n - 1; i >= 0; i-- {
		w.bit(v>>i&1 != 0, 128)
	}
}

// bytes ends the stream.
func (w *boolWriter) bytes() []byte {
	for range 32 {
		w.shift()
	}
	return w.out
}
