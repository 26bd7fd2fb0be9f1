package graph

// Event is one of the structs of this file.
type Event interface{ event() }

// Start is sent once, before any node runs.
type Start struct{ RunID string }

// Cached lists the nodes whose results are already known.
type Cached struct{ Nodes []string }

// Executing says that a node begins.
type Executing struct{ NodeID, Class, Title string }

// Progress says how far a node is: Step of Total in a phase it names.
type Progress struct {
	NodeID, Phase string
	Step, Total   int
}

// Executed says that a node is done. UI is nil for nodes that show nothing; Cached if the node did not run for it.
type Executed struct {
	NodeID string
	UI     UI
	Cached bool
}

// Failed says that a node failed and the run ends.
type Failed struct{ Err *Error }

// Interrupted says that the run's context ended while NodeID was running, or before it began.
type Interrupted struct{ NodeID string }

// Done is the last event of a run that did not fail.
type Done struct{ RunID string }

func (Start) event()       {}
func (Cached) event()      {}
func (Executing) event()   {}
func (Progress) event()    {}
func (Executed) event()    {}
func (Failed) event()      {}
func (Interrupted) event() {}
func (Done) event()        {}
