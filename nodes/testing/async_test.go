package testing

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"graphrun/graph"
)

// together checks that n nodes whose ids begin with the prefix had begun before the first of them ended.
func (b *bench) together(prefix string, n int) {
	b.Helper()
	begun := 0
	for _, e := range b.events {
		switch e := e.(type) {
		case graph.Executing:
			if strings.HasPrefix(e.NodeID, prefix) {
				begun++
			}
		case graph.Executed:
			if strings.HasPrefix(e.NodeID, prefix) {
				if begun != n {
					b.Errorf("%d nodes %s had begun when the first ended, want %d", begun, prefix, n)
				}
				return
			}
		}
	}
	b.Errorf("no node %s ended", prefix)
}

func TestSleepersOverlap(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		run := func() {
			b.run(image("1", "BLACK"), image("2", "WHITE"), "s1 TestSleep value=@1.0 seconds=0.1", "s2 TestSleep value=@2.0 seconds=0.12", "s3 TestSleep value=@1.0 seconds=0.14",
				"4 TestVariadicAverage input1=@s1.0 input2=@s2.0 input3=@s3.0 input4=@2.0", "5 Show images=@4.0")
		}
		run()
		b.wantLevels("5", 127)
		b.together("s", 3)
		if run(); keeps {
			for _, e := range b.events {
				if _, ran := e.(graph.Executing); ran {
					b.Errorf("second run: %v", e)
				}
			}
		}
	})
}

func TestSleepersInExpansionsOverlap(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		b.run(image("1", "BLACK"), image("2", "WHITE"), "3 TestParallelSleep image1=@1.0 image2=@2.0 image3=@2.0 sleep1=0.1 sleep2=0.12 sleep3=0.14", "5 Show images=@3.0")
		b.wantLevels("5", 170)
		sleepers := 0
		for _, id := range b.called {
			if strings.HasPrefix(id, "3.") {
				sleepers++
			}
		}
		if sleepers != 4 {
			b.Errorf("called %v, want four nodes of the expansion", b.called)
		}
		b.together("3.", 3)
		b.run(image("1", "WHITE"), image("2", "BLACK"), "3 TestDynamicAsyncGeneration image1=@1.0 image2=@2.0 num_async_nodes=5 sleep_duration=0.1", "5 Show images=@3.0")
		b.wantLevels("5", 153) // three of five are white
		b.together("3.", 5)
		b.run(image("1", "WHITE"), image("2", "BLACK"), "3 TestDynamicAsyncGeneration image1=@1.0 image2=@2.0 num_async_nodes=1 sleep_duration=0.1", "5 Show images=@3.0")
		b.wantLevels("5", 255)
	})
}

// All calls of one node's list overlap.
func TestSleepersOfAListOverlap(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		b.run(image("1", "BLACK"), image("2", "WHITE"), "3 TestMakeListNode value1=@1.0 value2=@2.0", "4 TestAsyncConcurrentLimit value=@3.0 duration=0.1 node_id=1",
			"6 TestAsyncBatchProcessing images=@4.0 process_time_per_item=0.01", "5 Show images=@6.0")
		b.wantLevels("5", 255, 0)
	})
}

func TestSlowValidation(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		b.run("1 TestAsyncValidation value=5.0 threshold=10.0", "2 Show images=@1.0")
		b.wantLevels("2", 127)
		b.invalid("threshold", "1 TestAsyncValidation value=15.0 threshold=10.0", "2 Show images=@1.0")
		b.invalid("max_value", "1 TestAsyncValidationError value=15.0 max_value=10.0", "2 Show images=@1.0")
	})
}

func TestAsyncFailures(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		fails := func(node, text string, lines ...string) {
			b.Helper()
			b.wantError(b.try(b.Context(), append(lines, image("1", "BLACK"))...), node, text)
		}
		fails("2", "intentional async", "2 TestAsyncError value=@1.0 error_after=0.01", "3 Show images=@2.0")
		fails("2", "intentional sync", "2 TestSyncError value=@1.0", "4 TestSleep value=@1.0 seconds=0.05", "3 Show images=@2.0", "5 Show images=@4.0")
		fails("2", "timed out after 0.1 seconds", "2 TestAsyncTimeout value=@1.0 timeout=0.1 operation_time=0.5", "3 Show images=@2.0")
		b.run(image("1", "BLACK"), "2 TestAsyncTimeout value=@1.0 timeout=0.5 operation_time=0.1", "3 Show images=@2.0")
		// In an expansion the node of the prompt is blamed.
		fails("2", "", "2 TestDynamicAsyncGeneration image1=@1.0 image2=@4.0 num_async_nodes=2 sleep_duration=0.1",
			`4 StubImage content="BLACK" height=4 width=4 batch_size=1`, "3 Show images=@2.0")
	})
}

// A resource is given back whatever happens.
func TestResourcesAreReleased(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		user := func(id, resource string) string {
			return fmt.Sprintf("%s TestAsyncResourceUser value=@1.0 resource_id=%q duration=0.05", id, resource)
		}
		err := b.try(b.Context(), image("1", "BLACK"), user("2", "a"), user("3", "a")+"1", "4 Show images=@2.0", "5 Show images=@3.0")
		var e *graph.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "already in use") {
			b.Errorf("error %v", err)
		}
		b.run(image("1", "BLACK"), user("2", "a"), user("3", "b"), "4 Show images=@2.0", "5 Show images=@3.0")
	})
}

func TestAsyncLazy(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		for condition, id := range map[string]string{"true": "1", "false": "2"} {
			b.run(image("1", "BLACK"), image("2", "NOISE"), "3 TestAsyncLazyCheck input1=@1.0 input2=@2.0 condition="+condition, "4 Show images=@3.0")
			b.wantLevels("4", 255)
			if b.ran["1"] != (id == "1") && (!keeps || b.ran["1"]) || b.ran["2"] && id == "1" {
				b.Errorf("condition %s: ran %v", condition, b.ran)
			}
		}
		b.run("3 TestAsyncLazyCheck input1=1 input2=2 condition=true", "4 Show images=@3.0")
		b.wantLevels("4", 255)
	})
}

func TestAsyncInterrupt(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		ctx, cancel := context.WithCancelCause(b.Context())
		b.nodes["Stop"] = &graph.Spec{Meta: graph.Meta{Name: "Stop", Output: true}, Run: func(*graph.Call, []any) (graph.Output, error) {
			cancel(errors.New("enough"))
			return graph.Output{}, nil
		}}
		err := b.try(ctx, image("1", "BLACK"), "2 TestSleep value=@1.0 seconds=100", "3 Show images=@2.0", "4 Stop")
		var e *graph.Error
		if !errors.As(err, &e) || e.Kind != graph.KindInterrupted {
			b.Errorf("error %v", err)
		}
	})
}

func TestProgressIsTold(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		for _, class := range []string{"TestAsyncProgressUpdate", "TestSyncProgressUpdate"} {
			b.run(image("1", "BLACK"), "2 "+class+" value=@1.0 sleep_seconds=0.05", "3 Show images=@2.0")
			told := 0
			for _, e := range b.events {
				if p, ok := e.(graph.Progress); ok && p.NodeID == "2" {
					told++
				}
			}
			if told < 2 {
				b.Errorf("%s: %d reports", class, told)
			}
		}
	})
}
