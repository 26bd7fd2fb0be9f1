package hub

import "os"

// lives reports whether there is a process of the id.
func lives(pid int) bool {
	p, err := os.FindProcess(pid) // which opens it
	if err == nil {
		p.Release()
	}
	return err == nil
}
