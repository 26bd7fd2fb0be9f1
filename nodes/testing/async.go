package testing

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"graphrun/graph"
	"graphrun/types"
)

func addAsync(l graph.Library) {
	concurrent(add[TestSleep](l, "TestSleep", "Test Sleep", timed)).Hidden = []string{"UNIQUE_ID"}
	add[TestAsyncValidation](l, "TestAsyncValidation", "Test Async Validation", async)
	add[TestAsyncValidationError](l, "TestAsyncValidationError", "Test Async Validation Error", async)
	concurrent(add[TestAsyncError](l, "TestAsyncError", "Test Async Error", async))
	concurrent(add[TestAsyncTimeout](l, "TestAsyncTimeout", "Test Async Timeout", async))
	add[TestSyncError](l, "TestSyncError", "Test Sync Error", async)
	add[TestAsyncLazyCheck](l, "TestAsyncLazyCheck", "Test Async Lazy Check", async)
	concurrent(add[TestAsyncResourceUser](l, "TestAsyncResourceUser", "Test Async Resource User", async))
	concurrent(add[TestAsyncBatchProcessing](l, "TestAsyncBatchProcessing", "Test Async Batch Processing", async)).Hidden = []string{"UNIQUE_ID"}
	concurrent(add[TestAsyncConcurrentLimit](l, "TestAsyncConcurrentLimit", "Test Async Concurrent Limit", async))
	concurrent(add[TestAsyncProgressUpdate](l, "TestAsyncProgressUpdate", "Async Progress Update Test Node", async))
	add[TestSyncProgressUpdate](l, "TestSyncProgressUpdate", "Sync Progress Update Test Node", async)
}

// tick is how long the waiting nodes wait between two reports.
const tick = 10 * time.Millisecond

// seconds turns an input into a duration.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// sleep waits, or ends with the context's error.
func sleep(c context.Context, d time.Duration) error {
	select {
	case <-c.Done():
		return context.Cause(c)
	case <-time.After(d):
		return nil
	}
}

// reporting waits and tells every tick how many milliseconds of all have passed.
func reporting(c *graph.Call, d time.Duration) error {
	begin := time.Now()
	for {
		past := time.Since(begin)
		c.Progress("sleep", int(min(past, d).Milliseconds()), int(d.Milliseconds()))
		if past >= d {
			return nil
		}
		if err := sleep(c, min(tick, d-past)); err != nil {
			return err
		}
	}
}

// TestSleep waits.
type TestSleep struct {
	Value   graph.Any
	Seconds float64 `default:"1" min:"0" max:"9999" step:"0.01"`
}

// Run returns the value, later.
func (n TestSleep) Run(c *graph.Call) (graph.Any, error) {
	return n.Value, reporting(c, seconds(n.Seconds))
}

// TestAsyncValidation refuses values above the threshold, after a while.
type TestAsyncValidation struct {
	Value     float64 `default:"5"`
	Threshold float64 `default:"10"`
}

// validationTime is how long the slow checks take.
const validationTime = 50 * time.Millisecond

// Validate compares value and threshold.
func (n TestAsyncValidation) Validate() error {
	time.Sleep(validationTime)
	if n.Value > n.Threshold {
		return fmt.Errorf("value %g exceeds threshold %g", n.Value, n.Threshold)
	}
	return nil
}

// Run returns a picture of value/10.
func (n TestAsyncValidation) Run(*graph.Call) (types.Image, error) { return ones(n.Value / 10) }

// TestAsyncValidationError refuses values above max_value, after a while.
type TestAsyncValidationError struct {
	Value    float64 `default:"5"`
	MaxValue float64 `default:"10"`
}

// Validate compares value and max_value.
func (n TestAsyncValidationError) Validate() error {
	time.Sleep(validationTime)
	if n.Value > n.MaxValue {
		return fmt.Errorf("value %g is greater than max_value %g", n.Value, n.MaxValue)
	}
	return nil
}

// Run returns a picture of value/max_value.
func (n TestAsyncValidationError) Run(*graph.Call) (types.Image, error) {
	return ones(n.Value / n.MaxValue)
}

// TestAsyncError fails after a while.
type TestAsyncError struct {
	Value      graph.Any
	ErrorAfter float64 `default:"0.1" min:"0" max:"10"`
}

// Run returns an error.
func (n TestAsyncError) Run(c *graph.Call) (graph.Any, error) {
	if err := sleep(c, seconds(n.ErrorAfter)); err != nil {
		return graph.Any{}, err
	}
	return graph.Any{}, errors.New("intentional async execution error for testing")
}

// timedOut and invalidType are ComfyUI's words.
const (
	timedOut    = "Operation timed out"
	invalidType = "Invalid type of"
)

// TestAsyncTimeout fails if its work takes too long.
type TestAsyncTimeout struct {
	Value         graph.Any
	Timeout       float64 `default:"1" min:"0.1" max:"10"`
	OperationTime float64 `default:"2" min:"0.1" max:"10"`
}

// Run returns the value, if there is time.
func (n TestAsyncTimeout) Run(c *graph.Call) (graph.Any, error) {
	err := sleep(c, seconds(min(n.Timeout, n.OperationTime)))
	if err == nil && n.OperationTime > n.Timeout {
		err = fmt.Errorf("%s after %g seconds", timedOut, n.Timeout)
	}
	return n.Value, err
}

// TestSyncError fails.
type TestSyncError struct{ Value graph.Any }

// Run returns an error.
func (n TestSyncError) Run(*graph.Call) (graph.Any, error) {
	return graph.Any{}, errors.New("intentional sync execution error for testing")
}

// TestAsyncLazyCheck needs one of two inputs.
type TestAsyncLazyCheck struct {
	Input1, Input2 graph.Lazy[graph.Any]
	Condition      bool `default:"true"`
}

// Run returns white once the input is there.
func (n TestAsyncLazyCheck) Run(c *graph.Call) (types.Image, error) {
	if err := sleep(c, validationTime); err != nil {
		return types.Image{}, err
	}
	input := n.Input2
	if n.Condition {
		input = n.Input1
	}
	if _, err := input.Get(); err != nil {
		return types.Image{}, err
	}
	return ones(1)
}

// resources are those in use by TestAsyncResourceUser nodes.
var resources sync.Map

// TestAsyncResourceUser holds a resource that no other may have meanwhile.
type TestAsyncResourceUser struct {
	Value      graph.Any
	ResourceID string  `default:"resource_0"`
	Duration   float64 `default:"0.1" min:"0" max:"1"`
}

// Run returns the value after the duration.
func (n TestAsyncResourceUser) Run(c *graph.Call) (graph.Any, error) {
	if _, taken := resources.LoadOrStore(n.ResourceID, true); taken {
		return graph.Any{}, fmt.Errorf("resource %s is already in use", n.ResourceID)
	}
	defer resources.Delete(n.ResourceID)
	return n.Value, sleep(c, seconds(n.Duration))
}

// TestAsyncBatchProcessing inverts pictures one by one.
type TestAsyncBatchProcessing struct {
	Images             types.Image
	ProcessTimePerItem float64 `default:"0.1" min:"0.01" max:"1"`
}

// Run returns 1-images.
func (n TestAsyncBatchProcessing) Run(c *graph.Call) (types.Image, error) {
	for i := range n.Images.Shape[0] {
		if err := sleep(c, seconds(n.ProcessTimePerItem)); err != nil {
			return types.Image{}, err
		}
		c.Progress("process", i+1, n.Images.Shape[0])
	}
	return mapped(n.Images, func(v float32) float32 { return 1 - v }), nil
}

// places let two TestAsyncConcurrentLimit nodes work at a time.
var places = make(chan struct{}, 2)

// TestAsyncConcurrentLimit works beside one other of its kind at most.
type TestAsyncConcurrentLimit struct {
	Value    graph.Any
	Duration float64 `default:"0.5" min:"0.1" max:"2"`
	NodeID   int     `default:"0"`
}

// Run returns the value after the duration.
func (n TestAsyncConcurrentLimit) Run(c *graph.Call) (graph.Any, error) {
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	case <-c.Done():
		return graph.Any{}, context.Cause(c)
	}
	return n.Value, sleep(c, seconds(n.Duration))
}

// TestAsyncProgressUpdate tells how far it is.
type TestAsyncProgressUpdate struct {
	Value        graph.Any
	SleepSeconds float64 `default:"1"`
}

// Run returns the value, later.
func (n TestAsyncProgressUpdate) Run(c *graph.Call) (graph.Any, error) {
	return n.Value, reporting(c, seconds(n.SleepSeconds))
}

// TestSyncProgressUpdate tells how far it is and lets no other node work meanwhile.
type TestSyncProgressUpdate struct {
	Value        graph.Any
	SleepSeconds float64 `default:"1"`
}

// Run returns the value, later.
func (n TestSyncProgressUpdate) Run(c *graph.Call) (graph.Any, error) {
	return n.Value, reporting(c, seconds(n.SleepSeconds))
}
