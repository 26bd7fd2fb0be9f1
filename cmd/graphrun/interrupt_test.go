//go:build unix

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fullDisk is graphrun where no file can grow beyond 64 bytes: what a full disk does to a write, without needing one.
func fullDisk() {
	signal.Ignore(syscall.SIGXFSZ) // the write then fails with EFBIG
	limit := uint64(64)
	fmt.Sscan(os.Getenv("FULLDISK"), &limit)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		panic(err)
	}
	main()
}

// TestInterrupt sends a signal in the middle of sampling: the process ends, says so, and leaves nothing. It logs how long
// that takes: a second at most on a machine that does nothing else.
func TestInterrupt(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.Command("graphrun", "demo", "--set", "Sampler.steps=10000", "--json", "--output", dir)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var sent time.Time
			var last string
			for lines := bufio.NewScanner(out); lines.Scan(); last = lines.Text() {
				if sent.IsZero() && strings.Contains(lines.Text(), `"phase":"sample"`) && strings.Contains(lines.Text(), `"step":3,`) {
					sent = time.Now()
					if err := cmd.Process.Signal(sig); err != nil {
						t.Fatal(err)
					}
				}
			}
			err = cmd.Wait()
			took := time.Since(sent)
			t.Logf("ended %v after the signal", took)
			if sent.IsZero() || cmd.ProcessState.ExitCode() != exitFailed {
				t.Fatalf("sampling began %v, ended with %v; last line %s", !sent.IsZero(), err, last)
			}
			if took < grace && !strings.Contains(last, "interrupted") { // a machine under load may end it before it says so
				t.Errorf("last line %s", last)
			}
			files, _ := filepath.Glob(filepath.Join(dir, "*"))
			if len(files) > 0 {
				t.Errorf("left %v", files)
			}
		})
	}
}

// TestInterruptSave sends a signal while a large picture is written, and while a pipe is waited for: the process ends, says
// so, and leaves no part of the picture.
func TestInterruptSave(t *testing.T) {
	dir := t.TempDir()
	if err := exec.Command("graphrun", "demo", "--set", "Sampler.steps=1", "--output", dir).Run(); err != nil {
		t.Fatal(err)
	}
	big := filepath.Join(dir, "big.json")
	if err := os.WriteFile(big, []byte(`{
		"1": {"class_type": "LoadImage", "inputs": {"image": "demo_00001_.png"}},
		"2": {"class_type": "ImageScale", "inputs": {"image": ["1", 0], "upscale_method": "bilinear", "width": 4096, "height": 4096, "crop": "disabled"}},
		"3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "big"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	unfinished := func() bool { found, _ := filepath.Glob(filepath.Join(out, ".*")); return len(found) > 0 }
	for name, c := range map[string]struct {
		workflow string
		ready    func() bool
	}{
		"save": {big, unfinished},
		"pipe": {pipe, func() bool { // it reads: then somebody can open the other end
			fd, err := unix.Open(pipe, unix.O_WRONLY|unix.O_NONBLOCK, 0)
			if err == nil {
				t.Cleanup(func() { _ = unix.Close(fd) })
			}
			return err == nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			cmd := exec.Command("graphrun", c.workflow, "--input", dir, "--output", out)
			cmd.Stderr = &log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(time.Minute); !c.ready() && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			sent := time.Now()
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			took := time.Since(sent)
			t.Logf("ended %v after the signal", took)
			if cmd.ProcessState.ExitCode() != exitFailed || took < grace && !strings.Contains(log.String(), "graphrun: interrupted") {
				t.Errorf("took %v, ended with %v, said %s", took, cmd.ProcessState, log.String())
			}
			if left, _ := os.ReadDir(out); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

// TestReaderGone closes the other end of stdout after the first line: the run goes on and its picture is whole.
func TestReaderGone(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("graphrun", "demo", "--set", "Sampler.steps=1", "--json", "--output", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.png")); len(left) != 1 {
		t.Errorf("files %v, want the picture", left)
	}
}
