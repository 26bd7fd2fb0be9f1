package weights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// maxHeader is the format's own limit on the header's length, in bytes.
const maxHeader = 100_000_000

// header is what a file says of itself before its data.
type header struct {
	tensors  []Tensor // in the file's order of data; Data set
	metadata map[string]string
}

// entry is one tensor in the header's JSON.
type entry struct {
	DType   string    `json:"dtype"`
	Shape   []uint64  `json:"shape"`
	Offsets [2]uint64 `json:"data_offsets"`
}

// parse reads a whole file: 8 bytes little-endian header length, the header as JSON, the data. The tensors' Data are
// parts of file. Everything that the format demands is checked: the length, the JSON, names once each, sizes equal to
// shape times dtype, and data that is covered exactly, without overlaps, holes or rest.
func parse(name string, file []byte) (*header, error) {
	if len(file) < 8 {
		return nil, &Error{File: name, Need: "at least 8 bytes", Have: fmt.Sprint(len(file)), Remedy: fetchAgain}
	}
	n := binary.LittleEndian.Uint64(file)
	if n > maxHeader {
		return nil, &Error{File: name, Need: fmt.Sprintf("a header of at most %d bytes", maxHeader), Have: fmt.Sprint(n), Remedy: notSafe}
	}
	if n > uint64(len(file)-8) {
		return nil, &Error{File: name, Need: fmt.Sprintf("a header of %d bytes", n), Have: fmt.Sprintf("%d bytes after the length", len(file)-8), Remedy: fetchAgain}
	}
	text, data := file[8:8+n], file[8+n:]
	if len(text) == 0 || text[0] != '{' || !utf8.Valid(text) {
		return nil, &Error{File: name, Need: "a header of UTF-8 JSON that starts with {", Have: fmt.Sprintf("%.20q", text), Remedy: notSafe}
	}
	h, spans, err := parseJSON(name, text)
	if err != nil {
		return nil, err
	}
	if err := h.place(name, spans, data); err != nil {
		return nil, err
	}
	return h, nil
}

// parseJSON decodes the header's text into tensors without data, and the offsets of each.
func parseJSON(name string, text []byte) (*header, [][2]uint64, error) {
	bad := func(tensor string, err error) error {
		return &Error{File: name, Tensor: tensor, Need: "a header of valid JSON", Err: err, Remedy: notSafe}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil { // the brace that parse has seen
		return nil, nil, bad("", err)
	}
	h := &header{}
	var spans [][2]uint64 // data_offsets: begin and end in the data
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, nil, bad("", err)
		}
		key := token.(string) // More and the decoder's own checks leave nothing else before a colon
		if seen[key] {
			return nil, nil, &Error{File: name, Tensor: key, Need: "each name once", Have: "it twice", Remedy: fetchAgain}
		}
		seen[key] = true
		if key == "__metadata__" {
			if err := dec.Decode(&h.metadata); err != nil {
				return nil, nil, bad(key, err)
			}
			continue
		}
		var e entry
		if err := dec.Decode(&e); err != nil {
			return nil, nil, bad(key, err)
		}
		t, err := e.tensor(name, key)
		if err != nil {
			return nil, nil, err
		}
		h.tensors, spans = append(h.tensors, t), append(spans, e.Offsets)
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, bad("", err)
	}
	if rest := bytes.TrimSpace(text[dec.InputOffset():]); len(rest) > 0 {
		return nil, nil, &Error{File: name, Need: "only spaces after the header's JSON", Have: fmt.Sprintf("%.20q", rest), Remedy: notSafe}
	}
	return h, spans, nil
}

// tensor checks one entry by itself: its dtype, and offsets that hold exactly its shape.
func (e *entry) tensor(file, name string) (Tensor, error) {
	d, err := ParseDType(e.DType)
	if err != nil {
		return Tensor{}, &Error{File: file, Tensor: name, Need: "a dtype of the safetensors format", Have: fmt.Sprintf("%.40q", e.DType), Remedy: "update graphrun, or convert the file"}
	}
	bad := func(need, have string) error {
		return &Error{File: file, Tensor: name, Need: need, Have: have, Remedy: fetchAgain}
	}
	total := uint64(d.Bits())
	shape := make([]int, len(e.Shape))
	for i, s := range e.Shape {
		hi, lo := bits.Mul64(total, s)
		if hi != 0 || lo > math.MaxInt || s > math.MaxInt {
			return Tensor{}, bad("a shape that fits in memory", fmt.Sprintf("%.100s", fmt.Sprint(e.Shape)))
		}
		total, shape[i] = lo, int(s)
	}
	if total%8 != 0 {
		return Tensor{}, bad("whole bytes", fmt.Sprintf("%d bits (%s of shape %v)", total, d, e.Shape))
	}
	if begin, end := e.Offsets[0], e.Offsets[1]; begin > end || end-begin != total/8 {
		return Tensor{}, bad(fmt.Sprintf("%d bytes (%s of shape %.100s)", total/8, d, fmt.Sprint(e.Shape)), fmt.Sprintf("data_offsets %v", e.Offsets))
	}
	return Tensor{Name: name, DType: d, Shape: shape}, nil
}

// place gives each tensor its part of data and checks that the parts cover it exactly.
func (h *header) place(file string, spans [][2]uint64, data []byte) error {
	order := make([]int, len(spans))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if c := cmp.Compare(spans[a][0], spans[b][0]); c != 0 {
			return c
		}
		return cmp.Compare(spans[a][1], spans[b][1])
	})
	sorted, at := make([]Tensor, len(order)), uint64(0)
	for i, k := range order {
		t, begin, end := h.tensors[k], spans[k][0], spans[k][1]
		if end > uint64(len(data)) {
			return &Error{File: file, Tensor: t.Name, Need: fmt.Sprintf("%d bytes of data", end), Have: fmt.Sprint(len(data)), Remedy: fetchAgain}
		}
		if begin != at {
			problem := "no hole before it"
			if begin < at {
				problem = "no overlap with another tensor"
			}
			return &Error{File: file, Tensor: t.Name, Need: fmt.Sprintf("%s: data from %d on", problem, at), Have: fmt.Sprintf("from %d on", begin), Remedy: fetchAgain}
		}
		t.Data, at = data[begin:end:end], end
		sorted[i] = t
	}
	if at != uint64(len(data)) {
		return &Error{File: file, Need: fmt.Sprintf("%d bytes of data", at), Have: fmt.Sprint(len(data)), Remedy: fetchAgain}
	}
	h.tensors = sorted
	return nil
}
