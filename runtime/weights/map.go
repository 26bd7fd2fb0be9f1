package weights

import (
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"runtime/debug"
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

// Read copies a tensor's data into buf, which grows if need be, and returns them. Where the file behind the map has become
// shorter or cannot be read any more it is an error, not the end of the process.
func (s *Store) Read(t Tensor, buf []byte) (data []byte, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			file := ""
			if len(s.files) > 0 {
				file = s.files[0]
			}
			data, err = nil, &Error{
				File: file, Tensor: t.Name, Need: fmt.Sprintf("%d bytes of data", len(t.Data)), Have: "a file that ends before them or cannot be read",
				Remedy: "the file was changed while it was read, or its disk fails: " + fetchAgain,
			}
		}
	}()
	return append(buf[:0], t.Data...), nil
}
