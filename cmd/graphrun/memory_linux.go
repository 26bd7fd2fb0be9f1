package main

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

// machineMemory is the memory in bytes that this process may have at all, and what is left of it: the machine's, or that of
// a control group it is in. 0 where the system does not tell.
func machineMemory() (total, free int64) { return memoryOf(os.DirFS("/")) }

// memoryOf is machineMemory of a system's files.
func memoryOf(root fs.FS) (total, free int64) {
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0, 0
	}
	total, free = number(text, "MemTotal:")<<10, number(text, "MemAvailable:")<<10
	for _, g := range memoryGroups(root) {
		if limit, used := g.limit(root); limit < total {
			total, free = limit, min(free, limit-used)
		} else {
			free = min(free, limit-used)
		}
	}
	return total, max(0, free)
}

// number is what follows a name in a file of names and numbers, 0 if it is not there.
func number(text []byte, name string) int64 {
	for line := range strings.Lines(string(text)) {
		var have string
		var n int64
		if got, _ := fmt.Sscan(line, &have, &n); got == 2 && have == name {
			return n
		}
	}
	return 0
}

// controlGroup is a folder of the kernel's memory controller.
type controlGroup struct {
	dir string
	v2  bool
}

// memoryGroups lists the control groups of this process that may limit its memory: its own and those around it, as far as
// this process sees them (cgroups(7), proc_pid_mountinfo(5)).
func memoryGroups(root fs.FS) (list []controlGroup) {
	groups, _ := fs.ReadFile(root, "proc/self/cgroup")
	mounts, _ := fs.ReadFile(root, "proc/self/mountinfo")
	for line := range strings.Lines(string(groups)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3) // hierarchy:controllers:path
		if len(part) < 3 {
			continue
		}
		v2 := part[0] == "0" && part[1] == ""
		if !v2 && !hasWord(part[1], "memory") {
			continue
		}
		top, below, ok := mounted(string(mounts), v2, part[2])
		for ok {
			list = append(list, controlGroup{path.Join(top, below), v2})
			if below == "." || below == "/" {
				break
			}
			below = path.Dir(below)
		}
	}
	return list
}

// mounted says under which folder, without the leading slash, the control group of that path is, and where in it. A group
// outside what is mounted, as in a container, is the top.
func mounted(mounts string, v2 bool, group string) (top, below string, ok bool) {
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(strings.TrimSpace(line), " - ")
		f, kind := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 || len(kind) < 3 || kind[0] != map[bool]string{true: "cgroup2", false: "cgroup"}[v2] || !v2 && !hasWord(kind[2], "memory") {
			continue
		}
		below, inside := strings.CutPrefix(group, strings.TrimSuffix(f[3], "/"))
		if !inside || strings.Contains(below, "..") {
			below = ""
		}
		return strings.TrimPrefix(f[4], "/"), path.Clean("./" + below), true
	}
	return "", "", false
}

func hasWord(list, word string) bool { return strings.Contains(","+list+",", ","+word+",") }

// limit is the group's limit and how much of it cannot be taken back from caches; the largest number for no limit.
func (g controlGroup) limit(root fs.FS) (limit, used int64) {
	most, have, cache := "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
	if g.v2 {
		most, have, cache = "memory.max", "memory.current", "inactive_file"
	}
	read := func(name string) (int64, error) {
		text, err := fs.ReadFile(root, path.Join(g.dir, name))
		if err != nil {
			return 0, err
		}
		return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	}
	limit, err := read(most)
	if err != nil { // "max", or the root group, which has no such file
		return math.MaxInt64, 0
	}
	used, _ = read(have)
	stat, _ := fs.ReadFile(root, path.Join(g.dir, "memory.stat"))
	return limit, max(0, used-number(stat, cache))
}
