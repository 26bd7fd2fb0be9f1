package logic

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"graphrun/graph"
)

// A loop is the nodes between a StartLoop and an EndLoop. The nodes of the prompt are its first round; each further one
// is a copy of them, made when the round before is done. EndLoop itself only begins this: its inputs are not computed for
// it, so that a loop of no rounds runs nothing. The work is done by a chain of loopRound nodes, one a round.

func init() {
	m := newer("StartLoop", "Start Loop", "utilities/looping", "nodes_loop",
		"Begins a loop that ends in End Loop: what is between runs once a round. Gives the number of the round, the item of the list, and the value that the round before handed on.")
	m.Hidden = []string{"DYNPROMPT", "UNIQUE_ID", "EXECUTION_LIST"}
	graph.Register[StartLoop](m)
	m = newer("EndLoop", "End Loop", "utilities/looping", "nodes_loop",
		"Ends a loop. Gives the value of the last round, or with accumulate a list of those of all rounds. What is connected to terminations runs in every round.")
	m.Hidden = []string{"UNIQUE_ID", "EXECUTION_LIST"}
	graph.Register[EndLoop](m)
	graph.Register[loopRound](graph.Meta{Name: "graphrun.LoopRound", Category: "utilities/looping", Internal: true, Variadic: true, NotIdempotent: true, Description: "A round of a loop."})
	graph.Register[loopValues](graph.Meta{Name: "graphrun.LoopValues", Category: "utilities/looping", Internal: true, Variadic: true, Description: "What the rounds of a loop gave."})
}

// mostRounds bounds a loop: more is a mistake.
const mostRounds = 100_000

// loopMode is what a loop counts.
type loopMode struct {
	graph.Choice
	Simple struct {
		NumIterations int `default:"4" min:"0"`
	}
	For struct {
		StartIterationIndex int    `default:"0"`
		MaxIteration        uint64 `default:"4" max:"0xffffffffffffffff"`
		Step                int    `default:"1" min:"1"`
	} `key:"For"`
	List struct {
		List graph.List[graph.Any] `match:"list_item"`
	} `key:"List"`
}

// rounds are the index of the first round, the step from one to the next, and how many there are.
func (m loopMode) rounds() (first, step, n int, err error) {
	switch m.Key {
	case "For":
		first, step = m.For.StartIterationIndex, max(m.For.Step, 1)
		if last := int(min(m.For.MaxIteration, math.MaxInt)); last > first {
			n = (last-first-1)/step + 1
			if first < 0 && last-first < 0 { // beyond an int
				n = math.MaxInt
			}
		}
	case "List":
		step, n = 1, len(m.List.List)
	default:
		step, n = 1, max(m.Simple.NumIterations, 0)
	}
	if n > mostRounds {
		err = &graph.Error{Kind: graph.KindTooBig, Input: "mode", Need: fmt.Sprintf("a loop of at most %d rounds", mostRounds), Have: fmt.Sprint(n)}
	}
	return first, step, n, err
}

// StartLoop begins a loop.
type StartLoop struct {
	Mode                  loopMode
	CacheIterations       bool                  `default:"false" advanced:"true"`
	ParentIteration       *int                  `forceinput:"true"`
	InitialIterationValue graph.List[graph.Any] `match:"carried_value" optional:"true"`
}

type started struct {
	Index   graph.Any `out:"iteration_index" types:"INT"`
	IsFirst graph.Any `out:"is_first" types:"BOOLEAN"`
	IsLast  graph.Any `out:"is_last" types:"BOOLEAN"`
	Item    graph.Any `out:"list_item" match:"list_item"`
	Carried graph.Any `out:"current_iteration_value" match:"carried_value"`
}

// The outputs of StartLoop by slot.
const (
	slotIndex = iota
	slotFirst
	slotLast
	slotItem
	slotCarried
)

// Run gives the first round; a loop of no rounds blocks what is behind it.
func (n StartLoop) Run(*graph.Call) (out started, err error) {
	first, _, rounds, err := n.Mode.rounds()
	if err != nil {
		return out, err
	}
	if rounds == 0 {
		return out, graph.Blocker{}
	}
	out.Index.Value, out.IsFirst.Value, out.IsLast.Value = first, true, rounds == 1
	if n.Mode.Key == "List" {
		out.Item = n.Mode.List.List[0]
	}
	if len(n.InitialIterationValue) > 0 {
		out.Carried = n.InitialIterationValue[0]
	}
	return out, nil
}

// EndLoop ends a loop.
type EndLoop struct {
	Accumulate         graph.List[bool]                      `default:"false"`
	OutputValue        graph.Lazy[graph.Any]                 `match:"output_value" optional:"true" quiet:"true"`
	NextIterationValue graph.Lazy[graph.Any]                 `match:"carried_value" optional:"true" quiet:"true"`
	Terminations       graph.Autogrow[graph.Lazy[graph.Any]] `prefix:"termination" min:"0" max:"50" optional:"true" quiet:"true"`
}

type ended struct {
	Outputs graph.List[graph.Any] `out:"outputs" match:"output_value"`
	Expand  *graph.Subgraph
}

// CheckLazy needs nothing: the rounds are computed by what Run makes.
func (EndLoop) CheckLazy(*graph.Call) ([]string, error) { return nil, nil }

// Run begins the chain of rounds.
func (n EndLoop) Run(c *graph.Call) (ended, error) {
	start, err := pair(c.DynPrompt, c.NodeID, map[string]string{})
	if err != nil {
		return ended{}, err
	}
	inputs := []graph.Input{
		{Name: "end", Value: c.NodeID},
		{Name: "start", Value: start},
		{Name: "round", Value: 0},
		{Name: "accumulate", Value: len(n.Accumulate) > 0 && n.Accumulate[0]},
	}
	for _, in := range c.DynPrompt.Node(start).Inputs {
		if in.Name == "mode" || strings.HasPrefix(in.Name, "mode.") {
			inputs = append(inputs, in)
		}
	}
	g := c.Subgraph()
	g.Results = []any{graph.Link(g.Add("graphrun.LoopRound", "rounds", inputs...), 0)}
	return ended{Expand: g}, nil
}

// loopRound runs when a round is done, whose nodes it is linked to, and makes the next.
type loopRound struct {
	Mode       loopMode
	Start      string `unlisted:"true"`
	End        string `unlisted:"true"`
	Round      int    `unlisted:"true"` // rounds that are done
	Accumulate bool   `unlisted:"true"`
}

// Run makes the nodes of the round and the loopRound behind it; after the last round, what gathers the results.
func (n loopRound) Run(c *graph.Call) (ended, error) {
	first, step, rounds, err := n.Mode.rounds()
	if err != nil || rounds == 0 {
		return ended{}, err
	}
	if err := c.Err(); err != nil {
		return ended{}, err
	}
	l := loop{d: c.DynPrompt, start: n.Start, end: n.End, first: first, step: step, rounds: rounds}
	g := c.Subgraph()
	next := func(round int) {
		inputs := slices.Clone(c.DynPrompt.Node(c.NodeID).Inputs)
		inputs = slices.DeleteFunc(inputs, func(in graph.Input) bool { return in.Name == "round" || in.Name[0] == '+' })
		inputs = append(inputs, graph.Input{Name: "round", Value: round + 1})
		for _, in := range c.DynPrompt.Node(n.End).Inputs {
			if _, _, ok := graph.AsLink(in.Value); ok && in.Name != "accumulate" {
				inputs = append(inputs, graph.Input{Name: "+" + in.Name, Value: l.inRound(in.Value, round)})
			}
		}
		id := g.Add("graphrun.LoopRound", "", inputs...)
		g.Results = []any{graph.Link(id, 0)}
	}
	switch {
	case n.Round == 0:
		next(0)
	case n.Round < rounds:
		l.copyRound(g, n.Round)
		next(n.Round)
	default:
		value, linked := c.DynPrompt.Node(n.End).Input("output_value")
		if !linked {
			return ended{}, nil
		}
		var inputs []graph.Input
		for round := range rounds {
			if n.Accumulate || round == rounds-1 {
				v := l.inRound(value, round)
				if _, _, ok := graph.AsLink(v); !ok {
					v = graph.Link(g.Add("CreateList", "", graph.Input{Name: "inputs.input0", Value: v}), 0)
				}
				inputs = append(inputs, graph.Input{Name: fmt.Sprint("+", round), Value: v})
			}
		}
		g.Results = []any{graph.Link(g.Add("graphrun.LoopValues", "values", inputs...), 0)}
	}
	return ended{Expand: g}, nil
}

// loopValues gathers its links into a list.
type loopValues struct {
	Lists graph.List[bool] `unlisted:"true"` // makes it take lists whole
}

// Run appends all values of all links in their order.
func (loopValues) Run(c *graph.Call) (out ended, err error) {
	for _, in := range c.Undeclared {
		list, _ := in.Value.([]any)
		for _, v := range list {
			out.Outputs = append(out.Outputs, graph.Any{Value: v})
		}
	}
	return out, nil
}

// loop is a pair of StartLoop and EndLoop in the graph of a run.
type loop struct {
	d                   *graph.DynPrompt
	start, end          string
	first, step, rounds int
	order               []string // of what EndLoop needs, once nodes was called
	body                map[string]bool
}

// name is the id of a node of the body in a round.
func (l *loop) name(id string, round int) string {
	if round == 0 {
		return id
	}
	return fmt.Sprintf("%s.%d.%s", l.end, round, id)
}

// nodes finds the body: what depends on StartLoop and what EndLoop depends on.
func (l *loop) nodes() map[string]bool {
	if l.body == nil {
		l.order, l.body = upstream(l.d, l.end), map[string]bool{}
		for _, id := range slices.Backward(l.order) { // sources first
			for _, from := range sources(l.d, id) {
				if id != l.end && id != l.start && (from == l.start || l.body[from]) {
					l.body[id] = true
				}
			}
		}
	}
	return l.body
}

// inRound is an input's value in a round: links into the body lead to the round's copy.
func (l *loop) inRound(v any, round int) any {
	id, slot, ok := graph.AsLink(v)
	switch {
	case !ok || round == 0:
		return v
	case l.nodes()[id]:
		return graph.Link(l.name(id, round), slot)
	case id != l.start:
		return v
	case slot == slotIndex:
		return l.first + round*l.step
	case slot == slotFirst:
		return false
	case slot == slotLast:
		return round == l.rounds-1
	case slot == slotItem:
		return graph.Link(l.name(l.start+".item", round), 0)
	}
	if next, ok := l.d.Node(l.end).Input("next_iteration_value"); ok {
		return l.inRound(next, round-1)
	}
	initial, _ := l.d.Node(l.start).Input("initial_iteration_value")
	return initial
}

// copyRound makes the nodes of a round.
func (l *loop) copyRound(g *graph.Subgraph, round int) {
	if list, ok := l.d.Node(l.start).Input("mode.list"); ok {
		g.Nodes = append(g.Nodes, graph.SubNode{ID: l.name(l.start+".item", round), Node: &graph.Node{
			Class: "GetItemFromList", Inputs: []graph.Input{{Name: "list", Value: list}, {Name: "index", Value: round}},
		}})
	}
	body := l.nodes()
	for _, id := range l.order {
		if !body[id] {
			continue
		}
		node := *l.d.Node(id)
		node.Inputs = slices.Clone(node.Inputs)
		for i := range node.Inputs {
			node.Inputs[i].Value = l.inRound(node.Inputs[i].Value, round)
		}
		g.Nodes = append(g.Nodes, graph.SubNode{ID: l.name(id, round), Node: &node, Display: l.d.Display(id)})
	}
}

func sources(d *graph.DynPrompt, id string) (ids []string) {
	if n := d.Node(id); n != nil {
		for _, in := range n.Inputs {
			if from, _, ok := graph.AsLink(in.Value); ok && d.Node(from) != nil {
				ids = append(ids, from)
			}
		}
	}
	return ids
}

// upstream lists all that the node needs and the node itself, consumers before their sources.
func upstream(d *graph.DynPrompt, id string) (order []string) {
	type frame struct {
		id   string
		from []string
	}
	seen := map[string]bool{id: true}
	stack := []frame{{id, sources(d, id)}}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if len(top.from) == 0 {
			order = append(order, top.id)
			stack = stack[:len(stack)-1]
			continue
		}
		next := top.from[0]
		if top.from = top.from[1:]; !seen[next] {
			seen[next] = true
			stack = append(stack, frame{next, sources(d, next)})
		}
	}
	slices.Reverse(order)
	return order
}

// pair finds the StartLoop of an EndLoop: the innermost one upstream that no other EndLoop upstream closes.
func pair(d *graph.DynPrompt, end string, known map[string]string) (string, error) {
	closed := map[string]bool{}
	var open []string
	all := upstream(d, end)
	for _, id := range slices.Backward(all) { // inner ends first
		if d.Node(id).Class == "EndLoop" && id != end {
			start, ok := known[id]
			if !ok {
				var err error
				if start, err = pair(d, id, known); err != nil {
					return "", err
				}
				known[id] = start
			}
			closed[start] = true
		}
	}
	for _, id := range all {
		if d.Node(id).Class == "StartLoop" && !closed[id] {
			open = append(open, id)
		}
	}
	var innermost []string
	for _, s := range open {
		within := slices.ContainsFunc(open, func(t string) bool { return t != s && slices.Contains(upstream(d, t), s) })
		if !within {
			innermost = append(innermost, s)
		}
	}
	if len(innermost) != 1 {
		return "", &graph.Error{
			Kind: graph.KindBadValue, Need: "one Start Loop that it ends", Have: fmt.Sprintf("%d upstream", len(innermost)),
			Hint: "connect the loop's last node; for a loop in a loop, connect parent_iteration of the inner Start Loop",
		}
	}
	return innermost[0], nil
}
