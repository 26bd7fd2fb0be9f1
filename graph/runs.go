package graph

import (
	"context"
	"slices"
	"sync"
)

// Runs are the runs under way, by id, so that one of them can be interrupted. The zero value is ready; it is safe for
// concurrent use.
type Runs struct {
	mu     sync.Mutex
	ids    []string // in the order in which they began
	cancel map[string]context.CancelCauseFunc
}

// IDs lists the runs under way, the oldest first.
func (r *Runs) IDs() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ids)
}

// Interrupt ends the context of a run's nodes; cause, which may be nil, becomes the cause of the run's error. false: no
// such run is under way.
func (r *Runs) Interrupt(id string, cause error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	cancel, ok := r.cancel[id]
	if ok {
		cancel(cause)
	}
	return ok
}

// begin returns the context of a run and what is to be called at its end. Of runs with one id the last can be interrupted.
func (r *Runs) begin(ctx context.Context, id string) (context.Context, func()) {
	if r == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel == nil {
		r.cancel = map[string]context.CancelCauseFunc{}
	}
	r.ids, r.cancel[id] = append(r.ids, id), cancel
	return ctx, func() {
		cancel(nil)
		r.mu.Lock()
		defer r.mu.Unlock()
		if i := slices.Index(r.ids, id); i >= 0 {
			r.ids = slices.Delete(r.ids, i, i+1)
		}
		if !slices.Contains(r.ids, id) {
			delete(r.cancel, id)
		}
	}
}
