package graph

import "reflect"

// Any is an input or output of any type (ComfyUI's "*"); with the tag `types:"A,B"` of one of these.
// On links it is transparent: the consumer sees Value.
type Any struct{ Value any }

// TypeName is ComfyUI's name of the wildcard.
func (Any) TypeName() string { return "*" }

// Lazy is an input whose branch is computed only when Run asks for it.
type Lazy[T any] struct {
	get   func() (T, error)
	waits bool // get computes the branch
}

// Get computes the branch and returns its value; a value that is known, at once.
func (l Lazy[T]) Get() (T, error) {
	if l.get == nil {
		var zero T
		return zero, &Error{Kind: KindMissing, Hint: "connect the lazy input that Run asks for"}
	}
	return l.get()
}

// Given reports whether the input is linked or has a value.
func (l Lazy[T]) Given() bool { return l.get != nil }

// Peek returns the value if it is known already: for CheckLazy.
func (l Lazy[T]) Peek() (t T, ok bool) {
	if l.get == nil || l.waits {
		return t, false
	}
	t, err := l.get()
	return t, err == nil
}

// bind makes the field wait for get, whose values are converted to T.
func (l *Lazy[T]) bind(get func() (any, error), waits bool) {
	l.waits = waits
	l.get = func() (t T, err error) {
		v, err := get()
		if err == nil {
			err = assign(reflect.ValueOf(&t).Elem(), v)
		}
		return t, err
	}
}

func (*Lazy[T]) elem() reflect.Type { return reflect.TypeFor[T]() }

// lazy is a *Lazy[T] of any T.
type lazy interface {
	bind(get func() (any, error), waits bool)
	elem() reflect.Type
}

// List as an input takes every value of its link at once, in order; as an output gives several values, for each of
// which the nodes behind it run. A node with a List input is called once: its other inputs get their first value.
type List[T any] []T

func (*List[T]) item() reflect.Type { return reflect.TypeFor[T]() }

// list is a *List[T] of any T.
type list interface{ item() reflect.Type }
