package main

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/pflag"

	"graphrun/graph"
	"graphrun/kernels/cpu"
	"graphrun/nodes/testing"
	"graphrun/runtime/unfinished"
)

// cacheFlags say what is kept of results, in memory and on disk.
type cacheFlags struct {
	classic, none bool
	lru           int
	budget, size  byteCount
	dir           string
}

func (f *cacheFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.classic, "cache-classic", false, "keep in memory what the last workflow has (the default)")
	flags.IntVar(&f.lru, "cache-lru", 0, "keep `N` results or more: beyond that those of the workflows run longest ago go")
	flags.BoolVar(&f.none, "cache-none", false, "keep no results, and let them go as soon as they have been used")
	flags.Var(&f.budget, "cache-budget", "keep results up to so many `BYTES`, or 500MiB, 8GiB: what is quickly computed for its size goes first")
	flags.StringVar(&f.dir, "cache-dir", "", "keep prompts, latents, pictures and masks in this folder, too, for later runs")
	f.size = 8 << 30
	flags.Var(&f.size, "cache-dir-size", "how much the folder may hold, in `BYTES`, or 500MiB, 8GiB: what was used longest ago goes first")
}

// policies are those that the flags name.
func (f *cacheFlags) policies() (list []graph.CachePolicy) {
	for policy, is := range map[graph.CachePolicy]bool{
		graph.CacheClassic: f.classic, graph.CacheNone: f.none, graph.CacheLRU: f.lru != 0, graph.CacheBudget: f.budget != 0,
	} {
		if is {
			list = append(list, policy)
		}
	}
	return list
}

// configure sets the cache up. how is what decides results besides the workflow, its files and the program.
func (f *cacheFlags) configure(cache *graph.Cache, how string) error {
	c := graph.CacheConfig{Policy: graph.CacheClassic, Entries: f.lru, Bytes: int64(f.budget)}
	switch chosen := f.policies(); len(chosen) {
	case 0:
	case 1:
		c.Policy = chosen[0]
	default:
		return usagef("need one of --cache-classic, --cache-lru, --cache-none and --cache-budget, have %d of them", len(chosen))
	}
	if f.lru < 0 {
		return usagef("--cache-lru %d: need 0 or more results", f.lru)
	}
	if f.dir != "" {
		var err error
		if c.Disk, err = graph.OpenDiskCache(graph.DiskConfig{
			Dir: f.dir, Bytes: int64(f.size), Salt: program() + " " + how, Unfinished: unfinished.Add,
		}); err != nil {
			return &usageError{err}
		}
	}
	return cache.Configure(c)
}

// addTestNodes registers the nodes of ComfyUI's execution tests.
var addTestNodes = sync.OnceFunc(func() {
	for _, s := range testing.Library() {
		graph.Add(s)
	}
})

// program tells this build of the program from others. Versions of one commit may differ in what is not committed.
func program() string {
	id := version() + " " + cpu.Features()
	if path, err := os.Executable(); err == nil {
		if info, err := os.Stat(path); err == nil {
			id += fmt.Sprint(" ", info.Size(), " ", info.ModTime().UnixNano())
		}
	}
	return id
}

// byteCount is a flag: bytes, or a number with a unit.
type byteCount int64

var units = []struct {
	name  string
	bytes float64
}{{"KIB", 1 << 10}, {"MIB", 1 << 20}, {"GIB", 1 << 30}, {"TIB", 1 << 40}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40}, {"B", 1}}

// Set implements pflag.Value.
func (b *byteCount) Set(s string) error {
	number, unit := strings.ToUpper(strings.TrimSpace(s)), 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if n *= unit; err != nil || !(n >= 1) || n >= math.MaxInt64 {
		return fmt.Errorf("need a number of bytes such as 2000000000, 500MiB or 8GiB, have %q", s)
	}
	*b = byteCount(n)
	return nil
}

// String implements pflag.Value.
func (b *byteCount) String() string {
	switch {
	case *b == 0:
		return ""
	case *b%(1<<30) == 0:
		return fmt.Sprintf("%dGiB", *b>>30)
	}
	return fmt.Sprint(int64(*b))
}

// Type implements pflag.Value.
func (b *byteCount) Type() string { return "bytes" }
