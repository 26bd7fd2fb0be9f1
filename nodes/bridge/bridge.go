// Package bridge carries what the runtime reports to the graph: neither knows the other.
package bridge

import (
	"context"

	"graphrun/graph"
	"graphrun/types"
)

// Progress is the call's context, whose long tasks report to the call.
func Progress(c *graph.Call) context.Context {
	return types.WithProgress(c, func(p types.Progress) { c.Progress(p.Phase, p.Step, p.Total) })
}
