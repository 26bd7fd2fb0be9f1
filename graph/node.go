// Package graph turns a prompt (nodes, their literal inputs and their links) into a checked, cached, cancellable run.
//
// A node is a struct whose exported fields are its inputs in widget order and whose Run returns its outputs; Register
// derives its schema once, at start-up. The package knows no tensor and imports nothing of the project: what flows
// along links is opaque to it, and what a node needs of the world reaches it as typed services of an Env.
package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"time"
)

// Runner is a node: its exported fields are the inputs, Run's result the outputs.
//
// Out is one value, a struct of outputs (one exported field each, named by the tag `out` or its type's name; a field of
// type UI is no output but what the editor shows), a List of values, or a UI alone.
type Runner[Out any] interface {
	Run(*Call) (Out, error)
}

// Meta says of a node what its struct cannot.
type Meta struct {
	Name          string   // the class_type in workflow files
	Title         string   // the name shown; Name if empty
	Category      string   // the menu it is in, levels separated by "/"
	Description   string   // one paragraph for the editor
	Module        string   // ComfyUI's python_module; "nodes" if empty
	Hidden        []string // hidden inputs announced in the schema, see hiddenInputs; Run has them in Call
	Later         bool     // of a release after 0.3.64: its schema says whether it takes lists
	Internal      bool     // made by other nodes alone: no schema tells of it
	NewStyle      bool     // declared in ComfyUI's newer way: its schema spells combos, texts and hidden inputs otherwise
	Intermediate  bool     // what it shows is sent though it is no output node
	Output        bool     // runs for its side effect
	Uses          Resource // what the node is busy with: how many such nodes run at once
	Async         bool     // it mostly waits: runs beside all others, and its calls for a list beside each other
	Variadic      bool     // takes undeclared links: Call.Undeclared
	Deprecated    bool
	Experimental  bool
	NotIdempotent bool // equal inputs do not give equal outputs: never shared with another node
}

// Resource is what a node is busy with while it runs. Nodes that are ready run at once as far as there is room.
type Resource uint8

// The resources, see Options.Room for how many nodes use each at once.
const (
	CPU    Resource = iota // computes
	Device                 // computes with all of the device that models run on
	IO                     // reads or writes files, or the network
)

// hiddenInputs are what Meta.Hidden may announce, and where Run finds them.
var hiddenInputs = map[string]string{
	"PROMPT": "Call.Prompt", "EXTRA_PNGINFO": "Call.ExtraPNGInfo", "UNIQUE_ID": "Call.NodeID", "DYNPROMPT": "Call.DynPrompt",
	"EXECUTION_LIST":       "no node: the schedule is the executor's own",
	"AUTH_TOKEN_COMFY_ORG": "Call.AuthToken", "API_KEY_COMFY_ORG": "Call.APIKey",
}

// Call is what Run gets besides its inputs: what every node needs and no node owns.
type Call struct {
	context.Context // cancelled when the run is interrupted

	NodeID, Class, Title string                     // NodeID is the ephemeral id in an expansion
	Undeclared           []Input                    // of a variadic node: the values of links to inputs it does not declare
	Prompt               *Prompt                    // the whole prompt, converted by validation
	DynPrompt            *DynPrompt                 // the same with expansions
	ExtraPNGInfo         map[string]json.RawMessage // what the client sent to be kept in files, e.g. "workflow"
	AuthToken, APIKey    string                     // comfy.org credentials that the client sent for the run; mostly empty
	Env                  *Env

	callee *callee
	index  int // of the call among those for the values of a list
	graphs int // expansions begun
}

// Progress tells the run's listener that step of total steps of a phase ("load", "sample", ...) are done.
func (c *Call) Progress(phase string, step, total int) {
	c.tell(func(t *task) Event {
		return Progress{NodeID: t.id, Display: t.displayID(), Phase: phase, Step: min(step, total), Total: total, At: time.Now()}
	})
}

// Preview shows the run's listener something while the node runs: a picture in a file format ("image/png",
// "image/jpeg"), which belongs to the progress that is told next, or a line of text ("text/plain"). data must not change
// afterwards.
func (c *Call) Preview(mime string, data []byte) {
	c.tell(func(t *task) Event { return Preview{NodeID: t.id, Display: t.displayID(), MIME: mime, Data: data} })
}

func (c *Call) tell(event func(t *task) Event) {
	if c.callee == nil || c.callee.run.opt.Events == nil {
		return
	}
	r, t := c.callee.run, c.callee.task
	r.events.Lock()
	defer r.events.Unlock()
	if t.open { // a goroutine that the node left behind tells nothing
		r.tell(t, event(t))
	}
}

// UI is what an output node shows: per key ("images", "text") a list of JSON values.
type UI map[string][]any

// Env holds the typed services (folders, engine, ...) that the command installs and nodes use.
// All Provide calls come before the first run; after that an Env is read-only and safe to share.
type Env struct{ services map[reflect.Type]any }

// NewEnv returns an Env without services.
func NewEnv() *Env { return &Env{services: map[reflect.Type]any{}} }

// Clone is an Env with the same services, to which others can be added.
func (e *Env) Clone() *Env { return &Env{maps.Clone(e.services)} }

// Provide installs v as the service of type T, replacing an earlier one.
func Provide[T any](e *Env, v T) { e.services[reflect.TypeFor[T]()] = v }

// Service returns the service of type T, or an *Error of KindNoService. A nil Env has no services.
func Service[T any](e *Env) (T, error) {
	if e != nil {
		if v, ok := e.services[reflect.TypeFor[T]()]; ok {
			return v.(T), nil
		}
	}
	var zero T
	t := reflect.TypeFor[T]()
	return zero, &Error{
		Kind: KindNoService, Need: t.String(), Have: "an environment without it",
		Hint: fmt.Sprintf("install it with graph.Provide[%s] before the run", t),
	}
}
