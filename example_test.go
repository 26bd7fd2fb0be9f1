package graphrun_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"graphrun/graph"
	"graphrun/graph/workflow"
	_ "graphrun/nodes/all" // the node library
	"graphrun/runtime/hub"
	"graphrun/runtime/loader"
	"graphrun/types"
	"graphrun/workflows"
)

// A program that paints: an engine, its services, a workflow, a run.
func Example_runWorkflow() {
	output, err := os.MkdirTemp("", "graphrun")
	check(err)
	defer os.RemoveAll(output)

	folders := &hub.Folders{Output: output}
	engine, err := loader.New(loader.Config{Folders: folders})
	check(err)
	defer engine.Close()
	env := graph.NewEnv()
	graph.Provide(env, engine)
	graph.Provide(env, folders)

	text, _ := workflows.Lookup("demo") // or os.ReadFile
	file, err := workflow.Parse(text)
	check(err)
	check(file.Set("KSampler.steps=2"))
	prompt, err := file.Prompt(workflow.Options{Env: env})
	check(err)
	result, err := graph.Run(context.Background(), prompt, graph.Options{Env: env})
	check(err)

	picture := result.Values("6", 0)[0].(types.Image) // what node 6, VAEDecode, gave
	saved, err := os.ReadDir(output)
	check(err)
	fmt.Println(picture.Shape, saved[0].Name())
	// Output: [1 96 96 3] demo_00001_.png
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
