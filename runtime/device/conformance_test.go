package device_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
	"graphrun/runtime/device/devicetest"
)

// The CPU does every operation right, with the same bits on 1, 2, 3 and 7 threads.
func TestCPU(t *testing.T) {
	if want := os.Getenv(pathWanted); want != "" && want != cpu.Features() {
		t.Logf("this machine has no %s", want)
		return
	}
	for _, exact := range []bool{true, false} {
		t.Run(fmt.Sprintf("exact %v", exact), func(t *testing.T) {
			var devs []device.Device
			for _, threads := range []int{1, 2, 3, 7} {
				pool := cpu.NewPool(threads)
				defer pool.Close()
				devs = append(devs, device.NewCPU(pool, exact))
			}
			if devs[0].Exact() != exact {
				t.Errorf("an exact device (%v) says the opposite", exact)
			}
			devicetest.RunAll(t, append(devs, device.NewTimed(devs[0]))...)
		})
	}
}

const pathWanted = "GRAPHRUN_TEST_PATH"

// Each set of instructions that this machine has does what TestCPU asks: in a process of its own, as the choice is made once.
func TestEachPath(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"generic", "avx2", "avx512", "vnni", "neon", "dotprod"} {
		if path == cpu.Features() {
			continue // TestCPU is that
		}
		t.Run(path, func(t *testing.T) {
			c := exec.CommandContext(t.Context(), program, "-test.run=^TestCPU$", "-test.v")
			c.Env = append(os.Environ(), "GRAPHRUN_CPU="+path, pathWanted+"="+path)
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "largest") || strings.Contains(line, "this machine has no") {
					t.Log(strings.TrimSpace(line))
				}
			}
		})
	}
}

// The meta device has the shapes, bytes and FLOPs of the others.
func TestMeta(t *testing.T) { devicetest.RunAll(t, &device.Meta{}) }
