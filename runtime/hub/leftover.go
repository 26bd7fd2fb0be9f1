package hub

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// besides are the names of files that are written beside their places: ".NAME.PROCESS-RANDOM.tmp".
var besides = regexp.MustCompile(`^\..*\.(\d+)-[0-9a-f]{8}\.tmp$`)

// RemoveLeftovers takes away what processes that died were writing in the folders and below. What a process that lives is
// writing stays, this one's too.
func RemoveLeftovers(dirs ...string) {
	for _, dir := range dirs {
		filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil
			}
			if m := besides.FindStringSubmatch(e.Name()); m != nil {
				if pid, err := strconv.Atoi(m[1]); err == nil && !lives(pid) {
					os.Remove(path)
				}
			}
			return nil
		})
	}
}
