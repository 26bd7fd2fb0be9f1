// Command graphrun runs ComfyUI workflows.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"graphrun/runtime/unfinished"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1 // the run failed or was interrupted
	exitUsage       = 2 // flags or arguments make no sense
	exitBadWorkflow = 3 // the workflow is none, or does not pass validation
)

// patience is how long a cancelled run may take to wind up before its verb gives it up (tests have more), grace how long
// the process lasts at most.
var patience = 500 * time.Millisecond

const grace = 800 * time.Millisecond

// windUp is how long the process lasts at most once it is told to end: grace, but for servers.
var windUp atomic.Int64

func main() {
	windUp.Store(int64(grace))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		stop() // a second signal kills
		time.Sleep(time.Duration(windUp.Load()))
		end(exitFailed)
	})
	signal.Ignore(syscall.SIGPIPE) // a reader that went away does not stop the run
	end(execute(ctx, os.Args[1:]))
}

// end ends the process; what a run that was given up was writing goes with it.
func end(code int) {
	unfinished.Remove()
	os.Exit(code)
}

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string) int {
	root := rootCommand()
	root.SetArgs(spelledOut(args))
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
	root.AddCommand(runCommand("run WORKFLOW"), nodesCommand(), convertCommand(), checkCommand(), lockCommand(), serveCommand(), queueCommand(), historyCommand(), interruptCommand(), quantizeCommand(), modelsCommand(), benchCommand())
	return root
}
