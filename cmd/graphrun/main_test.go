package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test binary serve as the command: scripts and tests run it as a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"graphrun": main, "fulldisk": fullDisk})
}

// TestScripts runs testdata/script: bad usage, bad workflows, bad disks, and the good way through.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HF_HUB_OFFLINE", "1")
			env.Setenv("XDG_CACHE_HOME", env.WorkDir+"/.cache")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": code, "nest": nest, "empty": empty, "samepixels": samePixels, "nearpixels": nearPixels, "safetensors": safetensors, "demomodel": demoModel, "densemodel": denseModel,
		},
	})
}

// code N COMMAND... runs a command that must exit with N.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND ...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if args[0] != strconv.Itoa(got) {
		ts.Fatalf("exit code: have %d, want %s", got, args[0])
	}
}

// nest TEXT N FILE writes TEXT N times.
func nest(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(strings.Repeat(args[0], n)), 0o600))
}

// safetensors FILE HEADER N [LENGTH] writes a safetensors file of the header and N bytes of data; LENGTH is what the
// file says of its header's length, if that is a lie.
func safetensors(ts *testscript.TestScript, _ bool, args []string) {
	header := args[1]
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	length := uint64(len(header))
	if len(args) > 3 {
		length, err = strconv.ParseUint(args[3], 10, 64)
		ts.Check(err)
	}
	file := append(binary.LittleEndian.AppendUint64(nil, length), header...)
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[0])), 0o777))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append(file, make([]byte, n)...), 0o600))
}

// demoModel DIR [FILE] copies the embedded model's folder, without the file.
func demoModel(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.CopyFS(dir, os.DirFS(demoFolder)))
	if len(args) > 1 {
		ts.Check(os.Remove(filepath.Join(dir, args[1])))
	}
}

// demoFolder holds the embedded model.
var demoFolder, _ = filepath.Abs("../../runtime/hub/demo")

// empty DIR holds when the folder holds no file, or is not there.
func empty(ts *testscript.TestScript, _ bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		ts.Fatalf("%v", err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			ts.Fatalf("%s holds %s", args[0], e.Name())
		}
	}
}

// samepixels A B holds when two PNG files show the same, whatever their text says.
func samePixels(ts *testscript.TestScript, neg bool, args []string) {
	a, b := pixels(ts, args[0]), pixels(ts, args[1])
	if bytes.Equal(a, b) == neg {
		ts.Fatalf("%s and %s: same pixels is %v", args[0], args[1], neg)
	}
}

// nearpixels A B holds when no channel of two PNG files differs by more than 1 of 255.
func nearPixels(ts *testscript.TestScript, _ bool, args []string) {
	a, b := pixels(ts, args[0]), pixels(ts, args[1])
	if len(a) != len(b) {
		ts.Fatalf("%s has %d bytes of pixels, %s %d", args[0], len(a), args[1], len(b))
	}
	for i := range a {
		if d := int(a[i]) - int(b[i]); d*d > 1 {
			ts.Fatalf("%s and %s: byte %d is %d and %d", args[0], args[1], i, a[i], b[i])
		}
	}
}

func pixels(ts *testscript.TestScript, name string) []byte {
	img, err := png.Decode(strings.NewReader(ts.ReadFile(name)))
	ts.Check(err)
	switch img := img.(type) {
	case *image.RGBA:
		return img.Pix
	case *image.NRGBA:
		return img.Pix
	}
	ts.Fatalf("%s: pictures of kind %T", name, img)
	return nil
}
