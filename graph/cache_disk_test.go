package graph

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

type cell struct {
	Name   string
	Shape  []int
	Data   []float32
	End    *float64
	Inner  *cellInner
	Flags  []bool
	Marks  map[string]int
	Extra  any
	Always bool
}

type cellInner struct{ Items []string }

func (cell) TypeName() string { return "CELL" }

type cells []cell

func (cells) TypeName() string { return "CELLS" }

func init() {
	Persist[cell]()
	Persist[cells]()
}

func zero() *float64 { return new(float64) }

// samples are values of all that is kept on disk.
var samples = []any{
	nil, true, false, 3, int64(-1 << 63), uint64(1<<64 - 1), new(big.Int).Lsh(big.NewInt(-3), 90), 0.1, math.Inf(-1), "", "ü\x00",
	[]any{},
	[]any{1, "x", []any{nil}},
	map[string]any{"b": 1, "a": map[string]any{}},
	cell{},
	cell{Shape: []int{}, Data: []float32{}, Marks: map[string]int{}},
	cell{"n", []int{2, -1}, []float32{1, float32(math.Inf(1)), math.SmallestNonzeroFloat32}, zero(), &cellInner{[]string{"", "y"}}, []bool{true, false}, map[string]int{"k": 1}, []any{cell{Name: "in"}}, true},
	cells(nil),
	cells{},
	cells{{Name: "a"}, {End: zero()}},
}

func openDisk(t testing.TB, c DiskConfig) *DiskCache {
	t.Helper()
	if c.LeastTime == 0 {
		c.LeastTime = 1
	}
	d, err := OpenDiskCache(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPersistRoundTrip(t *testing.T) {
	d := openDisk(t, DiskConfig{Dir: t.TempDir()})
	e := &entry{values: [][]any{samples, {}, {1}}, took: time.Hour}
	d.put(signature{1}, e)
	got := openDisk(t, DiskConfig{Dir: d.c.Dir}).get(signature{1})
	if got == nil || got.took != e.took || !reflect.DeepEqual(got.values, e.values) {
		t.Fatalf("have %+v\nwant %+v", got, e)
	}
	d.put(signature{2}, &entry{values: [][]any{{float32(1), math.NaN()}}, took: time.Hour})
	d.put(signature{3}, &entry{values: [][]any{{cell{Extra: func() {}}}}, took: time.Hour})
	d.put(signature{4}, &entry{values: [][]any{{1}}, ui: UI{}, took: time.Hour})
	d.put(signature{5}, &entry{values: [][]any{{1}}})
	for i := byte(2); i <= 5; i++ {
		if d.get(signature{i}) != nil {
			t.Errorf("entry %d is no plain data, shows something or took no time, and was kept", i)
		}
	}
	d.put(signature{6}, &entry{values: [][]any{{math.NaN(), cell{Data: []float32{float32(math.NaN())}}}}, took: time.Hour})
	if got := d.get(signature{6}); got == nil || !math.IsNaN(got.values[0][0].(float64)) {
		t.Errorf("NaN: %v", got)
	}
}

func TestPersistRefuses(t *testing.T) {
	for name, v := range map[string]any{
		"a field that is not exported": struct{ x int }{}, "a channel": struct{ X chan int }{}, "nothing": struct{}{}, "a model": struct{ M behind }{},
	} {
		if plainData(reflect.TypeOf(v), nil) == nil {
			t.Errorf("%s: no error", name)
		}
	}
	type node struct{ Next *node }
	if err := plainData(reflect.TypeFor[node](), nil); err == nil || !strings.Contains(err.Error(), "holds itself") {
		t.Errorf("a list: %v", err)
	}
	type before struct{ A, B int }
	type after struct{ A, C int }
	if layout(reflect.TypeFor[before]()) == layout(reflect.TypeFor[after]()) {
		t.Error("another field is not seen")
	}
}

// A file that is not exactly what was written is never trusted, and is taken away.
func TestDiskCacheDamage(t *testing.T) {
	d := openDisk(t, DiskConfig{Dir: t.TempDir()})
	key := d.key(signature{1})
	d.put(signature{1}, &entry{values: [][]any{{"text", 1.5}}, took: time.Hour})
	whole, err := os.ReadFile(d.path(key))
	if err != nil {
		t.Fatal(err)
	}
	try := func(name string, data []byte) {
		if err := os.WriteFile(d.path(key), data, 0o666); err != nil {
			t.Fatal(err)
		}
		if got := d.get(signature{1}); got != nil {
			t.Errorf("%s: trusted as %v", name, got.values)
		}
		if _, err := os.Stat(d.path(key)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: still there", name)
		}
	}
	for i := range whole {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1 << (i % 8)
		try("one bit of byte "+string(rune('0'+i%10)), flipped)
		try("cut", whole[:i])
	}
	try("longer", append(bytes.Clone(whole), 0))
	other, err := encodeEntry(d.key(signature{2}), &entry{values: [][]any{{1}}})
	if err != nil {
		t.Fatal(err)
	}
	try("of another key", other)
	if err := os.Mkdir(d.path(key), 0o777); err != nil {
		t.Fatal(err)
	}
	if d.get(signature{1}) != nil {
		t.Error("a folder is trusted")
	}
	if _, err := OpenDiskCache(DiskConfig{Dir: filepath.Join(d.path(key), "x\x00")}); err == nil {
		t.Error("a folder that cannot be: no error")
	}
}

func TestDiskCacheSalt(t *testing.T) {
	d := openDisk(t, DiskConfig{Dir: t.TempDir(), Salt: "v1"})
	d.put(signature{1}, &entry{values: [][]any{{1}}, took: time.Hour})
	if openDisk(t, DiskConfig{Dir: d.c.Dir, Salt: "v2"}).get(signature{1}) != nil {
		t.Error("another version's result is taken")
	}
	if d.get(signature{1}) == nil {
		t.Error("its own is not")
	}
}

// Beyond the size those go that were used longest ago, and what a writer that crashed left goes at the start.
func TestDiskCacheSize(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, DiskConfig{Dir: dir, Bytes: 3500})
	put := func(i byte, size int) {
		d.put(signature{i}, &entry{values: [][]any{{strings.Repeat("x", size)}}, took: time.Hour})
		old := time.Now().Add(time.Duration(i)*time.Minute - time.Hour)
		os.Chtimes(d.path(d.key(signature{i})), old, old)
	}
	for i := range byte(3) {
		put(i, 1000)
	}
	d.get(signature{0}) // used last
	put(4, 1000)
	have := ""
	for i := range byte(5) {
		if _, err := os.Stat(d.path(d.key(signature{i}))); err == nil {
			have += string('0' + rune(i))
		}
	}
	if have != "024" {
		t.Errorf("kept %s, want 024", have)
	}
	put(5, 5000)
	if d.get(signature{5}) != nil || d.get(signature{4}) == nil {
		t.Error("an entry beyond the size was kept")
	}
	for name, age := range map[string]time.Duration{"old" + partSuffix: 2 * time.Hour, "new" + partSuffix: 0, "other": 2 * time.Hour} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		os.Chtimes(path, time.Now().Add(-age), time.Now().Add(-age))
	}
	openDisk(t, DiskConfig{Dir: dir, Bytes: 1500})
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) != 3 { // one entry, new.part and other
		t.Errorf("left %v", files)
	}
}

func FuzzDiskEntry(f *testing.F) {
	var key [sha256.Size]byte
	for _, v := range samples {
		whole, err := encodeEntry(key, &entry{values: [][]any{{v}}, took: 1})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(whole[headerBytes:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		parseEntry(body, key)
		e, err := parseBody(body)
		if err != nil {
			return
		}
		// What is read is written again in a form that reads the same.
		again, err := encodeEntry(key, e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseEntry(again, key)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := encodeEntry(key, back)
		if err != nil || !bytes.Equal(again, twice) {
			t.Fatalf("another form: %v", err)
		}
	})
}

// A second process takes from the disk what gives the same whenever it is computed, whether it is needed at once or
// lazily; what changes always, what gives another result each time, and all behind them run again.
func TestRunTakesFromDisk(t *testing.T) {
	dir := t.TempDir()
	run := func() string {
		var log []string
		l := toys(&log)
		l["Random"] = Compile[number0](Meta{Name: "Random", NotIdempotent: true})
		inner := l["Random"].Run
		l["Random"].Run = func(c *Call, in []any) (Output, error) {
			log = append(log, c.NodeID)
			return inner(c, in)
		}
		for _, s := range l { // not too quick for the disk
			run := s.Run
			s.Run = func(c *Call, in []any) (Output, error) {
				time.Sleep(time.Millisecond)
				return run(c, in)
			}
		}
		p := mustParse(t, `{
			"number": {"class_type": "Number", "inputs": {"value": 1}},
			"sum": {"class_type": "Sum", "inputs": {"a": ["number", 0], "b": 2}},
			"lazy": {"class_type": "Number", "inputs": {"value": 5}},
			"never": {"class_type": "Print", "inputs": {"value": -1}},
			"switch": {"class_type": "Switch", "inputs": {"second": false, "a": ["lazy", 0], "b": ["never", 0]}},
			"random": {"class_type": "Random", "inputs": {"value": 3}},
			"behind": {"class_type": "Sum", "inputs": {"a": ["random", 0], "b": ["sum", 0]}},
			"1": {"class_type": "Show", "inputs": {"value": ["sum", 0]}},
			"2": {"class_type": "Show", "inputs": {"value": ["switch", 0]}},
			"3": {"class_type": "Show", "inputs": {"value": ["behind", 0]}},
			"4": {"class_type": "Show", "inputs": {"value": ["never", 0]}}}`)
		cached := 0
		r, err := Run(t.Context(), p, Options{
			Nodes: l, Room: Room{Serial: true}, Cache: newCache(t, CacheConfig{Disk: openDisk(t, DiskConfig{Dir: dir})}),
			Events: func(e Event) {
				if c, ok := e.(Cached); ok {
					cached = len(c.Nodes)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(r.UI["1"]["text"], r.UI["2"]["text"], r.UI["3"]["text"], r.UI["4"]["text"]); got != "[x3] [x5] [x6] [x-1]" {
			t.Errorf("shows %s", got)
		}
		slices.Sort(log)
		return fmt.Sprint(cached, log)
	}
	if got, want := run(), "0 [1 2 3 4 behind lazy never number random sum switch]"; got != want {
		t.Errorf("first run: %s, want %s", got, want)
	}
	if got, want := run(), "1 [1 2 3 4 behind never random switch]"; got != want { // the switch needs what changes always, lazily
		t.Errorf("second run: %s, want %s", got, want)
	}
}

// BenchmarkDiskCache writes and reads a picture of 1024x1024 in float32.
func BenchmarkDiskCache(b *testing.B) {
	d := openDisk(b, DiskConfig{Dir: b.TempDir()})
	e := &entry{values: [][]any{{cell{Shape: []int{1, 1024, 1024, 3}, Data: make([]float32, 1024*1024*3)}}}, took: time.Hour}
	for i := range e.values[0][0].(cell).Data {
		e.values[0][0].(cell).Data[i] = float32(i)
	}
	b.Run("write", func(b *testing.B) {
		b.SetBytes(4 * 1024 * 1024 * 3)
		for b.Loop() {
			d.put(signature{1}, e)
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(4 * 1024 * 1024 * 3)
		for b.Loop() {
			if d.get(signature{1}) == nil {
				b.Fatal("nothing there")
			}
		}
	})
}
