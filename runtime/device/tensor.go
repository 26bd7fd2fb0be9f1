package device

import (
	"errors"
	"fmt"
	"slices"
)

// Tensor is an activation on a device: row-major, contiguous, float32 unless it was made for products alone. Pictures are [batch, height, width, channels],
// token sequences [batch, tokens, width], so that one reshapes to the other without moving a value.
type Tensor struct {
	Shape []int
	Format
	data  []float32 // nil on a device without data
	block *block
	at    int   // of the first value in the block
	lease int64 // the block's when the tensor got it: another one now means that it was given back
}

// Dim returns the size of an axis, counted from the end when negative; 0 when there is no such axis.
func (t Tensor) Dim(i int) int {
	if i = t.axis(i); i < 0 {
		return 0
	}
	return t.Shape[i]
}

// Elements is the number of values; 0 if the shape is none.
func (t Tensor) Elements() int {
	n, _ := count(t.Shape)
	return n
}

// in says that t is memory of arena a: not the result of an operation that failed, not freed, not of a closed pass.
func (t Tensor) in(a *Arena) bool {
	n, ok := count(t.Shape)
	n = t.words(n)
	return ok && t.block != nil && t.block.arena == a && t.block.lease.Load() == t.lease && t.at+n <= t.block.n && (t.data == nil || len(t.data) == n)
}

// words is what n values of t take, 32-bit words.
func (t Tensor) words(n int) int {
	if c := t.Dim(-1); t.Format != Float32 && c > 0 {
		return n / c * t.Format.Words(c)
	}
	return n
}

// sized is the shape of t with n values in an axis.
func (t Tensor) sized(axis, n int) []int {
	shape := slices.Clone(t.Shape)
	shape[axis] = n
	return shape
}

// widths is the shape of t with n values in the last axis.
func (t Tensor) widths(n int) []int { return t.sized(len(t.Shape)-1, n) }

// axis is i counted from the first axis, which it is from the end when negative; -1 when there is no such axis.
func (t Tensor) axis(i int) int {
	if i < 0 {
		i += len(t.Shape)
	}
	if i < 0 || i >= len(t.Shape) {
		return -1
	}
	return i
}

// inner is the number of values that lie together from an axis on.
func (t Tensor) inner(axis int) int {
	n, _ := count(t.Shape[axis:])
	return n
}

// rows is the number of vectors along the last axis.
func (t Tensor) rows() int {
	if c := t.Dim(-1); c > 0 {
		return t.Elements() / c
	}
	return 0
}

// Reshape returns a view of the same values in another shape of as many elements; one size may be -1. The last axis of what
// is not float32 stays.
func (t Tensor) Reshape(shape ...int) Tensor {
	n, last := t.Elements(), t.Dim(-1)
	t.Shape = append([]int(nil), shape...)
	if open := slices.Index(shape, -1); open >= 0 {
		t.Shape[open] = 1
		if have, ok := count(t.Shape); ok {
			t.Shape[open] = n / have
		}
	}
	if have, ok := count(t.Shape); !ok || have != n || t.Format != Float32 && t.Dim(-1) != last {
		return Tensor{} // every operation refuses an empty tensor with a typed error
	}
	return t
}

// Part returns a view of entries from to to-1 of the first axis. Freeing a view frees the whole tensor.
func (t Tensor) Part(from, to int) Tensor {
	if from < 0 || from >= to || to > t.Dim(0) {
		return Tensor{} // every operation refuses an empty tensor with a typed error
	}
	if t.Format != Float32 && len(t.Shape) == 1 {
		return Tensor{}
	}
	size := t.words(t.Elements()) / t.Shape[0]
	if t.data != nil {
		if len(t.data) != size*t.Shape[0] {
			return Tensor{} // somebody wrote to Shape
		}
		t.data = t.data[from*size : to*size]
	}
	t.at += from * size
	t.Shape = append([]int{to - from}, t.Shape[1:]...)
	return t
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
	return t.block != nil && t.block == u.block && t.at < u.at+u.words(u.Elements()) && u.at < t.at+t.words(t.Elements())
}

// Is says that two tensors are the same memory.
func (t Tensor) Is(u Tensor) bool {
	return t.block != nil && t.block == u.block && t.at == u.at && t.Format == u.Format && t.Elements() == u.Elements()
}

// apart says that an operation which writes t value by value may read u: it shares no values with t, or is t.
func (t Tensor) apart(u Tensor) bool {
	return !t.overlaps(u) || t.at == u.at && t.Elements() == u.Elements()
}

// String gives the shape, for messages.
func (t Tensor) String() string { return fmt.Sprint(t.Shape) }

// maxElements is the most values that a shape may have: products of sizes do not overflow, nor do bytes.
const maxElements = 1 << 40

// count is the number of values of a shape; not ok, and 0, if that has no axes, a size that is not positive or too many values.
func count(shape []int) (n int, ok bool) {
	n = min(1, len(shape))
	for _, s := range shape {
		if s <= 0 || n > maxElements/s {
			return 0, false
		}
		n *= s
	}
	return n, n > 0
}

// ErrClosed is the error of a pass that is used after its end.
var ErrClosed = errors.New("device: the pass is closed")

// ShapeError is an operation whose operands do not fit, or are no tensors of the pass: it is found before any kernel runs.
type ShapeError struct {
	Op         string
	Need, Have string
}

func (e *ShapeError) Error() string {
	return fmt.Sprintf("%s: need %s, have %s (the checkpoint's config.json does not describe its tensors, or the input has another size than the model takes)", e.Op, e.Need, e.Have)
}

// BudgetError is an activation that the device's memory budget does not hold, in bytes.
type BudgetError struct {
	Op                 string // whose result it is; may be empty
	Shape              []int
	Need, Have, Budget int64
}

func (e *BudgetError) Error() string {
	what := "activations"
	if e.Op != "" {
		what = fmt.Sprintf("%s: result %v", e.Op, e.Shape)
	}
	return fmt.Sprintf("%s: need %d more bytes, have %d of a budget of %d in use: take a smaller picture or batch, or a larger budget", what, e.Need, e.Have, e.Budget)
}

// Explain takes the error apart.
func (e *BudgetError) Explain() (what, need, have, hint string) {
	return "memory for activations", gib(e.Need) + " more", gib(max(e.Budget-e.Have, 0)) + " of " + gib(e.Budget), "take a smaller picture or batch"
}

// OutOfMemory tells package graph what kind of failure this is.
func (e *BudgetError) OutOfMemory() bool { return true }

func gib(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }
