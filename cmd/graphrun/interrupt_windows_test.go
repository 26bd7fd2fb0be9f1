package main

import "os"

// fullDisk has no stand-in on Windows.
func fullDisk() { os.Exit(exitFailed) }
