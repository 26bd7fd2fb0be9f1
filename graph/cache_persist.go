package graph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Persist lets results of type T be kept on disk under its ComfyUI name. T must be plain data: structs of exported
// fields, slices, pointers, maps by text, texts, numbers and booleans; else Persist panics, at start-up. The form on disk
// follows from the type: an entry of a type that has changed since is not read.
func Persist[T interface{ TypeName() string }]() {
	var zero T
	t := reflect.TypeFor[T]()
	if err := plainData(t, nil); err != nil {
		panic(fmt.Sprintf("graph: persisting %s: %v", t, err))
	}
	persistMu.Lock()
	defer persistMu.Unlock()
	if old := persistedNames[zero.TypeName()]; old != nil && old != t {
		panic(fmt.Sprintf("graph: persisting %s: %s is %s", t, zero.TypeName(), old))
	}
	persisted[t] = zero.TypeName()
	persistedNames[zero.TypeName()] = t
}

var (
	persistMu      sync.RWMutex
	persisted      = map[reflect.Type]string{}
	persistedNames = map[string]reflect.Type{}
)

// plainData reports what the codec cannot write.
func plainData(t reflect.Type, around []reflect.Type) error {
	if slices.Contains(around, t) {
		return fmt.Errorf("%s holds itself", t)
	}
	around = append(around, t)
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int64, reflect.Int32, reflect.Uint8, reflect.Uint64, reflect.Float32, reflect.Float64:
		return nil
	case reflect.Slice, reflect.Pointer:
		return plainData(t.Elem(), around)
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return plainData(t.Elem(), around)
		}
	case reflect.Interface:
		if t.NumMethod() == 0 { // a value that has no place on disk is seen when it is written
			return nil
		}
	case reflect.Struct:
		if t.NumField() == 0 {
			return fmt.Errorf("%s has no fields", t)
		}
		for i := range t.NumField() {
			f := t.Field(i)
			if !f.IsExported() {
				return fmt.Errorf("%s has a field that is not exported, %s", t, f.Name)
			}
			if err := plainData(f.Type, around); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%s is no plain data", t)
}

// layout is a hash of a type's structure and names.
func layout(t reflect.Type) uint64 {
	h := fnv.New64a()
	var walk func(reflect.Type)
	walk = func(t reflect.Type) {
		fmt.Fprintf(h, "%s(", t.Kind())
		switch t.Kind() {
		case reflect.Slice, reflect.Pointer, reflect.Map:
			walk(t.Elem())
		case reflect.Struct:
			for i := range t.NumField() {
				fmt.Fprintf(h, "%s ", t.Field(i).Name)
				walk(t.Field(i).Type)
			}
		}
		fmt.Fprint(h, ")")
	}
	walk(t)
	return h.Sum64()
}

// The tags of values.
const (
	tagNil byte = iota
	tagFalse
	tagTrue
	tagInt
	tagInt64
	tagUint64
	tagBig
	tagFloat
	tagString
	tagList
	tagObject
	tagType
)

// maxNesting bounds lists in lists.
const maxNesting = 100

var errNotKept = errors.New("a value that is not kept on disk")

// appendValue writes a value; errNotKept if its type has not been registered by Persist and is none of JSON's.
func appendValue(b []byte, v any, depth int) ([]byte, error) {
	if depth > maxNesting {
		return nil, errNotKept
	}
	var err error
	switch x := v.(type) {
	case nil:
		return append(b, tagNil), nil
	case bool:
		if x {
			return append(b, tagTrue), nil
		}
		return append(b, tagFalse), nil
	case int:
		return binary.LittleEndian.AppendUint64(append(b, tagInt), uint64(x)), nil
	case int64:
		return binary.LittleEndian.AppendUint64(append(b, tagInt64), uint64(x)), nil
	case uint64:
		return binary.LittleEndian.AppendUint64(append(b, tagUint64), x), nil
	case *big.Int:
		return appendText(append(b, tagBig), x.String()), nil
	case float64:
		return binary.LittleEndian.AppendUint64(append(b, tagFloat), math.Float64bits(x)), nil
	case string:
		return appendText(append(b, tagString), x), nil
	case []any:
		b = binary.AppendUvarint(append(b, tagList), uint64(len(x)))
		for _, item := range x {
			if b, err = appendValue(b, item, depth+1); err != nil {
				return nil, err
			}
		}
		return b, nil
	case map[string]any:
		b = binary.AppendUvarint(append(b, tagObject), uint64(len(x)))
		for _, key := range slices.Sorted(maps.Keys(x)) {
			if b, err = appendValue(appendText(b, key), x[key], depth+1); err != nil {
				return nil, err
			}
		}
		return b, nil
	}
	r := reflect.ValueOf(v)
	persistMu.RLock()
	name, ok := persisted[r.Type()]
	persistMu.RUnlock()
	if !ok {
		return nil, errNotKept
	}
	b = appendText(append(b, tagType), name)
	return appendData(binary.LittleEndian.AppendUint64(b, layout(r.Type())), r, depth+1)
}

// isKept reports whether a value can be kept on disk, but for what a struct's fields of any type hold.
func isKept(v any) bool {
	switch x := v.(type) {
	case nil, bool, int, int64, uint64, *big.Int, float64, string:
		return true
	case []any:
		return !slices.ContainsFunc(x, func(v any) bool { return !isKept(v) })
	case map[string]any:
		for _, item := range x {
			if !isKept(item) {
				return false
			}
		}
		return true
	}
	persistMu.RLock()
	defer persistMu.RUnlock()
	return persisted[reflect.TypeOf(v)] != ""
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendData writes plain data.
func appendData(b []byte, v reflect.Value, depth int) (_ []byte, err error) {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1), nil
		}
		return append(b, 0), nil
	case reflect.String:
		return appendText(b, v.String()), nil
	case reflect.Int, reflect.Int64, reflect.Int32:
		return binary.LittleEndian.AppendUint64(b, uint64(v.Int())), nil
	case reflect.Uint8:
		return append(b, byte(v.Uint())), nil
	case reflect.Uint64:
		return binary.LittleEndian.AppendUint64(b, v.Uint()), nil
	case reflect.Float32:
		return binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v.Float()))), nil
	case reflect.Float64:
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(v.Float())), nil
	case reflect.Interface:
		return appendValue(b, v.Interface(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			if b, err = appendData(b, v.Field(i), depth); err != nil {
				return nil, err
			}
		}
		return b, nil
	}
	if v.IsNil() {
		return append(b, 0), nil
	}
	b = append(b, 1)
	switch v.Kind() {
	case reflect.Pointer:
		return appendData(b, v.Elem(), depth)
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
		b = binary.AppendUvarint(b, uint64(len(keys)))
		for _, k := range keys {
			if b, err = appendData(appendText(b, k.String()), v.MapIndex(k), depth); err != nil {
				return nil, err
			}
		}
		return b, nil
	}
	b = binary.AppendUvarint(b, uint64(v.Len()))
	if floats, ok := v.Interface().([]float32); ok {
		b = slices.Grow(b, 4*len(floats))
		for _, f := range floats {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
		}
		return b, nil
	}
	for i := range v.Len() {
		if b, err = appendData(b, v.Index(i), depth); err != nil {
			return nil, err
		}
	}
	return b, nil
}

var errBadEntry = errors.New("not an entry of this cache")

// reader takes values from bytes that may be anything.
type reader struct {
	b   []byte
	err error
}

// take returns the next n bytes, zeros if there are not so many.
func (r *reader) take(n int) []byte {
	if r.err == nil && n > len(r.b) {
		r.err = errBadEntry
	}
	if r.err != nil {
		return make([]byte, min(n, 8))
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

// count reads the length of a list whose items take at least size bytes each.
func (r *reader) count(size int) int {
	n, used := binary.Uvarint(r.b)
	if used <= 0 || n > uint64((len(r.b)-used)/size) {
		r.err = errBadEntry
	}
	if r.err != nil {
		return 0
	}
	r.b = r.b[used:]
	return int(n)
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) uint64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }
func (r *reader) text() string   { return string(r.take(r.count(1))) }

// value reads what appendValue wrote.
func (r *reader) value(depth int) any {
	if depth > maxNesting {
		r.err = errBadEntry
		return nil
	}
	switch r.byte() {
	case tagNil:
		return nil
	case tagFalse:
		return false
	case tagTrue:
		return true
	case tagInt:
		return int(r.uint64())
	case tagInt64:
		return int64(r.uint64())
	case tagUint64:
		return r.uint64()
	case tagBig:
		if text := r.text(); len(text) < 400 {
			if n, ok := new(big.Int).SetString(text, 10); ok {
				return n
			}
		}
	case tagFloat:
		return math.Float64frombits(r.uint64())
	case tagString:
		return r.text()
	case tagList:
		list := []any{} // grown as it is read: lists in lists could claim more than there is
		for range r.count(1) {
			list = append(list, r.value(depth+1))
			if r.err != nil {
				return nil
			}
		}
		return list
	case tagObject:
		object := map[string]any{}
		for range r.count(2) {
			key := r.text()
			object[key] = r.value(depth + 1)
			if r.err != nil {
				return nil
			}
		}
		return object
	case tagType:
		persistMu.RLock()
		t := persistedNames[r.text()]
		persistMu.RUnlock()
		if sum := r.uint64(); r.err == nil && t != nil && sum == layout(t) {
			v := reflect.New(t).Elem()
			r.data(v, depth+1)
			return v.Interface()
		}
	}
	r.err = errBadEntry
	return nil
}

// data reads what appendData wrote.
func (r *reader) data(v reflect.Value, depth int) {
	if r.err != nil {
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.byte() == 1)
	case reflect.String:
		v.SetString(r.text())
	case reflect.Int, reflect.Int64, reflect.Int32:
		n := int64(r.uint64())
		if v.OverflowInt(n) {
			r.err = errBadEntry
			return
		}
		v.SetInt(n)
	case reflect.Uint8:
		v.SetUint(uint64(r.byte()))
	case reflect.Uint64:
		v.SetUint(r.uint64())
	case reflect.Float32:
		v.SetFloat(float64(math.Float32frombits(r.uint32())))
	case reflect.Float64:
		v.SetFloat(math.Float64frombits(r.uint64()))
	case reflect.Pointer:
		if r.byte() == 1 {
			v.Set(reflect.New(v.Type().Elem()))
			r.data(v.Elem(), depth)
		}
	case reflect.Slice:
		if r.byte() == 1 {
			r.slice(v, depth)
		}
	case reflect.Map:
		if r.byte() == 1 {
			r.object(v, depth)
		}
	case reflect.Interface:
		if x := r.value(depth + 1); x != nil && r.err == nil {
			v.Set(reflect.ValueOf(x))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			r.data(v.Field(i), depth)
		}
	}
}

// slice reads a slice; its memory is bounded by the bytes that are left.
func (r *reader) slice(v reflect.Value, depth int) {
	n := r.count(leastBytes(v.Type().Elem()))
	if v.Type() == reflect.TypeFor[[]float32]() {
		floats := make([]float32, n)
		for i, raw := 0, r.take(4*n); r.err == nil && i < n; i++ {
			floats[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		v.Set(reflect.ValueOf(floats))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), n, n))
	for i := 0; r.err == nil && i < n; i++ {
		r.data(v.Index(i), depth)
	}
}

// object reads a map.
func (r *reader) object(v reflect.Value, depth int) {
	t := v.Type()
	v.Set(reflect.MakeMap(t))
	for range r.count(1 + leastBytes(t.Elem())) {
		key, item := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		key.SetString(r.text())
		if r.data(item, depth); r.err != nil {
			return
		}
		v.SetMapIndex(key, item)
	}
}

// leastBytes is how many bytes a value takes at least.
func leastBytes(t reflect.Type) int {
	switch t.Kind() {
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Uint64, reflect.Float64:
		return 8
	case reflect.Float32:
		return 4
	case reflect.Struct:
		n := 0
		for i := range t.NumField() {
			n += leastBytes(t.Field(i).Type)
		}
		return n
	}
	return 1
}
