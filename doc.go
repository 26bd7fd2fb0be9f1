// Package graphrun is ComfyUI in Go: this page is the map, the code lies in the packages below.
//
//   - graph runs workflows and knows no tensor; graph/workflow reads them from JSON and PNG files.
//   - nodes is the node library, one package per category; importing nodes/all registers every node.
//   - types is what flows along links; runtime makes models run; kernels is the arithmetic.
//   - cmd/graphrun is the command line.
//
// The example shows a program that runs a workflow.
package graphrun
