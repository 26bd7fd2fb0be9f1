package testing

import (
	"fmt"
	"strings"
	"testing"

	"graphrun/graph"
)

// interfaces are the classes of specs/testing-nodes.md: inputs (? optional, ! lazy), -> outputs (name:type, [] lists).
const interfaces = `
StubImage content height width batch_size -> IMAGE
StubConstantImage value height width batch_size -> IMAGE
StubMask value height width batch_size -> MASK
StubInt value -> INT
StubFloat value -> FLOAT
TestLazyMixImages image1! image2! mask -> IMAGE
TestVariadicAverage input1 -> IMAGE
TestCustomIsChanged image should_change? -> IMAGE
TestIsChangedWithConstants image value -> IMAGE
TestCustomValidation1 input1 input2 -> IMAGE
TestCustomValidation2 input1 input2 -> IMAGE
TestCustomValidation3 input1 input2 -> IMAGE
TestCustomValidation4 input1 input2 -> IMAGE
TestCustomValidation5 input1 input2 -> IMAGE
TestDynamicDependencyCycle input1 input2 -> IMAGE
TestMixedExpansionReturns input1 -> IMAGE IMAGE
TestSamplingInExpansion model clip vae seed steps cfg prompt negative_prompt -> IMAGE
TestSleep value seconds -> *
TestParallelSleep image1 image2 image3 sleep1 sleep2 sleep3 -> IMAGE
TestOutputNodeWithSocketOutput image value -> IMAGE
TestWhileLoopOpen condition initial_value0? initial_value1? initial_value2? initial_value3? initial_value4? -> FLOW_CONTROL value0:* value1:* value2:* value3:* value4:*
TestWhileLoopClose flow_control condition initial_value0? initial_value1? initial_value2? initial_value3? initial_value4? -> value0:* value1:* value2:* value3:* value4:*
TestExecutionBlocker input block verbose -> output:*
TestForLoopOpen remaining initial_value1? initial_value2? initial_value3? initial_value4? initial_value0? -> flow_control:FLOW_CONTROL remaining:INT value1:* value2:* value3:* value4:*
TestForLoopClose flow_control initial_value1? initial_value2? initial_value3? initial_value4? -> value1:* value2:* value3:* value4:*
TestAccumulateNode to_add accumulation? -> ACCUMULATION
TestAccumulationHeadNode accumulation -> ACCUMULATION *
TestAccumulationTailNode accumulation -> ACCUMULATION *
TestAccumulationToListNode accumulation -> *[]
TestListToAccumulationNode list -> ACCUMULATION
TestAccumulationGetLengthNode accumulation -> INT
TestAccumulationGetItemNode accumulation index -> *
TestAccumulationSetItemNode accumulation index value -> ACCUMULATION
TestMakeListNode value1 value2? value3? value4? value5? value6? value7? value8? value9? -> *[]
TestIntMathOperation a b operation -> INT
TestIntConditions a b operation -> BOOLEAN
TestFloatConditions a b operation -> BOOLEAN
TestStringConditions a b operation case_sensitive -> BOOLEAN
TestToBoolNode value invert? -> BOOLEAN
TestBoolOperationNode a b op -> BOOLEAN
TestAsyncValidation value threshold -> IMAGE
TestAsyncValidationError value max_value -> IMAGE
TestAsyncError value error_after -> *
TestAsyncTimeout value timeout operation_time -> *
TestSyncError value -> *
TestAsyncLazyCheck input1! input2! condition -> IMAGE
TestDynamicAsyncGeneration image1 image2 num_async_nodes sleep_duration -> IMAGE
TestAsyncResourceUser value resource_id duration -> *
TestAsyncBatchProcessing images process_time_per_item -> IMAGE
TestAsyncConcurrentLimit value duration node_id -> *
TestAsyncProgressUpdate value sleep_seconds -> *
TestSyncProgressUpdate value sleep_seconds -> *
`

func TestInterfaces(t *testing.T) {
	l := Library()
	lines := strings.Split(strings.TrimSpace(interfaces), "\n")
	for _, line := range lines {
		name, _, _ := strings.Cut(line, " ")
		s := l[name]
		if s == nil {
			t.Errorf("no %s", name)
			continue
		}
		have := name
		for _, p := range s.Inputs {
			have += " " + p.Name
			if p.Optional {
				have += "?"
			}
			if p.Lazy {
				have += "!"
			}
		}
		have += " ->"
		for _, p := range s.Outputs {
			have += " " + p.Name
			if p.Name != p.Type {
				have += ":" + p.Type
			}
			if p.List {
				have += "[]"
			}
		}
		if have != line {
			t.Errorf("have %s\nwant %s", have, line)
		}
	}
	if len(l) != len(lines) {
		t.Errorf("%d classes, want %d", len(l), len(lines))
	}
}

// Limits print as they are, those of more than 64 bits, too.
func TestLimits(t *testing.T) {
	doc, err := graph.ObjectInfo(Library(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"min":-18446744073709551615`, `"max":18446744073709551615`, `"max":68719476736`, `"should_change":["BOOL"`,
		`"python_module":"custom_nodes.testing-pack"`, `"rawLink":true`, `"forceInput":true`,
	} {
		if !strings.Contains(string(doc), want) {
			t.Errorf("no %s", want)
		}
	}
	l := Library()
	for _, name := range []string{"TestParallelSleep", "TestOutputNodeWithSocketOutput"} {
		if !l[name].Output {
			t.Errorf("%s is no output node", name)
		}
	}
	if have := fmt.Sprint(l["TestSleep"].Hidden, l["TestWhileLoopClose"].Hidden); have != "[UNIQUE_ID] [DYNPROMPT UNIQUE_ID]" {
		t.Errorf("hidden inputs %s", have)
	}
}
