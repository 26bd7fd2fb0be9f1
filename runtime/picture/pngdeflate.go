package picture

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"hash/adler32"
	"io"
	"runtime"
)

// pngRows are the rows of a picture on their way into a PNG file.
type pngRows struct {
	values []float32
	n      int // values a row
	encode func([]float32) []byte
	line   int // bytes a row, with the filter's number
	bpp    int // bytes a pixel
	level  int
}

const (
	pngStrip    = 1 << 20 // bytes that are compressed at a time
	pngWindow   = 1 << 15 // bytes that deflate looks back
	pngAtOnce   = 2       // strips a processor that are held in memory
	zlibHeader  = 0x78    // deflate with that window
	zlibQuality = "\x01\x01\x5e\x5e\x5e\x5e\x9c\xda\xda\xda"
)

// deflate writes the rows as one zlib stream. Strips are compressed beside each other, each knowing the bytes before it:
// the bytes of the file do not depend on the number of processors.
func (r pngRows) deflate(ctx context.Context, w io.Writer) error {
	rows := len(r.values) / r.n
	each := max(1, pngStrip/r.line)
	strips := (rows + each - 1) / each
	if r.level < 0 || r.level >= len(zlibQuality) {
		return &Error{Format: "PNG", Need: "a level of compression of 0 to 9"}
	}
	if _, err := w.Write([]byte{zlibHeader, zlibQuality[r.level]}); err != nil {
		return err
	}
	sum := adler32.New()
	group := pngAtOnce * runtime.GOMAXPROCS(0)
	for first := 0; first < strips; first += group {
		n := min(group, strips-first)
		plain, packed, errs := make([][]byte, n), make([][]byte, n), make([]error, n)
		err := bands(ctx, n, func(low, high int) {
			for i := low; i < high; i++ {
				start := (first + i) * each
				plain[i], packed[i], errs[i] = r.strip(start, min(start+each, rows))
			}
		})
		if err := errors.Join(append(errs, err)...); err != nil {
			return err
		}
		for i := range n {
			sum.Write(plain[i])
			if _, err := w.Write(packed[i]); err != nil {
				return err
			}
		}
	}
	_, err := w.Write(binary.BigEndian.AppendUint32(nil, sum.Sum32()))
	return err
}

// strip filters the rows from start to end and compresses them; the last strip ends the stream.
func (r pngRows) strip(start, end int) (plain, packed []byte, err error) {
	from := max(0, start-(pngWindow+r.line-1)/r.line)
	filtered := r.filter(from, end)
	before, plain := filtered[:(start-from)*r.line], filtered[(start-from)*r.line:]
	var out bytes.Buffer
	z, err := flate.NewWriterDict(&out, r.level, before[max(0, len(before)-pngWindow):])
	if err != nil {
		return nil, nil, err
	}
	if _, err = z.Write(plain); err != nil {
		return nil, nil, err
	}
	if end*r.n == len(r.values) {
		err = z.Close()
	} else {
		err = z.Flush()
	}
	return plain, out.Bytes(), err
}

// filter gives the rows from start to end, each by the filter that leaves the smallest sum of absolute differences.
func (r pngRows) filter(start, end int) []byte {
	out := make([]byte, 0, (end-start)*r.line)
	line, best := make([]byte, r.line), make([]byte, r.line)
	prior := make([]byte, r.line-1)
	if start > 0 {
		prior = r.row(start - 1)
	}
	for y := start; y < end; y++ {
		row := r.row(y)
		least := -1
		for filter := byte(0); filter < 5; filter++ {
			line[0] = filter
			if sum := filterRow(line[1:], row, prior, r.bpp, filter); least < 0 || sum < least {
				least, line, best = sum, best, line
			}
		}
		out = append(out, best...)
		prior = row
	}
	return out
}

func (r pngRows) row(y int) []byte { return r.encode(r.values[y*r.n : (y+1)*r.n]) }

// filterRow applies a PNG filter and returns the sum of the results as signed bytes without their signs.
func filterRow(dst, row, prior []byte, bpp int, filter byte) int {
	for i := range min(bpp, len(row)) { // there is nothing to the left
		dst[i] = row[i] - predict(filter, 0, prior[i], 0)
	}
	if len(row) > bpp {
		filterRest(dst[bpp:], row, prior, bpp, filter)
	}
	sum := 0
	for _, d := range dst {
		s := int(int8(d))
		sum += max(s, -s)
	}
	return sum
}

// filterRest is filterRow from the second pixel on; row and prior start with the first.
func filterRest(dst, row, prior []byte, bpp int, filter byte) {
	n := len(row) - bpp
	dst, left, upLeft, row, up := dst[:n], row[:n], prior[:n], row[bpp:][:n], prior[bpp:][:n]
	switch filter {
	case 0:
		copy(dst, row)
	case 1:
		for i, v := range row {
			dst[i] = v - left[i]
		}
	case 2:
		for i, v := range row {
			dst[i] = v - up[i]
		}
	case 3:
		for i, v := range row {
			dst[i] = v - byte((int(left[i])+int(up[i]))/2)
		}
	default:
		for i, v := range row {
			dst[i] = v - predict(filter, left[i], up[i], upLeft[i])
		}
	}
}
