package main

import (
	"runtime"
	"runtime/debug"
)

// version is the release and what it was built for.
func version() string {
	return release() + " " + runtime.GOOS + "/" + runtime.GOARCH + " " + runtime.Version()
}

// release is the module's version, or the commit it was built from.
func release() string {
	v, commit, changed := "devel", "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" && info.Main.Version != "(devel)" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = " " + s.Value[:min(12, len(s.Value))]
			case s.Key == "vcs.modified" && s.Value == "true":
				changed = " with changes"
			}
		}
	}
	return v + commit + changed
}
