// Command graphrun runs ComfyUI workflows.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1 // the run failed or was interrupted
	exitUsage       = 2 // flags or arguments make no sense
	exitBadWorkflow = 3 // the workflow cannot be read or does not pass validation
)

// grace is how long a cancelled run may take to wind up before the process ends all the same.
const grace = 900 * time.Millisecond

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		stop() // a second signal kills
		time.Sleep(grace)
		os.Exit(exitFailed)
	})
	os.Exit(execute(ctx, os.Args[1:]))
}

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string) int {
	root := rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var reported *reportedError
	if err != nil && !errors.As(err, &reported) {
		fmt.Fprint(os.Stderr, "graphrun: ", explain(err))
	}
	return exitCode(err)
}

// rootCommand is `graphrun`: its own job is run, the default verb.
func rootCommand() *cobra.Command {
	root := runCommand("graphrun WORKFLOW")
	root.Short = "graphrun runs ComfyUI workflows"
	root.Version = version()
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetVersionTemplate("graphrun {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(runCommand("run WORKFLOW"), nodesCommand(), benchCommand())
	return root
}
