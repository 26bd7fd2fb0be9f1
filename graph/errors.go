package graph

import (
	"errors"
	"fmt"
	"strings"

	"graphrun/graph/python"
)

// Kind is the code of an error. Where ComfyUI has a code for the case, it is that one.
type Kind string

// The kinds of errors; kinds says what each means.
const (
	KindBadFile       Kind = "bad_file"
	KindNoPrompt      Kind = "no_prompt"
	KindInvalidPrompt Kind = "invalid_prompt"
	KindNoOutputs     Kind = "prompt_no_outputs"
	KindDuplicateID   Kind = "duplicate_id"
	KindMissing       Kind = "required_input_missing"
	KindBadLink       Kind = "bad_linked_input"
	KindLinkNowhere   Kind = "exception_during_validation"
	KindTypeMismatch  Kind = "return_type_mismatch"
	KindBadValue      Kind = "invalid_input_type"
	KindBadSet        Kind = "bad_assignment"
	KindTooSmall      Kind = "value_smaller_than_min"
	KindTooBig        Kind = "value_bigger_than_max"
	KindNotInList     Kind = "value_not_in_list"
	KindCustom        Kind = "custom_validation_failed"
	KindCycle         Kind = "dependency_cycle"
	KindNoService     Kind = "no_service"
	KindDuplicateNode Kind = "duplicate_node"
	KindExpansion     Kind = "bad_expansion"
	KindOutOfMemory   Kind = "out_of_memory"
	KindNodeFailed    Kind = "node_failed"
	KindNodePanicked  Kind = "node_panicked"
	KindInterrupted   Kind = "interrupted"
	KindUnsupported   Kind = "unsupported"
	KindLocked        Kind = "lock_mismatch"
)

var kinds = map[Kind]string{
	KindBadFile:       "not a workflow file",
	KindNoPrompt:      "no prompt is given",
	KindInvalidPrompt: "the prompt cannot be executed",
	KindNoOutputs:     "the prompt has no outputs",
	KindDuplicateID:   "two nodes have one id",
	KindMissing:       "a required input is missing",
	KindBadLink:       "a link must be [node id, output slot]",
	KindLinkNowhere:   "the link leads nowhere",
	KindTypeMismatch:  "the linked output has another type",
	KindBadValue:      "the value cannot be read as the input's type",
	KindBadSet:        "the input cannot be set",
	KindTooSmall:      "the value is below the minimum",
	KindTooBig:        "the value is above the maximum",
	KindNotInList:     "the value is not in the list",
	KindCustom:        "the node refuses its inputs",
	KindCycle:         "the links form a cycle",
	KindNoService:     "a service is not installed",
	KindDuplicateNode: "an expansion has a node whose id is taken",
	KindExpansion:     "the node's expansion cannot be used",
	KindOutOfMemory:   "there is not enough memory",
	KindNodeFailed:    "the node failed",
	KindNodePanicked:  "the node crashed",
	KindInterrupted:   "interrupted",
	KindUnsupported:   "not supported yet",
	KindLocked:        "not what the lock file says",
}

// Error is what goes wrong with a prompt or in a run. Fields that do not apply are empty.
type Error struct {
	Kind               Kind
	Node, Class, Title string // which node
	Within             string // which node of its expansion: id and class
	Input              string // which of its inputs
	Need, Have         string // what the input asks for, what it got
	Hint               string // the remedy
	Detail             string // for logs: the stack of a crashed node
	Err                error  // the cause

	// What ComfyUI's node_errors show besides.
	port     *Port
	value    any
	received string           // type of the linked output
	choices  []string         // of a combo
	given    []string         // inputs that the node's own check got, if it named none
	raised   python.Error     // the exception in its place
	inner    *Error           // of an exception: input, port and value of the link that led there
	inputs   map[string][]any // what a node that failed got, for people
}

// Error names node, input, need, have and the remedy, in one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Node != "" || e.Class != "" {
		b.WriteString(strings.TrimRight("node "+e.Node, " "))
		if e.Class != "" {
			fmt.Fprintf(&b, " (%s)", e.Class)
		}
		if e.Title != "" && e.Title != e.Class {
			fmt.Fprintf(&b, " %q", e.Title)
		}
		if e.Within != "" {
			b.WriteString(", in it node " + e.Within)
		}
		if e.Input != "" {
			b.WriteString(", input " + e.Input)
		}
		b.WriteString(": ")
	}
	return b.String() + e.Message()
}

// Message is the error's text without the node and the input.
func (e *Error) Message() string {
	var b strings.Builder
	if e.Kind != KindNodeFailed || e.Err == nil {
		b.WriteString(kinds[e.Kind])
		if e.Err != nil {
			b.WriteString(": ")
		}
	}
	if e.Err != nil {
		b.WriteString(Clip(e.Err.Error()))
	}
	if e.Need != "" {
		b.WriteString("; need " + Clip(e.Need))
	}
	if e.Have != "" {
		b.WriteString("; have " + Clip(e.Have))
	}
	if e.Hint != "" {
		b.WriteString("; " + Clip(e.Hint))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// explained is an error of the world outside that knows what was needed, what was there and the remedy; what is the
// rest of its text.
type explained interface {
	error
	Explain() (what, need, have, hint string)
}

// asError returns err as an *Error of the node, wrapping it if it is of another type or speaks of another node.
func asError(err error, node, class, title string) *Error {
	c := Error{Kind: KindNodeFailed, Err: err}
	if e, ok := err.(*Error); ok && (e.Node == "" || e.Node == node) {
		c = *e
	}
	c.Node, c.Class, c.Title = node, class, title
	if c.Kind == KindNodeFailed && isOutOfMemory(err) {
		c.Kind = KindOutOfMemory
	}
	c.explain()
	return &c
}

// explain takes need, have and the remedy out of the cause, where the error does not say them itself.
func (e *Error) explain() {
	var x explained
	if e.Need != "" || e.Hint != "" || !errors.As(e.Err, &x) {
		return
	}
	what, need, have, hint := x.Explain()
	around, whole := strings.CutSuffix(e.Err.Error(), x.Error())
	if !whole {
		return // said in other words on the way
	}
	if e.Have == "" {
		e.Have = have
	}
	e.Need, e.Hint, e.Err = need, hint, &cause{strings.TrimSuffix(around+what, ": "), e.Err}
}

// cause is an error whose text has been taken apart.
type cause struct {
	text string
	error
}

func (c *cause) Error() string { return c.text }
func (c *cause) Unwrap() error { return c.error }

// Clip keeps a hostile text from filling the screen.
func Clip(s string) string {
	const most = 1000
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes in all)", strings.ToValidUTF8(s[:most], ""), len(s))
}
