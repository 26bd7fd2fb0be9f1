// Package frontend is what the outside talks to. It knows the graph and nothing of tensors: what it needs from the
// engine stands here as small interfaces, which cmd implements and hands over.
package frontend

// System is what the engine runs on. Sizes are bytes.
type System struct {
	Version  string // graphrun's own
	OS       string // GOOS/GOARCH
	Go       string // version of the toolchain that built it
	RAMTotal int64  // of the machine, 0 if it does not say
	RAMFree  int64  // what a new program could have, 0 if the machine does not say
	Devices  []Device
}

// Device is one place to compute. For the CPU the memory is the machine's.
type Device struct {
	Name        string // "cpu avx2, 2 threads"
	Type        string // "cpu", "cuda"
	MemoryTotal int64
	MemoryFree  int64
	InUse       int64 // of it, by models and activations of this process
}

// Stats tells what the engine runs on and what it uses now. Safe for concurrent calls.
type Stats interface {
	Stats() System
}

// Freer gives memory back. It may be called while a workflow runs: what the run still holds stays.
type Freer interface {
	// Free gives back what no run uses, and with models the loaded models, with the cached results that hold them.
	Free(models bool)
}

// Models lists the model files that loaders can find. Safe for concurrent calls.
type Models interface {
	// ModelFolders are the kinds of models: "checkpoints", "diffusers", ...
	ModelFolders() []string
	// ModelFiles lists the files of one kind, sorted, relative to their folder and with forward slashes.
	// It fails when the kind is not one of ModelFolders.
	ModelFiles(folder string) ([]string, error)
	// ModelDirs are the folders that files of one kind are searched in, in order.
	ModelDirs(folder string) []string
	// ModelPath is the path of a file that ModelFiles lists.
	ModelPath(folder, name string) (string, error)
}

// Engine is all that the server needs from the program that runs it.
type Engine interface {
	Stats
	Freer
	Models
}
