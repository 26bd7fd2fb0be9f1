package weights

import (
	"fmt"
	"strings"
)

// Error is a file that cannot be read or written as safetensors: which file and tensor, what the format needs, what
// is there, and what to do.
type Error struct {
	File   string // path or name of the file
	Tensor string // name of the tensor, if one is to blame
	Need   string // what the format or the caller needs
	Have   string // what is there
	Remedy string // what to do about it
	Err    error  // the cause, if it is another error
}

// Error tells everything in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Tensor != "" {
		fmt.Fprintf(&b, ": tensor %q", clip(e.Tensor))
	}
	if e.Need != "" {
		fmt.Fprintf(&b, ": need %s", e.Need)
	}
	if e.Have != "" {
		fmt.Fprintf(&b, ", have %s", e.Have)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Remedy != "" {
		fmt.Fprintf(&b, " (%s)", e.Remedy)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// clip keeps a hostile name from filling the screen.
func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

const (
	fetchAgain = "the file is damaged or incomplete: download or copy it again"
	notSafe    = "this is not a safetensors file: choose another, or convert it"
)

// Explain takes the error apart: what is wrong besides need and have, these, and the remedy.
func (e *Error) Explain() (what, need, have, hint string) {
	bare := Error{File: e.File, Tensor: e.Tensor, Err: e.Err}
	return bare.Error(), e.Need, e.Have, e.Remedy
}
