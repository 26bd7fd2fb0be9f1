package device

import "fmt"

// Tensor is an activation on a device: float32, row-major, contiguous. Pictures are [batch, height, width, channels],
// token sequences [batch, tokens, width], so that one reshapes to the other without moving a value.
type Tensor struct {
	Shape []int
	data  []float32 // nil on a device without data
	block *block
	at    int // of the first value in the block
}

// Dim returns the size of an axis, counted from the end when negative; 0 when there is no such axis.
func (t Tensor) Dim(i int) int {
	if i < 0 {
		i += len(t.Shape)
	}
	if i < 0 || i >= len(t.Shape) {
		return 0
	}
	return t.Shape[i]
}

// Elements is the number of values.
func (t Tensor) Elements() int { return product(t.Shape) }

// rows is the number of vectors along the last axis.
func (t Tensor) rows() int {
	if c := t.Dim(-1); c > 0 {
		return t.Elements() / c
	}
	return 0
}

// Reshape returns a view of the same values in another shape of as many elements; one size may be -1.
func (t Tensor) Reshape(shape ...int) Tensor {
	out := Tensor{Shape: append([]int(nil), shape...), data: t.data, block: t.block, at: t.at}
	have, open := 1, -1
	for i, s := range shape {
		if s < 0 {
			open = i
		} else {
			have *= s
		}
	}
	if open >= 0 && have > 0 {
		out.Shape[open] = t.Elements() / have
	}
	if product(out.Shape) != t.Elements() {
		return Tensor{} // every operation refuses an empty tensor with a typed error
	}
	return out
}

// Part returns a view of entries from to to-1 of the first axis. Freeing a view frees the whole tensor.
func (t Tensor) Part(from, to int) Tensor {
	if from < 0 || from >= to || to > t.Dim(0) {
		return Tensor{} // every operation refuses an empty tensor with a typed error
	}
	size := t.Elements() / t.Shape[0]
	out := Tensor{Shape: append([]int{to - from}, t.Shape[1:]...), block: t.block, at: t.at + from*size}
	if t.data != nil {
		out.data = t.data[from*size : to*size]
	}
	return out
}

// At returns a view of entry i of the first axis, without that axis.
func (t Tensor) At(i int) Tensor {
	t = t.Part(i, i+1)
	if len(t.Shape) < 2 {
		return t
	}
	return t.Reshape(t.Shape[1:]...)
}

// overlaps says whether two tensors share values.
func (t Tensor) overlaps(u Tensor) bool {
	return t.block != nil && t.block == u.block && t.at < u.at+u.Elements() && u.at < t.at+t.Elements()
}

// String gives the shape, for messages.
func (t Tensor) String() string { return fmt.Sprint(t.Shape) }

func product(shape []int) int {
	if len(shape) == 0 {
		return 0
	}
	n := 1
	for _, s := range shape {
		n *= s
	}
	return n
}

// ShapeError is an operation whose operands do not fit: it is found before any kernel runs.
type ShapeError struct {
	Op         string
	Need, Have string
}

func (e *ShapeError) Error() string {
	return fmt.Sprintf("%s: need %s, have %s (the checkpoint's config.json does not describe its tensors, or the input has another size than the model takes)", e.Op, e.Need, e.Have)
}

// BudgetError is an activation that the device's memory budget does not hold.
type BudgetError struct{ Need, Have, Budget int64 }

func (e *BudgetError) Error() string {
	return fmt.Sprintf("activations: need %d more bytes, have %d of a budget of %d in use: take a smaller picture or batch, or a larger budget", e.Need, e.Have, e.Budget)
}

// Explain takes the error apart.
func (e *BudgetError) Explain() (what, need, have, hint string) {
	return "memory for activations", gib(e.Need) + " more", gib(max(e.Budget-e.Have, 0)) + " of " + gib(e.Budget), "take a smaller picture or batch"
}

func gib(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }
