// Package expression computes short formulas that come with workflow files and command lines: `a > 2 ? b : c`.
//
// The language is that of github.com/expr-lang/expr without what could run on, eat the memory or see more than its
// inputs: a formula has a length, steps, bytes and a time to spend, all in Limits, reads nothing but its variables and gives
// the same for the same. docs/expressions.md is the reference.
package expression

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

// What a formula may spend.
const (
	MaxLength = 16 << 10    // bytes of its text
	maxNodes  = 1000        // of its syntax tree
	maxItems  = 100_000     // in all the lists it makes
	maxText   = 16 << 20    // bytes in all the texts it makes
	maxTime   = time.Second // from start to result
)

// Program is a formula that has been checked. It runs once at a time.
type Program struct {
	code    string
	program *vm.Program
	run     *run
}

// Lookup gives the value of a variable: nil, bool, int, uint64, float64, string, *Object, or []any or map[string]any of these. It is
// called when the formula comes to the name, and at most once for it in a run.
type Lookup func(name string) (any, error)

// run is what functions know of the run they are called in.
type run struct {
	ctx       context.Context
	deadline  time.Time
	text      int // bytes that may still be made
	items     int // list items that may still be touched
	lookup    Lookup
	known     map[string]any
	variables []string
}

// Function is a function of one argument that a formula has besides those of the language.
type Function struct {
	Name string
	Call func(argument any) (any, error)
}

// Compile checks a formula over the variables. What is no name, or that of a function, is no variable. Errors are *Error.
func Compile(code string, variables []string, extra ...Function) (p *Program, err error) {
	defer func() {
		if r := recover(); r != nil { // a mistake in the library is an error of the formula
			err = &Error{Code: code, What: fmt.Sprint(r)}
		}
	}()
	if len(code) > MaxLength {
		return nil, &Error{Code: code, What: "the expression is too long", Need: fmt.Sprintf("at most %d bytes", MaxLength), Have: fmt.Sprintf("%d bytes", len(code))}
	}
	if strings.TrimSpace(code) == "" {
		return nil, &Error{Code: code, What: "the expression is empty", Need: "a value or a formula", Hint: variableHint(variables)}
	}
	p = &Program{code: code, run: &run{}}
	env := types.Map{}
	for _, name := range variables {
		isExtra := slices.ContainsFunc(extra, func(f Function) bool { return f.Name == name })
		if isName(name) && !reserved[name] && !isExtra {
			env[name] = types.Any
			p.run.variables = append(p.run.variables, name)
		}
	}
	g := &guard{variables: env}
	options := []expr.Option{
		expr.Env(env), expr.MaxNodes(maxNodes), expr.Patch(g),
		expr.Optimize(false), // it would make whole ranges before anyone counts them
		expr.DisableAllBuiltins(),
	}
	for _, name := range harmless {
		options = append(options, expr.EnableBuiltin(name))
	}
	for name, f := range functions {
		options = append(options, expr.Function(name, func(args ...any) (any, error) {
			if err := p.run.spend(0); err != nil {
				return nil, err
			}
			return f.call(p.run, args)
		}, f.types...))
	}
	for _, f := range extra {
		options = append(options, expr.Function(f.Name, func(args ...any) (any, error) { return f.Call(args[0]) }, new(func(any) any)))
	}
	if p.program, err = expr.Compile(code, options...); err == nil {
		err = g.err(code)
	}
	if err != nil {
		return nil, p.explain(err)
	}
	return p, nil
}

// Run computes the formula. Errors are *Error, or wrap what Lookup gave or the context's end.
func (p *Program) Run(ctx context.Context, lookup Lookup) (any, error) {
	r := p.run
	r.ctx, r.lookup, r.known = ctx, lookup, map[string]any{}
	r.deadline, r.text, r.items = time.Now().Add(maxTime), maxText, maxItems
	machine := vm.VM{MemoryBudget: maxItems}
	v, err := machine.Run(p.program, map[string]any{})
	if err != nil {
		return nil, p.explain(err)
	}
	return v, nil
}

// variable is the value of a name.
func (r *run) variable(name string) (any, error) {
	if v, ok := r.known[name]; ok {
		return v, nil
	}
	begin := time.Now()
	v, err := r.lookup(name)
	if err != nil {
		return nil, err
	}
	r.deadline = r.deadline.Add(time.Since(begin)) // what others take is not the formula's time
	r.known[name] = v
	return v, nil
}

// errLimit says that a formula has spent what it had.
var errLimit = errors.New("the expression does too much")

// spend takes bytes of text off the budget and looks whether the time is over.
func (r *run) spend(bytes int) error {
	if r.text -= bytes; r.text < 0 || bytes < 0 {
		return fmt.Errorf("%w: more than %d MB of text", errLimit, maxText>>20)
	}
	if err := r.ctx.Err(); err != nil {
		return context.Cause(r.ctx)
	}
	if time.Now().After(r.deadline) {
		return fmt.Errorf("%w: more than %v", errLimit, maxTime)
	}
	return nil
}

// Error is what is wrong with a formula or with what it does.
type Error struct {
	Code             string
	What             string
	Line, Column     int // both from 1, in characters; 0 where the whole is meant
	Need, Have, Hint string
	Err              error // the cause, if it is of another's making
}

// Error tells it in one line.
func (e *Error) Error() string {
	text := e.What
	if e.Line > 0 {
		text += fmt.Sprintf(" (at line %d, column %d of %s)", e.Line, e.Column, quote(e.Code))
	} else if e.Code != "" {
		text += " in " + quote(e.Code)
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Explain takes the error apart, as graph wants it.
func (e *Error) Explain() (what, need, have, hint string) { return e.Error(), e.Need, e.Have, e.Hint }

// quote shows the beginning of a formula.
func quote(code string) string {
	if r := []rune(code); len(r) > 200 {
		code = string(r[:200]) + "…"
	}
	return fmt.Sprintf("%q", code)
}

// explain turns an error of the library into one of ours.
func (p *Program) explain(err error) error {
	e := &Error{Code: p.code, What: err.Error()}
	var at *file.Error
	if errors.As(err, &at) {
		e.What, e.Err = at.Message, at.Prev
		if at.Line > 0 {
			e.Line, e.Column = at.Line, at.Column+1
		}
		if at.Prev != nil {
			e.What = at.Prev.Error()
		}
	}
	switch {
	case strings.HasPrefix(e.What, "unknown name"):
		e.Hint = variableHint(p.run.variables)
		e.Need = "a variable or function that there is"
	case strings.HasPrefix(e.What, "cannot redeclare"):
		e.Hint = "the name is a variable's or function's: choose another, such as my_value"
	case strings.Contains(e.What, "memory budget"), strings.Contains(e.What, "exceeds maximum allowed nodes"):
		e.What, e.Err = fmt.Sprintf("%v: more than %d items of lists, or %d names, numbers and signs", errLimit, maxItems, maxNodes), errLimit
		fallthrough
	case errors.Is(err, errLimit):
		e.Hint = "make lists and texts shorter, or take steps out of loops"
	}
	return e
}

func variableHint(variables []string) string {
	if len(variables) == 0 {
		return "there are no variables here; docs/expressions.md lists the functions"
	}
	list := slices.Clone(variables)
	if len(list) > 30 {
		list = append(list[:30:30], "…")
	}
	return "the variables here are " + strings.Join(list, ", ") + "; docs/expressions.md lists the functions"
}

// reserved are the names that no variable can have.
var reserved = func() map[string]bool {
	r := map[string]bool{}
	for _, name := range harmless {
		r[name] = true
	}
	for name := range functions {
		r[name] = true
	}
	for _, word := range strings.Fields("true false nil let if else not and or in matches contains startsWith endsWith") {
		r[word] = true
	}
	return r
}()

// isName tells what can be written as a variable.
func isName(s string) bool {
	for i, c := range s {
		if c != '_' && !('a' <= c && c <= 'z') && !('A' <= c && c <= 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
