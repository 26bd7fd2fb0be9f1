package workflow

import (
	"fmt"
	"runtime"
	"strings"
)

// A second goroutine reads the rest of a list of nodes after so many, if so much text follows; once in a file.
const (
	manyNodes = 200
	farAhead  = 1 << 20
)

// ahead reads the nodes of a list from a place on where one seems to begin. Whoever reads the list from its start takes
// them over when it comes to that very place, and otherwise reads on as if there were none.
type ahead struct {
	walker
	from  int
	nodes []*node
	done  chan struct{}
}

// readAhead lets another goroutine begin where the text after the middle looks as it does here, between one node, which
// ends at a place, and the next, before which w is: the same white space and the same key. It does nothing where that is
// not worth while.
func (w *walker) readAhead(end int) {
	if w.ahead != nil || len(w.text)-w.at < farAhead || w.text[w.at] != '{' || runtime.GOMAXPROCS(0) < 2 {
		return
	}
	first := walker{text: w.text, at: w.at}
	if !first.enter('}') {
		return
	}
	if _, _, ok := first.key(); !ok {
		return
	}
	seam, middle := w.text[end-1:first.at], w.at+(len(w.text)-w.at)*2/5 // what follows the nodes is shorter, as a rule
	at := strings.Index(w.text[middle:], seam)
	if at < 0 {
		return
	}
	from := middle + at + w.at - (end - 1)
	a := &ahead{walker: walker{text: w.text, at: from, depth: w.depth, lists: maxInside / 2, ahead: &ahead{}}, from: from, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		defer func() {
			if problem := recover(); problem != nil { // here it would end the program; the first reader meets it where it can be told
				a.err = fmt.Errorf("%v", problem)
			}
		}()
		for more := true; more; {
			a.nodes = append(a.nodes, a.node())
			if more = a.next() == ','; more {
				a.at++
			}
		}
	}()
	w.ahead = a
}

// takeOver puts w behind what was read ahead, if it is at its beginning and all went well, and returns that.
func (w *walker) takeOver() []*node {
	a := w.ahead
	if a == nil || w.next() == 0 || w.at != a.from {
		return nil
	}
	<-a.done
	if a.err != nil || w.lists+a.lists-maxInside/2 > maxInside {
		return nil // who reads it once more says what is wrong
	}
	w.at, w.lists, w.fixes = a.at, w.lists+a.lists-maxInside/2, append(w.fixes, a.fixes...)
	return a.nodes
}
