package bridge

import (
	"errors"
	"fmt"
	"os"

	"graphrun/graph"
	"graphrun/runtime/hub"
)

// InputFile is the path of the file that an input names, possibly with its folder's kind behind it, such as "a.png [output]".
// what is what the node reads: "image", say.
func InputFile(e *graph.Env, input, what, name string) (string, error) {
	f, err := graph.Service[*hub.Folders](e)
	if err != nil {
		return "", err
	}
	path, err := f.Annotated(name)
	if err == nil {
		var info os.FileInfo
		if info, err = os.Stat(path); err == nil && !info.Mode().IsRegular() {
			err = errors.New(path + " is a folder, a pipe or a device")
		}
	}
	if err != nil {
		return "", &graph.Error{
			Kind: graph.KindCustom, Input: input, Err: &invalidFile{what, name, err}, Need: "a file in " + f.Input, Have: fmt.Sprintf("%s (%v)", name, err),
			Hint: "put the file there, or name another",
		}
	}
	return path, nil
}

// invalidFile is said in the words that clients of ComfyUI know.
type invalidFile struct {
	what, name string
	cause      error
}

func (e *invalidFile) Error() string { return "Invalid " + e.what + " file: " + e.name }
func (e *invalidFile) Unwrap() error { return e.cause }
