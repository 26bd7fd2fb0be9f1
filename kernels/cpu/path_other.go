//go:build !amd64

package cpu

func machinePaths() []*path { return nil }
