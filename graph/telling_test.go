package graph

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Two nodes run at once, and the second is done first: the listener hears of one after the other, of the second's progress
// only the begin and the end of each phase, when they were, and of an output that only needs the first in between.
func TestTellsInTurn(t *testing.T) {
	m := newMaker(t)
	second := make(chan struct{})
	m.node("First", nil, func(c *Call, _ []any) (Output, error) {
		c.Progress("sample", 1, 2)
		<-second
		c.Progress("sample", 2, 2)
		return Output{Values: []any{1}}, nil
	})
	m.node("Second", func(s *Spec) { s.Uses = IO }, func(c *Call, _ []any) (Output, error) {
		for i := range 5 {
			c.Progress("load", i+1, 5)
			c.Preview("text/plain", nil)
		}
		for i := range 5 {
			c.Preview("image/png", nil)
			c.Progress("decode", i+1, 5)
		}
		time.Sleep(20 * time.Millisecond)
		close(second)
		return Output{Values: []any{2}}, nil
	})
	var have []string
	begun := map[string]time.Time{}
	_, _, err := m.run(Options{Events: func(e Event) {
		switch e := e.(type) {
		case Executing:
			have = append(have, e.NodeID)
			begun[e.NodeID] = e.At
		case Progress:
			have = append(have, fmt.Sprint(e.NodeID, " at ", e.Step))
		case Preview:
			have = append(have, e.NodeID+" shows "+e.MIME)
		case Executed:
			have = append(have, e.NodeID+" ended")
			if took := e.At.Sub(begun[e.NodeID]); e.NodeID == "b" && took < 20*time.Millisecond {
				t.Errorf("b took %v, as it is told", took)
			}
		}
	}}, m.prompt("a First", "b Second", "x Show value=a.0", "y Show value=b.0"))
	want := []string{"a", "a at 1", "a at 2", "a ended", "x", "x ended", "b", "b at 1", "b at 5", "b shows text/plain", "b at 1", "b shows image/png", "b at 5", "b ended", "y", "y ended"}
	if err != nil || !slices.Equal(have, want) {
		t.Errorf("%v\nhave %v\nwant %v", err, have, want)
	}
}
