package testing

import (
	"fmt"
	"testing"
)

func TestLazyInputs(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		mix := func(value string) {
			b.run(image("1", "BLACK"), image("2", "WHITE"), maskOf("3", value),
				"4 TestLazyMixImages image1=@1.0 image2=@2.0 mask=@3.0", "5 Show images=@4.0")
		}
		mix("0.0")
		b.wantRan("1 3 4 5")
		b.wantLevels("5", 0)
		mix("1.0")
		b.wantLevels("5", 255)
		if b.ran["1"] {
			b.Error("the black picture was computed though the mask leaves it out")
		}
		mix("0.5")
		b.wantLevels("5", 127)
	})
}

func TestFullCache(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		run := func() {
			b.run(image("1", "NOISE"), image("2", "NOISE"), maskOf("3", "0.5"),
				"4 TestLazyMixImages image1=@1.0 image2=@2.0 mask=@3.0", "5 Show images=@4.0")
		}
		run()
		run()
		if keeps {
			b.wantRan("")
		} else if !b.ran["3"] || !b.ran["4"] || !b.ran["5"] || !b.ran["1"] && !b.ran["2"] { // of equal nodes one may do
			b.Errorf("ran %v", b.ran)
		}
	})
}

func TestPartialCache(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		run := func(value string) {
			b.run(image("1", "BLACK"), image("2", "WHITE"), maskOf("3", value),
				"4 TestLazyMixImages image1=@1.0 image2=@2.0 mask=@3.0", "5 Show images=@4.0")
		}
		run("0.5")
		run("0.25")
		b.wantLevels("5", 63)
		if keeps {
			b.wantRan("3 4 5")
		} else {
			b.wantRan("1 2 3 4 5")
		}
	})
}

func TestRunError(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		err := b.try(b.Context(), image("1", "BLACK"), `2 StubImage content="WHITE" height=4 width=8 batch_size=1`, maskOf("3", "0.5"),
			"4 TestLazyMixImages image1=@1.0 image2=@2.0 mask=@3.0", "5 Show images=@4.0")
		b.wantError(err, "4", "of one size")
		b.run(image("1", "BLACK"), image("2", "WHITE"), maskOf("3", "0.5"), // what was finished stays
			"4 TestLazyMixImages image1=@1.0 image2=@2.0 mask=@3.0", "5 Show images=@4.0")
		if keeps && (b.ran["1"] || b.ran["3"]) {
			b.Errorf("after an error ran %v", b.ran)
		}
	})
}

func TestValidation(t *testing.T) {
	eachCache(t, func(b *bench, _ bool) {
		literal := func(class, value string) []string {
			return []string{"1 " + class + " input1=" + value + " input2=3.0", "2 Show images=@1.0"}
		}
		b.invalid("Invalid type of input1", literal("TestCustomValidation1", "5")...)
		b.invalid("Invalid type of input1", literal("TestCustomValidation1", `"foo"`)...)
		b.run(literal("TestCustomValidation1", "5.0")...)
		b.wantLevels("2", 255)

		linked := func(class, stub, value string) []string {
			return []string{"0 " + stub + " value=" + value, "1 " + class + " input1=@0.0 input2=3.0", "2 Show images=@1.0"}
		}
		for i := 1; i <= 4; i++ {
			class := fmt.Sprintf("TestCustomValidation%d", i)
			b.invalid("node 1 ("+class+")", linked(class, "StubInt", "5")...)
			b.run(linked(class, "StubFloat", "0.1")...)
			b.wantLevels("2", 76)
		}
		b.invalid("Invalid type of input1: INT", linked("TestCustomValidation2", "StubInt", "5")...)
		b.invalid("Invalid type of input1: INT (expected IMAGE,FLOAT)", linked("TestCustomValidation3", "StubInt", "5")...)
		b.invalid("IMAGE,FLOAT", linked("TestCustomValidation1", "StubMask", "0.5"+small)...)
		b.run(`0 StubConstantImage value=0.25`+small, "1 TestCustomValidation3 input1=@0.0 input2=2.0", "2 Show images=@1.0")
		b.wantLevels("2", 127)

		ranged := func(value string) []string {
			return []string{"1 TestCustomValidation5 input1=5.0 input2=" + value, "2 Show images=@1.0"}
		}
		b.run(ranged("0.1")...)
		b.wantLevels("2", 127)
		b.invalid("7s are not allowed", ranged("7.0")...)
		b.invalid("known node class", "1 NoSuchNode x=1", "2 Show images=@1.0")
	})
}

func TestCycles(t *testing.T) {
	eachCache(t, func(b *bench, _ bool) {
		b.invalid("cycle", image("1", "BLACK"), maskOf("3", "0.5"), "4 TestLazyMixImages image1=@5.0 image2=@1.0 mask=@3.0",
			"5 TestLazyMixImages image1=@4.0 image2=@1.0 mask=@3.0", "6 Show images=@5.0")
		err := b.try(b.Context(), image("1", "BLACK"), image("2", "WHITE"), "4 TestDynamicDependencyCycle input1=@1.0 input2=@2.0", "6 Show images=@4.0")
		b.wantError(err, "4", "cycle")
	})
}

func TestIsChanged(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		run := func(change string) {
			b.run(image("1", "BLACK"), "2 TestCustomIsChanged image=@1.0 should_change="+change, "3 Show images=@2.0")
		}
		run("false")
		b.wantRan("1 2 3")
		run("false")
		if keeps {
			b.wantRan("")
		}
		run("true")
		if keeps {
			b.wantRan("2 3")
		}
		run("true")
		if keeps {
			b.wantRan("2 3")
		} else {
			b.wantRan("1 2 3")
		}
		constant := func() { // a linked picture is not known to the fingerprint, so it does not change
			b.run(image("1", "WHITE"), "2 TestIsChangedWithConstants image=@1.0 value=0.5", "3 Show images=@2.0")
		}
		constant()
		b.wantLevels("3", 127)
		constant()
		if keeps {
			b.wantRan("")
		}
	})
}

func TestUndeclaredInputs(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		lines := func(third string) []string {
			return []string{
				image("1", "BLACK"), image("2", "WHITE"), image("3", third),
				"4 TestVariadicAverage input1=@1.0 input2=@2.0 input3=@3.0 input4=@1.0 input6=@2.0 other=3", "5 Show images=@4.0",
			}
		}
		b.run(lines("BLACK")...)
		b.wantLevels("5", 63) // input6 does not follow
		b.run(lines("WHITE")...)
		b.wantLevels("5", 127) // undeclared links are part of the signature
		b.run(image("1", "BLACK"), "4 TestVariadicAverage input1=@1.0", "5 Show images=@4.0")
		b.wantLevels("5", 0)
	})
}

// Output nodes that are known show their old result; two of them may show one picture.
func TestOutputReuse(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		b.run(image("1", "WHITE"), "2 Show images=@1.0", `3 Show images=@1.0 label="x"`)
		b.wantLevels("2", 255)
		if !b.ran["1"] {
			b.Error("the source did not run")
		}
		b.run(image("1", "WHITE"), "2 TestOutputNodeWithSocketOutput image=@1.0 value=0.5", "3 TestOutputNodeWithSocketOutput image=@2.0 value=0.5", "4 Show images=@3.0", "5 Show images=@2.0")
		b.wantLevels("4", 63)
		b.wantLevels("5", 127)
	})
}

// Ids are text of any kind.
func TestOddIDs(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		b.run(image("test_x[a-1]1", "WHITE"), "test_x[a-1]2 TestParallelSleep image1=@test_x[a-1]1.0 image2=@test_x[a-1]1.0 image3=@test_x[a-1]1.0 sleep1=0.01 sleep2=0.01 sleep3=0.01",
			`q'[1].2 Show images=@test_x[a-1]2.0`)
		b.wantLevels(`q'[1].2`, 255)
	})
}

// A valid output runs beside one that is not, and what comes later runs as well.
func TestPartlyValid(t *testing.T) {
	eachCache(t, func(b *bench, keeps bool) {
		b.partial = true
		for range 2 {
			b.run(image("1", "WHITE"), "2 Show images=@1.0", "3 Show images=@99.0", "4 TestVariadicAverage input1=@1.0 input2=@98.0", "5 TestMakeListNode value1=@5.0")
			b.wantLevels("2", map[bool][]int{true: {255}, false: nil}[len(b.called) > 0]...)
		}
		b.run(image("1", "BLACK"), "2 TestParallelSleep image1=@1.0 image2=@1.0 image3=@1.0 sleep1=0.01 sleep2=0.01 sleep3=0.01", "3 Show images=@2.0")
		b.wantLevels("3", 0)
	})
}
