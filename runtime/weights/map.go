package weights

import (
	"io/fs"
	"os"
	"reflect"
	"unsafe"

	"github.com/edsrzf/mmap-go"
)

// mapFile maps a file read-only.
func mapFile(path string) (data []byte, unmap func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.Size() == 0 { // cannot be mapped; parse says what is wrong with it
		return nil, func() error { return nil }, nil
	}
	m, err := mmap.Map(f, mmap.RDONLY, 0)
	if err != nil {
		return nil, nil, err
	}
	return m, m.Unmap, nil
}

// contents returns a file's bytes, not to be written to: those in the program itself for a file of an embed.FS, a copy otherwise.
func contents(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if s, ok := embedded(f); ok {
		return unsafe.Slice(unsafe.StringData(s), len(s)), nil
	}
	return fs.ReadFile(fsys, name)
}

// embedded returns the string behind a file of an embed.FS. The package embed offers only copies, so this looks at its
// fields by name; should they change, contents falls back to a copy (and TestOpenEmbedded tells).
func embedded(f fs.File) (string, bool) {
	v := reflect.ValueOf(f)
	if v.Type().String() != "*embed.openFile" {
		return "", false
	}
	file := v.Elem().FieldByName("f")
	if file.Kind() != reflect.Pointer || file.IsNil() || file.Elem().Kind() != reflect.Struct {
		return "", false
	}
	data := file.Elem().FieldByName("data")
	if data.Kind() != reflect.String {
		return "", false
	}
	return data.String(), true
}
