package weights

import (
	"bytes"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

//go:embed testdata
var testdata embed.FS

// file is a safetensors file of a header's text and n bytes of data 0, 1, 2, ...
func file(header string, n int) []byte {
	b := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	for i := range n {
		b = append(b, byte(i))
	}
	return b
}

func TestHostileHeaders(t *testing.T) {
	entry := func(dtype, shape string, begin, end int) string {
		return fmt.Sprintf(`{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, dtype, shape, begin, end)
	}
	long := file(`{}`, 0)
	binary.LittleEndian.PutUint64(long, 1<<63)
	for name, c := range map[string]struct {
		file []byte
		want string // a part of the message
	}{
		"empty":                   {nil, "at least 8 bytes"},
		"seven bytes":             {[]byte("1234567"), "at least 8 bytes"},
		"length beyond the file":  {file(`{}`, 0)[:9], "header of 2 bytes"},
		"length of 2^63":          {long, "at most 100000000"},
		"no JSON":                 {file(`hello`, 0), "starts with {"},
		"no UTF-8":                {file("{\"\xff\":1}", 0), "UTF-8"},
		"half JSON":               {file(`{"a":`, 0), "valid JSON"},
		"open JSON":               {file(`{"a":`+entry("U8", "[1]", 0, 1), 1), "valid JSON"},
		"an array in the middle":  {file(`{"a":[1,2]}`, 0), "valid JSON"},
		"text after the JSON":     {file(`{} x`, 0), "only spaces"},
		"nested brackets":         {file(`{"a":`+strings.Repeat("[", 10<<20), 0), "valid JSON"},
		"unknown dtype":           {file(`{"a":`+entry("F128", "[1]", 0, 16)+`}`, 16), "F128"},
		"no dtype":                {file(`{"a":{"shape":[1],"data_offsets":[0,1]}}`, 1), "dtype"},
		"negative shape":          {file(`{"a":`+entry("U8", "[-1]", 0, 1)+`}`, 1), "valid JSON"},
		"shape of 2^70":           {file(`{"a":`+entry("U8", "[4294967296,274877906944]", 0, 1)+`}`, 1), "fits in memory"},
		"shape overflows to 0":    {file(`{"a":`+entry("F32", "[4611686018427387904,4]", 0, 0)+`}`, 0), "fits in memory"},
		"shape of 2^65 as number": {file(`{"a":`+entry("U8", "[36893488147419103232]", 0, 1)+`}`, 1), "valid JSON"},
		"size is not shape":       {file(`{"a":`+entry("F32", "[2]", 0, 4)+`}`, 4), "8 bytes"},
		"offsets backwards":       {file(`{"a":`+entry("U8", "[1]", 1, 0)+`}`, 1), "data_offsets"},
		"offset beyond the file":  {file(`{"a":`+entry("U8", "[9]", 0, 9)+`}`, 8), "9 bytes of data"},
		"half a byte":             {file(`{"a":`+entry("F4", "[3]", 0, 1)+`}`, 1), "whole bytes"},
		"overlap":                 {file(`{"a":`+entry("U8", "[4]", 0, 4)+`,"b":`+entry("U8", "[4]", 2, 6)+`}`, 6), "overlap"},
		"same place":              {file(`{"a":`+entry("U8", "[4]", 0, 4)+`,"b":`+entry("U8", "[4]", 0, 4)+`}`, 4), "overlap"},
		"hole":                    {file(`{"a":`+entry("U8", "[1]", 0, 1)+`,"b":`+entry("U8", "[1]", 2, 3)+`}`, 3), "hole"},
		"truncated":               {file(`{"a":`+entry("U8", "[4]", 0, 4)+`}`, 3), "4 bytes of data"},
		"rest":                    {file(`{"a":`+entry("U8", "[4]", 0, 4)+`}`, 5), "4 bytes of data"},
		"duplicate name":          {file(`{"a":`+entry("U8", "[1]", 0, 1)+`,"a":`+entry("U8", "[1]", 1, 2)+`}`, 2), "twice"},
		"metadata of numbers":     {file(`{"__metadata__":{"a":1}}`, 0), "valid JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.safetensors")
			if err := os.WriteFile(path, c.file, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path)
			var typed *Error
			if !errors.As(err, &typed) || typed.File != path || typed.Remedy == "" {
				t.Fatalf("have %#v, want an *Error that names %s and a remedy", err, path)
			}
			if !strings.Contains(err.Error(), c.want) || len(err.Error()) > 1000 {
				t.Errorf("have %.1000q, want it to say %q", err, c.want)
			}
		})
	}
}

func TestGoodHeaders(t *testing.T) {
	text := `{"__metadata__":{"format":"pt"},"empty":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]},
		"scalar":{"dtype":"U8","shape":[],"data_offsets":[4,5]},"four":{"dtype":"F4","shape":[2,3],"data_offsets":[5,8]},
		"first":{"dtype":"I16","shape":[2,1],"data_offsets":[0,4],"note":1}}   `
	h, err := parse("x", file(text, 8))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Tensor{}
	for _, x := range h.tensors {
		got[x.Name] = x
	}
	want := map[string]Tensor{
		"empty":  {"empty", F32, []int{0, 3}, []byte{}},
		"scalar": {"scalar", U8, []int{}, []byte{4}},
		"four":   {"four", F4, []int{2, 3}, []byte{5, 6, 7}},
		"first":  {"first", I16, []int{2, 1}, []byte{0, 1, 2, 3}},
	}
	if !reflect.DeepEqual(got, want) || h.metadata["format"] != "pt" {
		t.Errorf("have %v %v, want %v", got, h.metadata, want)
	}
}

func u8(name string, data ...byte) Tensor {
	return Tensor{Name: name, DType: U8, Shape: []int{len(data)}, Data: data}
}

// folder writes files into a new folder: safetensors of the given tensors, or text.
func folder(t *testing.T, files map[string]any) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		var err error
		switch c := content.(type) {
		case []Tensor:
			err = Write(filepath.Join(dir, name), c, nil)
		case string:
			err = os.WriteFile(filepath.Join(dir, name), []byte(c), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpenFolders(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]any
		open  string // within the folder
		want  string // names, or a part of the message
	}{
		"one file":          {map[string]any{"weights.safetensors": []Tensor{u8("a", 1)}}, "", "[a]"},
		"shards, no index":  {map[string]any{"1.safetensors": []Tensor{u8("a", 1)}, "2.safetensors": []Tensor{u8("b", 2)}}, "", "[a b]"},
		"variant beside":    {map[string]any{"model.safetensors": []Tensor{u8("a", 1)}, "model.fp16.safetensors": []Tensor{u8("a", 2)}}, "", "[a]"},
		"variant by name":   {map[string]any{"model.safetensors": []Tensor{u8("a", 1)}, "model.fp16.safetensors": []Tensor{u8("b", 2)}}, "model.fp16.safetensors", "[b]"},
		"fp16 beside ema":   {map[string]any{"m.fp16.safetensors": []Tensor{u8("a", 1)}, "m.non_ema.safetensors": []Tensor{u8("a", 2), u8("b", 2)}}, "", "[a]"},
		"index of fp16":     {map[string]any{"m.safetensors.index.fp16.json": `{"weight_map":{"a":"m.fp16-1.safetensors"}}`, "m.fp16-1.safetensors": []Tensor{u8("a", 1)}, "m.non_ema.safetensors": []Tensor{u8("a", 2)}}, "", "[a]"},
		"pickles only":      {map[string]any{"model.bin": "x"}, "", "convert these"},
		"index":             {map[string]any{"m.safetensors.index.json": `{"weight_map":{"a":"1.safetensors"}}`, "1.safetensors": []Tensor{u8("a", 1), u8("c", 1)}, "2.safetensors": []Tensor{u8("b", 2)}}, "", "[a]"},
		"index by name":     {map[string]any{"i.json": `{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}`, "1.safetensors": []Tensor{u8("a", 1)}, "2.safetensors": []Tensor{u8("b", 2)}}, "i.json", "[a b]"},
		"two say the same":  {map[string]any{"1.safetensors": []Tensor{u8("a", 1)}, "2.safetensors": []Tensor{u8("a", 2)}}, "", "in several"},
		"two indexes":       {map[string]any{"a.safetensors.index.json": `{}`, "b.safetensors.index.json": `{}`}, "", "a.safetensors.index.json, b.safetensors.index.json"},
		"nothing":           {map[string]any{"config.json": `{}`}, "", "none in the folder"},
		"no such file":      {nil, "x.safetensors", "no such file"},
		"shard absent":      {map[string]any{"m.safetensors.index.json": `{"weight_map":{"a":"1.safetensors"}}`}, "", "1.safetensors beside it"},
		"tensor absent":     {map[string]any{"m.safetensors.index.json": `{"weight_map":{"b":"1.safetensors"}}`, "1.safetensors": []Tensor{u8("a", 1)}}, "", `"b": need it in 1.safetensors`},
		"index leaves":      {map[string]any{"m.safetensors.index.json": `{"weight_map":{"b":"../1.safetensors"}}`}, "", "beside the index"},
		"index is absolute": {map[string]any{"m.safetensors.index.json": `{"weight_map":{"b":"/etc/passwd"}}`}, "", "beside the index"},
		"index of brackets": {map[string]any{"m.safetensors.index.json": strings.Repeat("[", 10<<20)}, "", "weight_map"},
		"index of nothing":  {map[string]any{"m.safetensors.index.json": `{}`}, "", "weight_map"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, c.files)
			s, err := Open(filepath.Join(dir, c.open))
			if err != nil {
				var typed *Error
				if !errors.As(err, &typed) || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("have %v, want %s", err, c.want)
				}
				return
			}
			defer s.Close()
			if got := fmt.Sprint(s.Names()); got != c.want {
				t.Errorf("have %s, want %s", got, c.want)
			}
		})
	}
}

func TestStoreViews(t *testing.T) {
	dir := folder(t, map[string]any{"a.safetensors": []Tensor{u8("unet.x.weight", 1, 2), u8("unet.x.bias", 3), u8("vae.y", 4)}})
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.Bytes() != 4 || !reflect.DeepEqual(s.Files(), []string{filepath.Join(dir, "a.safetensors")}) {
		t.Errorf("have %d bytes in %v", s.Bytes(), s.Files())
	}
	sub := s.Sub("unet.").Rename(func(n string) string { return strings.TrimPrefix(n, "x.") })
	if x, ok := sub.Lookup("weight"); !ok || x.Name != "weight" || !bytes.Equal(x.Data, []byte{1, 2}) {
		t.Errorf("have %v, %v", x, ok)
	}
	if _, ok := sub.Lookup("y"); ok || len(sub.Names()) != 2 {
		t.Errorf("have %v", sub.Names())
	}
	if err := errors.Join(sub.Close(), s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}

func TestOpenEmbedded(t *testing.T) {
	s, err := OpenFS(testdata, "testdata/core")
	if err != nil {
		t.Fatal(err)
	}
	x, ok := s.Lookup("ramp")
	if v, err := x.Float32(); !ok || err != nil || !reflect.DeepEqual(v, []float32{0, 0.5, 1, 1.5}) {
		t.Errorf("have %v, %v, %v", x, ok, err)
	}
	f, err := testdata.Open("testdata/core/model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := embedded(f); !ok {
		t.Error("files of an embed.FS are copied now: embedded no longer knows its fields")
	}
	if _, err := OpenFS(fstest.MapFS{"m/model.safetensors": {Data: file(`{}`, 0)}}, "m"); err != nil {
		t.Error(err)
	}
	if _, err := OpenFS(testdata, "testdata/nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("have %v, want ErrNotExist", err)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(file(`{"a":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]},"__metadata__":{"format":"pt"}} `, 4))
	f.Add(file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"F4","shape":[4],"data_offsets":[4,6]}}`, 6))
	f.Add(file(`{"a":[`, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := parse("fuzz", data)
		var typed *Error
		if err != nil && !errors.As(err, &typed) {
			t.Fatalf("untyped error %v", err)
		}
		if err != nil {
			return
		}
		used := 0
		for _, x := range h.tensors {
			if used += len(x.Data); x.Elements()*x.DType.Bits() != 8*len(x.Data) {
				t.Fatalf("%s: %d bytes for %s of shape %v", x.Name, len(x.Data), x.DType, x.Shape)
			}
			_, _ = x.Float32()
		}
		if n := int(binary.LittleEndian.Uint64(data)); used != len(data)-8-n {
			t.Fatalf("tensors cover %d of %d bytes", used, len(data)-8-n)
		}
	})
}

func TestSplit(t *testing.T) {
	s := Of(Tensor{Name: "qkv", DType: U8, Shape: []int{3, 2}, Data: []byte{1, 2, 3, 4, 5, 6}}, Tensor{Name: "odd", DType: U8, Shape: []int{3}, Data: []byte{7, 8, 9}},
		Tensor{Name: "scalar", DType: U8, Data: []byte{1}}, Tensor{Name: "empty", DType: U8, Shape: []int{0}})
	view := s.Split(func(x Tensor) []Part {
		switch x.Name {
		case "qkv":
			return []Part{{"q", 1}, {"kv", 2}}
		case "odd":
			return []Part{{"a", 1}, {"b", 1}}
		case "scalar":
			return []Part{{"c", 1}}
		}
		return nil
	})
	if got := view.Names(); !slices.Equal(got, []string{"empty", "kv", "odd", "q", "scalar"}) {
		t.Errorf("have %v", got)
	}
	if q, _ := view.Lookup("q"); !slices.Equal(q.Data, []byte{1, 2}) || !slices.Equal(q.Shape, []int{1, 2}) || q.Name != "q" {
		t.Errorf("have q %v", q)
	}
	if kv, _ := view.Lookup("kv"); !slices.Equal(kv.Data, []byte{3, 4, 5, 6}) || !slices.Equal(kv.Shape, []int{2, 2}) {
		t.Errorf("have kv %v", kv)
	}
	if x, _ := s.Lookup("qkv"); len(x.Data) != 6 {
		t.Error("the store itself is changed")
	}
}
