package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"graphrun/runtime/weights"
)

// denseModel DIR writes a pipeline of one network with a few layers in bfloat16.
func denseModel(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(writeDense(ts.MkAbs(args[0]), 6, 128))
}

// writeDense writes a network of so many square layers.
func writeDense(dir string, layers, width int) error {
	unet := filepath.Join(dir, "unet")
	if err := os.MkdirAll(unet, 0o777); err != nil {
		return err
	}
	var list []weights.Tensor
	for i := range layers {
		data := make([]byte, 0, 2*width*width)
		for k := range width * width {
			data = binary.LittleEndian.AppendUint16(data, uint16(math.Float32bits(float32(math.Sin(float64(k*(i+1)))))>>16))
		}
		list = append(list, weights.Tensor{Name: fmt.Sprintf("block.%d.weight", i), DType: weights.BF16, Shape: []int{width, width}, Data: data})
	}
	for name, text := range map[string]string{
		"model_index.json": `{"_class_name": "StableDiffusionPipeline"}`, "unet/config.json": `{"_class_name": "UNet2DConditionModel"}`,
		"README.md": "---\nlicense: mit\nbase_model: x\n---\nHello\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(text), 0o666); err != nil {
			return err
		}
	}
	return weights.Write(filepath.Join(unet, "diffusion_pytorch_model.safetensors"), list, nil)
}

// TestKilledQuantize kills a process in the middle: the target is not there, and another process goes on to the same bytes. One
// that is interrupted leaves nothing.
func TestKilledQuantize(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals there")
	}
	dir := t.TempDir()
	src, dst, whole := filepath.Join(dir, "src"), filepath.Join(dir, "dst"), filepath.Join(dir, "whole")
	if err := writeDense(src, 40, 1024); err != nil {
		t.Fatal(err)
	}
	quantize := func(target string, more ...string) *exec.Cmd {
		return exec.Command("graphrun", append([]string{"quantize", src, target, "--dtype", "uint5", "--group-size", "32", "-q"}, more...)...)
	}
	if out, err := quantize(whole).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	journal := filepath.Join(dir, ".dst.part", "journal.jsonl")
	try := func(sig syscall.Signal) bool {
		t.Helper()
		cmd := quantize(dst)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(time.Millisecond) {
			if info, err := os.Stat(journal); err == nil && info.Size() > 0 {
				break
			}
		}
		_ = cmd.Process.Signal(sig)
		if err := cmd.Wait(); err == nil {
			return false
		}
		if _, err := os.Stat(dst); err == nil {
			t.Error("the target is there")
		}
		return true
	}
	stop := func(sig syscall.Signal) {
		t.Helper()
		for range 10 {
			if try(sig) {
				return
			}
			if err := os.RemoveAll(dst); err != nil { // it was done before the signal
				t.Fatal(err)
			}
		}
		t.Fatal("it is always done before the signal")
	}
	stop(syscall.SIGINT)
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("after an interrupt there are %v", left)
	}
	stop(syscall.SIGKILL)
	lines, err := os.ReadFile(journal)
	if err != nil || len(lines) == 0 {
		t.Fatalf("a killed process leaves a journal: %v", err)
	}
	if out, err := quantize(dst, "--resume").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"unet/diffusion_pytorch_model.safetensors", "unet/config.json", "unet/quantization_config.json", "model_index.json"} {
		a, err := os.ReadFile(filepath.Join(whole, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(dst, filepath.FromSlash(name))); err != nil || string(a) != string(b) {
			t.Errorf("%s: other bytes after a kill (%v)", name, err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 3 {
		t.Errorf("left behind: %v", left)
	}
}
