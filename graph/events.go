package graph

import "time"

// Event is one of the structs of this file. NodeID is the node's own id, an ephemeral one if an expansion made it;
// Display is the node of the prompt that stands for it. At is when it happened: of nodes that run at once all but one are
// told of later.
type Event interface{ event() }

// Start is sent once, before any node runs.
type Start struct{ RunID string }

// Cached lists the nodes of the prompt whose results are already known.
type Cached struct{ Nodes []string }

// Executing says that a node begins; again, when CheckLazy asked for inputs that are there now.
// Parent is the node that made it, if an expansion did.
type Executing struct {
	NodeID, Display, Parent, Class, Title string
	At                                    time.Time
}

// Progress says how far a node is: Step of Total in a phase it names.
type Progress struct {
	NodeID, Display, Phase string
	Step, Total            int
	At                     time.Time
}

// Preview is what a node shows while it runs: a picture in a file format, or text. A picture belongs to the Progress of the
// node that comes next.
type Preview struct {
	NodeID, Display, MIME string
	Data                  []byte
}

// Executed says that a node is done. UI is nil for nodes that show nothing; Cached if the node did not run for it.
type Executed struct {
	NodeID, Display string
	UI              UI
	Cached          bool
	At              time.Time
}

// Blocked says that a node was not called because an input is a Blocker with a message. The run goes on.
type Blocked struct{ NodeID, Display, Class, Message string }

// Failed is the last event of a run in which a node failed. Executed lists the nodes that ran, as in Interrupted.
type Failed struct {
	Err      *Error
	Executed []string
}

// Interrupted says that the run's context ended while NodeID, a node of the prompt, was running, or before it began.
// Executed lists the nodes that ran to their end in this run.
type Interrupted struct {
	NodeID   string
	Executed []string
}

// Done is the last event of a run that did not fail.
type Done struct{ RunID string }

func (Start) event()       {}
func (Cached) event()      {}
func (Executing) event()   {}
func (Progress) event()    {}
func (Preview) event()     {}
func (Executed) event()    {}
func (Blocked) event()     {}
func (Failed) event()      {}
func (Interrupted) event() {}
func (Done) event()        {}
