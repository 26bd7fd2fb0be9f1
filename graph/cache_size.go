package graph

import "reflect"

// Sizer is a value that knows what memory it holds, on the host and on the device that models run on. A cache with a
// budget counts it. Values without the method are measured as far as they are plain data: texts, numbers, slices, maps
// and structs of exported fields.
type Sizer interface {
	Bytes() (host, device int64)
}

// sizeOf is what a result takes. Memory that its values share counts once.
func sizeOf(e *entry) (host, device int64) {
	m := meter{seen: map[uintptr]bool{}}
	for _, slot := range e.values {
		for _, v := range slot {
			m.add(reflect.ValueOf(v), 0)
		}
	}
	for _, list := range e.ui {
		for _, v := range list {
			m.add(reflect.ValueOf(v), 0)
		}
	}
	return m.host + entryBytes, m.device
}

const (
	entryBytes = 256 // what the cache itself needs for an entry, about
	maxMeasure = 64  // levels of values in values: more are not plain data
)

// meter adds up the bytes of values.
type meter struct {
	host, device int64
	seen         map[uintptr]bool
}

// new reports memory that has not been counted.
func (m *meter) new(p uintptr) bool {
	if p == 0 || m.seen[p] {
		return false
	}
	m.seen[p] = true
	return true
}

// add counts a value: what it holds itself, and the plain data behind it.
func (m *meter) add(v reflect.Value, depth int) {
	if !v.IsValid() || depth > maxMeasure {
		return
	}
	m.host += int64(v.Type().Size())
	m.behind(v, depth)
}

// behind counts what lies outside the value itself.
func (m *meter) behind(v reflect.Value, depth int) {
	if !v.IsValid() || depth > maxMeasure {
		return
	}
	if v.CanInterface() && v.Type().Implements(reflect.TypeFor[Sizer]()) && (v.Kind() != reflect.Pointer || !v.IsNil()) {
		host, device := v.Interface().(Sizer).Bytes()
		m.host, m.device = m.host+host, m.device+device
		return
	}
	switch v.Kind() {
	case reflect.String:
		m.host += int64(v.Len())
	case reflect.Slice:
		if !m.new(v.Pointer()) {
			return
		}
		m.host += int64(v.Cap()) * int64(v.Type().Elem().Size())
		m.items(v, depth)
	case reflect.Array:
		m.items(v, depth)
	case reflect.Map:
		if !m.new(v.Pointer()) {
			return
		}
		for it := v.MapRange(); it.Next(); {
			m.add(it.Key(), depth+1)
			m.add(it.Value(), depth+1)
		}
	case reflect.Pointer:
		if isData(v.Type().Elem()) && m.new(v.Pointer()) {
			m.add(v.Elem(), depth+1)
		}
	case reflect.Interface:
		if v.NumMethod() == 0 || !v.IsNil() && v.Elem().Type().Implements(reflect.TypeFor[Sizer]()) {
			m.add(v.Elem(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				m.behind(v.Field(i), depth+1)
			}
		}
	}
}

// items counts what lies behind the elements of a slice or array.
func (m *meter) items(v reflect.Value, depth int) {
	if !isPlain(v.Type().Elem()) {
		for i := range v.Len() {
			m.behind(v.Index(i), depth+1)
		}
	}
}

// isPlain reports a type with nothing behind its values.
func isPlain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return isPlain(t.Elem())
	case reflect.String, reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface, reflect.Struct:
		return false
	}
	return true
}

// isData reports a type that holds no more than what its exported fields say.
func isData(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return true
	}
	for i := range t.NumField() {
		if !t.Field(i).IsExported() {
			return false
		}
	}
	return true
}
