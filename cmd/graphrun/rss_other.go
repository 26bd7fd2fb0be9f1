//go:build !unix

package main

import (
	"os"
	"time"
)

// peakMemory is not told here.
func peakMemory(*os.ProcessState) int64 { return 0 }

// cpuTime is not told here.
func cpuTime() time.Duration { return 0 }
