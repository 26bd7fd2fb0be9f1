package frontend

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"

	"github.com/labstack/echo/v4"

	"graphrun/graph"
	"graphrun/graph/workflow"
)

// converted is what a workflow file holds, for the editor: the UI format, if it has it, and the prompt.
type converted struct {
	Workflow json.RawMessage `json:"workflow"` // null: the file has none
	Prompt   json.RawMessage `json:"prompt"`   // null: Error says why
	Warnings []string        `json:"warnings"`
	Error    string          `json:"error,omitempty"`
}

// convert is POST /graphrun/convert, a route of graphrun's own: the body is any file that graphrun run takes, and the
// answer is its workflow and the prompt that it makes. It is 400 when nothing can be read.
func (s *Server) convert(c echo.Context) error {
	body, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return err
	}
	file, err := workflow.Parse(body)
	if err != nil {
		return text(http.StatusBadRequest, "%v", err)
	}
	answer := converted{Workflow: file.Workflow(), Warnings: []string{}}
	prompt, err := file.Prompt(workflow.Options{
		Nodes: s.Nodes, Env: s.Env, Embeddings: s.embeddingNames(), Pick: rand.IntN,
		Warn: func(e *graph.Error) { answer.Warnings = append(answer.Warnings, e.Error()) },
	})
	if err == nil {
		answer.Prompt, err = prompt.MarshalJSON()
	}
	if err != nil {
		answer.Error = err.Error()
	}
	return send(c, answer)
}
