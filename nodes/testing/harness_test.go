package testing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"graphrun/graph"
	"graphrun/types"
)

// bench runs prompts of the pack against one cache and records what happens.
type bench struct {
	*testing.T
	cache *graph.Cache
	nodes graph.Library

	partial bool // run the valid outputs of a prompt

	mu      sync.Mutex
	ran     map[string]bool // nodes of the prompt that ran, or nodes of whose expansions did
	called  []string        // ids, ephemeral ones too, in order
	kept    map[string][]any
	blocked []string // messages
	events  []graph.Event
}

// show is the output node of the tests: it keeps what it gets.
type show struct {
	Images graph.Any
	Label  string `optional:"true"`
}

func (n show) Run(c *graph.Call) (graph.UI, error) {
	b, err := graph.Service[*bench](c.Env)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept[c.NodeID] = append(b.kept[c.NodeID], n.Images.Value)
	return graph.UI{"text": {"shown"}}, nil
}

// caches are the policies that every behaviour is proved with; keeps says whether a second run finds the first's results.
var caches = []struct {
	name   string
	config graph.CacheConfig
	keeps  bool
}{
	{"classic", graph.CacheConfig{}, true},
	{"lru", graph.CacheConfig{Policy: graph.CacheLRU, Entries: 100}, true},
	{"none", graph.CacheConfig{Policy: graph.CacheNone}, false},
	{"budget", graph.CacheConfig{Policy: graph.CacheBudget, Bytes: 1 << 30}, true},
	{"small budget", graph.CacheConfig{Policy: graph.CacheBudget, Bytes: 1}, false},
}

// eachCache runs the test with every policy.
func eachCache(t *testing.T, test func(b *bench, keeps bool)) {
	for _, c := range caches {
		t.Run(c.name, func(t *testing.T) {
			cache, err := graph.NewCache(c.config)
			if err != nil {
				t.Fatal(err)
			}
			test(newBench(t, cache), c.keeps)
		})
	}
}

func newBench(t *testing.T, cache *graph.Cache) *bench {
	l := Library()
	l["Show"] = graph.Compile[show](graph.Meta{Name: "Show", Output: true})
	return &bench{T: t, cache: cache, nodes: l}
}

// prompt is nodes as lines "id Class input=value ...": a value @id.slot is a link, other values are JSON.
func prompt(t *testing.T, lines ...string) *graph.Prompt {
	t.Helper()
	var nodes []string
	for _, line := range lines {
		words := strings.Fields(protected(line))
		var inputs []string
		for _, w := range words[2:] {
			name, value, _ := strings.Cut(strings.ReplaceAll(w, "\x00", " "), "=")
			if link, ok := strings.CutPrefix(value, "@"); ok {
				at := strings.LastIndex(link, ".")
				value = fmt.Sprintf("[%q, %s]", link[:at], link[at+1:])
			}
			inputs = append(inputs, fmt.Sprintf("%q: %s", name, value))
		}
		nodes = append(nodes, fmt.Sprintf("%q: {%q: %q, %q: {%s}}", words[0], "class_type", words[1], "inputs", strings.Join(inputs, ", ")))
	}
	p, err := graph.ParsePrompt([]byte("{" + strings.Join(nodes, ", ") + "}"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// protected is a line whose blanks within quotes are zeros.
func protected(line string) string {
	quoted := false
	return strings.Map(func(r rune) rune {
		if r == '"' {
			quoted = !quoted
		}
		if r == ' ' && quoted {
			return 0
		}
		return r
	}, line)
}

// try runs a prompt.
func (b *bench) try(ctx context.Context, lines ...string) error {
	b.Helper()
	b.ran, b.called, b.kept, b.blocked, b.events = map[string]bool{}, nil, map[string][]any{}, nil, nil
	env := graph.NewEnv()
	graph.Provide(env, b)
	_, err := graph.Run(ctx, prompt(b.T, lines...), graph.Options{Nodes: b.nodes, Env: env, Cache: b.cache, Events: b.event, Partial: b.partial})
	return err
}

// event records what ran.
func (b *bench) event(e graph.Event) {
	b.events = append(b.events, e)
	switch e := e.(type) {
	case graph.Executing:
		b.ran[e.Display] = true
		b.called = append(b.called, e.NodeID)
	case graph.Blocked:
		b.blocked = append(b.blocked, e.Message)
	}
}

// run runs a prompt that must succeed.
func (b *bench) run(lines ...string) {
	b.Helper()
	if err := b.try(b.Context(), lines...); err != nil {
		b.Fatal(err)
	}
}

// wantRan checks which nodes of the prompt ran, given as words.
func (b *bench) wantRan(want string) {
	b.Helper()
	have := slices.Sorted(maps.Keys(b.ran))
	list := strings.Fields(want)
	slices.Sort(list)
	if !slices.Equal(have, list) {
		b.Errorf("ran %v, want %v", have, list)
	}
}

// levels are the grey levels, as saved in 8 bits, that a Show node got; -1 for a picture of several.
func (b *bench) levels(id string) []int {
	b.Helper()
	var out []int
	for _, v := range b.kept[id] {
		i, ok := v.(types.Image)
		if !ok {
			b.Fatalf("node %s got %T, want a picture", id, v)
		}
		level := int(min(max(i.Data[0], 0), 1) * 255)
		if anyNot(i.Data, i.Data[0]) {
			level = -1
		}
		out = append(out, level)
	}
	return out
}

func (b *bench) wantLevels(id string, want ...int) {
	b.Helper()
	if have := b.levels(id); !slices.Equal(have, want) {
		b.Errorf("node %s got levels %v, want %v", id, have, want)
	}
}

// wantError checks that a run fails in the node, whose error has the text.
func (b *bench) wantError(err error, node, text string) *graph.Error {
	b.Helper()
	var e *graph.Error
	if !errors.As(err, &e) || e.Node != node || !strings.Contains(err.Error(), text) {
		b.Errorf("error %v, want one of node %s with %q", err, node, text)
	}
	return e
}

// invalid checks that a prompt is refused before anything runs.
func (b *bench) invalid(text string, lines ...string) {
	b.Helper()
	err := b.try(b.Context(), lines...)
	var v *graph.ValidationError
	if !errors.As(err, &v) || !strings.Contains(err.Error(), text) || len(b.called) > 0 {
		b.Errorf("error %v, want validation to say %q", err, text)
	}
}

const small = " height=8 width=8 batch_size=1"

func image(id, content string) string { return id + " StubImage content=\"" + content + "\"" + small }

func maskOf(id string, value string) string { return id + " StubMask value=" + value + small }
