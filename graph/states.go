package graph

import "sync"

// NodeState is how far a node of a run is, as ComfyUI's progress_state shows it.
type NodeState struct {
	NodeID, Display string
	State           string // "running", "finished" or "error"; a node that has not begun has none
	Value, Max      int    // 0 of 1 at first
}

// States keeps the state of every node of a run that has begun. Its Add is a listener of events. The zero value is
// ready; it is safe for concurrent use.
type States struct {
	mu    sync.Mutex
	at    map[string]int
	nodes []NodeState // in the order in which they began
}

// Add takes an event. It returns the state of the node that it is about, and whether it changed.
func (s *States) Add(e Event) (n NodeState, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e := e.(type) {
	case Executing:
		return s.set(NodeState{e.NodeID, e.Display, "running", 0, 1})
	case Progress:
		return s.set(NodeState{e.NodeID, e.Display, "running", e.Step, e.Total})
	case Executed:
		n = NodeState{e.NodeID, e.Display, "finished", 1, 1}
		if i, known := s.at[e.NodeID]; known {
			n.Value, n.Max = s.nodes[i].Max, s.nodes[i].Max
		}
		return s.set(n)
	case Failed:
		for i := range s.nodes {
			if s.nodes[i].Display == e.Err.Node && s.nodes[i].State == "running" {
				n, changed = s.nodes[i], true
				n.State = "error"
				s.nodes[i] = n
			}
		}
	}
	return n, changed
}

func (s *States) set(n NodeState) (NodeState, bool) {
	i, known := s.at[n.NodeID]
	if !known {
		if s.at == nil {
			s.at = map[string]int{}
		}
		i = len(s.nodes)
		s.at[n.NodeID], s.nodes = i, append(s.nodes, NodeState{})
	}
	changed := s.nodes[i] != n
	s.nodes[i] = n
	return n, changed
}

// All lists the states of the nodes that have begun, in that order.
func (s *States) All() []NodeState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]NodeState(nil), s.nodes...)
}
