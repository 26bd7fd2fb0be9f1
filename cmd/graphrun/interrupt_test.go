//go:build unix

package main

import (
	"bufio"
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
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 64, Max: 64}); err != nil {
		panic(err)
	}
	main()
}

// TestInterrupt sends a signal in the middle of sampling: the process ends within a second, says so, and leaves nothing.
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
			if sent.IsZero() || cmd.ProcessState.ExitCode() != exitFailed {
				t.Fatalf("sampling began %v, ended with %v; last line %s", !sent.IsZero(), err, last)
			}
			t.Logf("ended %v after the signal", took)
			if took > time.Second {
				t.Errorf("took %v to stop, want a second at most", took)
			}
			if !strings.Contains(last, "interrupted") {
				t.Errorf("last line %s", last)
			}
			files, _ := filepath.Glob(filepath.Join(dir, "*"))
			if len(files) > 0 {
				t.Errorf("left %v", files)
			}
		})
	}
}
