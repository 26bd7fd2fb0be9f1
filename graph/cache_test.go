package graph

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// sigs are signatures named by letters.
func sigs(names string) (list []signature) {
	for _, c := range names {
		list = append(list, signature{byte(c)})
	}
	return list
}

// result is an entry of some bytes that took some seconds.
func result(bytes, seconds int) *entry {
	return &entry{values: [][]any{{make([]byte, bytes)}}, took: time.Duration(seconds) * time.Second}
}

// kept lists what is in the cache.
func kept(c *Cache) string {
	var b strings.Builder
	for s := byte(0); s < math.MaxUint8; s++ {
		if c.entries[signature{s}] != nil {
			b.WriteByte(s)
		}
	}
	return b.String()
}

// play runs prompts of the nodes that the letters name, and returns what was kept and what ran after each.
func play(c *Cache, prompts ...string) (log string) {
	for _, names := range prompts {
		list := sigs(names)
		v, known := c.begin(list, &Prompt{})
		ran := ""
		for i := range list {
			if known[i] == nil && v.get(list[i], owner{}) == nil {
				v.put(list[i], result(10, 1))
				ran += names[i : i+1]
			}
		}
		v.end()
		log += fmt.Sprintf("%s:%s ", ran, kept(c))
	}
	return strings.TrimSpace(log)
}

func newCache(t testing.TB, c CacheConfig) *Cache {
	t.Helper()
	cache, err := NewCache(c)
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

func TestCachePolicies(t *testing.T) {
	for _, c := range []struct {
		config  CacheConfig
		prompts []string
		want    string
	}{
		{CacheConfig{}, []string{"abc", "abd", "abc"}, "abc:abc d:abd c:abc"},
		{CacheConfig{Policy: CacheLRU}, []string{"abc", "abd", "abc"}, "abc:abc d:abd c:abc"}, // 0 is not set
		{CacheConfig{Policy: CacheLRU, Entries: 4}, []string{"abc", "abd", "abc"}, "abc:abc d:abcd :abcd"},
		// At the fifth prompt there are six, above four: those of the first two go, whole generations, down to four or fewer.
		{CacheConfig{Policy: CacheLRU, Entries: 4}, []string{"ab", "cd", "e", "f", "g", "ab"}, "ab:ab cd:abcd e:abcde f:cdef g:cdefg ab:abefg"},
		{CacheConfig{Policy: CacheLRU, Entries: 2}, []string{"abcd", "abcd", "e"}, "abcd:abcd :abcd e:e"}, // never the current prompt's
		{CacheConfig{Policy: CacheNone}, []string{"aab", "ab"}, "ab:ab ab:ab"},
		{CacheConfig{Policy: CacheBudget, Bytes: 1 << 20}, []string{"abc", "d", "abc"}, "abc:abc d:abcd :abcd"},
	} {
		if got := play(newCache(t, c.config), c.prompts...); got != c.want {
			t.Errorf("%+v %v:\nhave %s\nwant %s", c.config, c.prompts, got, c.want)
		}
	}
	for _, bad := range []CacheConfig{{Policy: "x"}, {Policy: CacheBudget}, {Policy: CacheLRU, Entries: -1}} {
		if _, err := NewCache(bad); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

func TestCacheBudget(t *testing.T) {
	c := newCache(t, CacheConfig{Policy: CacheBudget, Bytes: 10000})
	v, _ := c.begin(nil, &Prompt{})
	put := func(name string, bytes, seconds int) { v.put(sigs(name)[0], result(bytes, seconds)) }
	put("a", 3000, 30) // 10 seconds for 1000 bytes, about
	put("b", 3000, 3)  // 1
	put("c", 3000, 300)
	if kept(c) != "abc" {
		t.Fatalf("kept %s", kept(c))
	}
	put("d", 1000, 500)
	if kept(c) != "acd" { // b is the cheapest for its bytes
		t.Errorf("kept %s", kept(c))
	}
	put("e", 20000, 9999)
	if kept(c) != "acd" { // it would take the place of all others
		t.Errorf("kept %s", kept(c))
	}
	if host, device := c.Bytes(); host > 10000 || device != 0 {
		t.Errorf("holds %d, %d bytes", host, device)
	}
}

// What was worth much once goes when others are used again and again.
func TestCacheBudgetAges(t *testing.T) {
	c := newCache(t, CacheConfig{Policy: CacheBudget, Bytes: 10000})
	v, _ := c.begin(nil, &Prompt{})
	v.put(sigs("a")[0], result(4000, 50))
	for i := 0; i < 200 && c.entries[sigs("a")[0]] != nil; i++ {
		v.put(signature{'x', byte(i)}, result(4000, 2))
		v.get(signature{'x', byte(i)}, owner{})
	}
	if kept(c) != "" {
		t.Errorf("kept %s: it never goes", kept(c))
	}
}

// Of an expansion stays what its owner's last expansion made, while the prompt has the owner.
func TestCacheExpansions(t *testing.T) {
	c := &Cache{}
	loop := owner{"5", "Loop"}
	prompt := &Prompt{IDs: []string{"5"}, Nodes: map[string]*Node{"5": {Class: "Loop"}}}
	expand := func(p *Prompt, children string) {
		v, _ := c.begin(sigs("p"), p)
		for _, s := range sigs(children) {
			if v.get(s, loop) == nil {
				v.put(s, &entry{owner: loop})
			}
		}
		v.end()
	}
	expand(prompt, "ab")
	expand(prompt, "")
	if kept(c) != "ab" {
		t.Errorf("the owner did not expand: kept %s", kept(c))
	}
	expand(prompt, "bc")
	if kept(c) != "bc" {
		t.Errorf("another expansion: kept %s", kept(c))
	}
	expand(&Prompt{IDs: []string{"5"}, Nodes: map[string]*Node{"5": {Class: "Other"}}}, "")
	if kept(c) != "" {
		t.Errorf("without the owner: kept %s", kept(c))
	}
}

// Without a cache a result goes once all that use it have run; so it does with a budget that has no room for it.
func TestRunLetsGo(t *testing.T) {
	for config, stays := range map[CacheConfig]bool{
		{}: true, {Policy: CacheLRU, Entries: 1}: true, {Policy: CacheNone}: false, {Policy: CacheBudget, Bytes: 1}: false, {Policy: CacheBudget, Bytes: 1 << 20}: true,
	} {
		var log []string
		c := newCache(t, config)
		r, err := Run(t.Context(), mustParse(t, diamond), Options{Nodes: toys(&log), Cache: c})
		if err != nil || r.UI["5"]["text"][0] != "x15" {
			t.Fatalf("%+v: %v, %v", config, r, err)
		}
		for _, id := range []string{"1", "2", "3", "4"} {
			if there := r.Values(id, 0) != nil; there != stays {
				t.Errorf("%+v: result of %s is there: %v", config, id, there)
			}
		}
		if most := map[bool]int{true: 5, false: 1}[stays]; c.Len() > most {
			t.Errorf("%+v: %d results", config, c.Len())
		}
	}
}

// What holds a model goes when memory is wanted back, data stays.
func TestCacheFree(t *testing.T) {
	for _, config := range []CacheConfig{{}, {Policy: CacheBudget, Bytes: 1 << 20}} {
		c := newCache(t, config)
		v, _ := c.begin(nil, &Prompt{})
		for name, value := range map[string]any{
			"a": 1, "b": "text", "c": []any{cell{}, map[string]any{"k": 1.5}}, "m": &worker{}, "n": []any{1, &worker{}}, "o": map[string]any{"k": sized{}},
		} {
			v.put(sigs(name)[0], &entry{values: [][]any{{1}, {value}}})
		}
		if c.Free(); kept(c) != "abc" {
			t.Errorf("kept %s", kept(c))
		}
		if c.Clear(); c.Len() != 0 {
			t.Errorf("kept %s", kept(c))
		}
	}
}

type sized struct{ host, device int64 }

func (s sized) Bytes() (int64, int64) { return s.host, s.device }

type plainStruct struct {
	Name  string
	Data  []float32
	Mask  *plainStruct
	inner []byte
}

type behind interface{ Do() }

type worker struct{ data []byte }

func (*worker) Do() {}

func TestSizeOf(t *testing.T) {
	data := make([]float32, 1000)
	shared := &plainStruct{Data: data}
	for _, c := range []struct {
		name         string
		values       []any
		host, device int64
	}{
		{"nothing", nil, 0, 0},
		{"a text", []any{strings.Repeat("x", 1000)}, 1000, 0},
		{"a sizer", []any{sized{1000, 5000}}, 1000, 5000},
		{"sizers in a list", []any{[]any{sized{1000, 5000}, sized{1000, 1}}}, 2000, 5001},
		{"floats", []any{data}, 4000, 0},
		{"floats twice", []any{data, data}, 4000, 0},
		{"in structs", []any{plainStruct{Data: data, inner: make([]byte, 1e6)}, map[string]any{"k": []any{data}}}, 4000, 0},
		{"a model's insides are not looked at", []any{struct{ Model behind }{&worker{make([]byte, 1e6)}}, shared}, 0, 0},
	} {
		host, device := sizeOf(&entry{values: [][]any{c.values}})
		if over := host - c.host; over < 0 || over > 1000 || device != c.device {
			t.Errorf("%s: %d, %d bytes; want %d and a little, %d", c.name, host, device, c.host, c.device)
		}
	}
	loop := []any{nil}
	loop[0] = loop
	sizeOf(&entry{values: [][]any{{loop}}}) // ends
}
