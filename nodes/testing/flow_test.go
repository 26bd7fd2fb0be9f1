package testing

import (
	"fmt"
	"testing"

	"graphrun/graph"
)

func TestForLoop(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		run := func(rounds int) {
			b.run(image("1", "BLACK"), image("2", "WHITE"),
				fmt.Sprintf("3 TestForLoopOpen remaining=%d initial_value1=@1.0", rounds),
				"4 TestVariadicAverage input1=@3.2 input2=@2.0",
				"5 TestForLoopClose flow_control=@3.0 initial_value1=@4.0", "6 Show images=@5.0")
		}
		for rounds := 1; rounds <= 4; rounds++ {
			run(rounds)
			b.wantLevels("6", 255*(1<<rounds-1)>>rounds)
		}
		run(4)
		if keeps {
			b.wantRan("")
		}
	})
}

// A picture from outside of a loop is the same in each round, whatever the cache keeps.
func TestLoopReadsOutsideOnce(t *testing.T) {
	eachCache(t, func(b *bench, _ bool) {
		b.run(image("1", "NOISE"), "2 TestAccumulateNode to_add=@1.0", "3 TestForLoopOpen remaining=3 initial_value1=@2.0",
			"4 TestAccumulateNode to_add=@1.0 accumulation=@3.2", "5 TestForLoopClose flow_control=@3.0 initial_value1=@4.0",
			"6 Show images=@5.0")
		all := b.kept["6"][0].(accumulation).Items
		if len(all) != 4 {
			b.Fatalf("%d items, want 4", len(all))
		}
		for i, v := range all {
			if fmt.Sprint(v) != fmt.Sprint(all[0]) {
				b.Errorf("item %d is another picture", i)
			}
		}
	})
}

func TestMixedExpansion(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		b.run("1 TestMakeListNode value1=0.1 value2=0.2 value3=0.3", "2 TestMixedExpansionReturns input1=@1.0", "3 Show images=@2.0", "4 Show images=@2.1")
		b.wantLevels("3", 25, 51, 76)
		b.wantLevels("4", 255, 255, 255)
	})
}

// Of a list each call decides alone which lazy inputs it needs.
func TestMixedLazyResults(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		b.run(maskOf("1", "0.0"), maskOf("2", "0.5"), maskOf("3", "1.0"), "4 TestMakeListNode value1=@1.0 value2=@2.0 value3=@3.0",
			image("5", "BLACK"), image("6", "WHITE"), "7 TestLazyMixImages image1=@5.0 image2=@6.0 mask=@4.0", "8 Show images=@7.0")
		b.wantLevels("8", 0, 127, 255)
	})
}

func TestBlockers(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		run := func(block, verbose string) {
			b.run(image("1", "BLACK"), fmt.Sprintf("2 TestExecutionBlocker input=@1.0 block=%s verbose=%s", block, verbose), "3 Show images=@2.0", "4 Show images=@1.0")
		}
		run("false", "false")
		b.wantLevels("3", 0)
		run("true", "false")
		b.wantLevels("3")
		if len(b.blocked) > 0 {
			b.Errorf("told %q", b.blocked)
		}
		run("true", "true")
		b.wantLevels("3")
		if len(b.blocked) != 1 || b.blocked[0] != "Blocked Execution" {
			b.Errorf("told %q", b.blocked)
		}
		// Of a list only some elements are blocked.
		b.run("1 TestMakeListNode value1=true value2=false value3=false", image("2", "WHITE"), "3 TestExecutionBlocker input=@2.0 block=@1.0 verbose=false",
			"9 TestMakeListNode value1=@2.0 value0=@10.0 value10=@2.0", image("10", "BLACK"), "11 Show images=@9.0",
			"4 Show images=@3.0", "5 TestListToAccumulationNode list=@3.0", "6 Show images=@5.0", "7 TestMakeListNode value1=@3.0", "8 Show images=@7.0")
		b.wantLevels("4", 255, 255)
		b.wantLevels("6")
		b.wantLevels("8", 255, 255)
		b.wantLevels("11", 0, 255)
	})
}

func TestAccumulations(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		b.run("1 StubInt value=1", "2 StubInt value=2", "3 TestAccumulateNode to_add=@1.0", "4 TestAccumulateNode to_add=@2.0 accumulation=@3.0",
			"5 TestAccumulationToListNode accumulation=@4.0", "6 TestIntMathOperation a=@5.0 b=10 operation=\"multiply\"",
			"7 TestListToAccumulationNode list=@6.0", "8 TestAccumulationHeadNode accumulation=@7.0", "9 TestAccumulationTailNode accumulation=@7.0",
			"10 TestAccumulationGetLengthNode accumulation=@8.0", "11 TestAccumulationGetItemNode accumulation=@7.0 index=-1",
			"12 TestAccumulationSetItemNode accumulation=@7.0 index=0 value=@2.0",
			"20 Show images=@6.0", "21 Show images=@8.1", "22 Show images=@9.1", "23 Show images=@10.0", "24 Show images=@11.0", "25 Show images=@12.0")
		have := ""
		for _, id := range []string{"20", "21", "22", "23", "24", "25"} {
			have += fmt.Sprint(b.kept[id], " ")
		}
		if want := "[10 20] [10] [20] [1] [20] [{[2 20]}] "; have != want {
			b.Errorf("have %s\nwant %s", have, want)
		}
		err := b.try(b.Context(), "1 StubInt value=1", "2 TestAccumulateNode to_add=@1.0", "3 TestAccumulationGetItemNode accumulation=@2.0 index=1", "4 Show images=@3.0")
		b.wantError(err, "3", "out of range")
	})
}

func TestLogic(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`TestIntMathOperation a=18446744073709551615 b=1 operation="add"`, "18446744073709551616"},
		{`TestIntMathOperation a=-18446744073709551615 b=2 operation="divide"`, "-9223372036854775808"},
		{`TestIntMathOperation a=7 b=-2 operation="divide"`, "-4"},
		{`TestIntMathOperation a=7 b=-2 operation="modulo"`, "-1"},
		{`TestIntMathOperation a=2 b=100 operation="power"`, "1267650600228229401496703205376"},
		{`TestIntMathOperation a=-1 b=18446744073709551615 operation="power"`, "-1"},
		{`TestIntConditions a=3 b=3 operation=">="`, "true"},
		{`TestFloatConditions a=3 b=3.5 operation="<"`, "true"},
		{`TestStringConditions a="Abc" b="abc" operation="a == b" case_sensitive=false`, "true"},
		{`TestStringConditions a="abc" b="b+" operation="a MATCH REGEX(b)" case_sensitive=true`, "false"},
		{`TestStringConditions a="abc" b="(" operation="a MATCH REGEX(b)" case_sensitive=true`, "false"},
		{`TestStringConditions a="b" b="abc" operation="a IN b" case_sensitive=true`, "true"},
		{`TestToBoolNode value=0 invert=true`, "true"},
		{`TestToBoolNode value=""`, "false"},
		{`TestBoolOperationNode a=true b=true op="a XOR b"`, "false"},
		{`TestBoolOperationNode a=false b=true op="NOT a"`, "true"},
	} {
		b := newBench(t, &graph.Cache{})
		b.run("1 "+c.line, "2 Show images=@1.0")
		if have := fmt.Sprint(b.kept["2"][0]); have != c.want {
			t.Errorf("%s: %s, want %s", c.line, have, c.want)
		}
	}
	b := newBench(t, &graph.Cache{})
	b.wantError(b.try(t.Context(), `1 TestIntMathOperation a=1 b=0 operation="modulo"`, "2 Show images=@1.0"), "1", "division by zero")
	b.wantError(b.try(t.Context(), `1 TestIntMathOperation a=3 b=18446744073709551615 operation="power"`, "2 Show images=@1.0"), "1", "power")
	b.invalid("TestIntConditions", `1 TestIntConditions a=18446744073709551616 b=0 operation="=="`, "2 Show images=@1.0")
}
