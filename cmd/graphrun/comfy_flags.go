package main

import (
	"log/slog"
	"strings"

	"github.com/spf13/pflag"
)

// unneeded are flags of ComfyUI's that mean nothing here, by the reason: start scripts that give them go on as they are.
// Those that end in "=" take a value, in "?" perhaps one, in "*" any number.
var unneeded = map[string][]string{
	"devices and memory are found out: see --memory": {
		"cpu", "gpu-only", "highvram", "normalvram", "lowvram", "novram", "reserve-vram=", "vram-headroom=", "cuda-device=", "default-device=",
		"directml?", "oneapi-device-selector=", "disable-ipex-optimize", "cuda-malloc", "disable-cuda-malloc", "async-offload?", "disable-async-offload",
		"force-non-blocking", "disable-smart-memory", "disable-pinned-memory", "enable-dynamic-vram", "disable-dynamic-vram", "mmap-torch-files",
		"disable-mmap", "cache-ram*",
	},
	"how it is computed is up to the weights: see --precision": {
		"force-fp32", "force-fp16", "fp32-unet", "fp64-unet", "bf16-unet", "fp16-unet", "fp8_e4m3fn-unet", "fp8_e5m2-unet", "fp8_e8m0fnu-unet",
		"fp16-vae", "fp32-vae", "bf16-vae", "cpu-vae", "fp8_e4m3fn-text-enc", "fp8_e5m2-text-enc", "fp16-text-enc", "fp32-text-enc", "bf16-text-enc",
		"force-channels-last", "supports-fp8-compute", "use-split-cross-attention", "use-quad-cross-attention", "use-pytorch-cross-attention",
		"use-sage-attention", "use-flash-attention", "disable-xformers", "force-upcast-attention", "dont-upcast-attention", "deterministic", "fast*",
	},
	"there are no custom nodes in Python, and no nodes that call others' services": {
		"disable-all-custom-nodes", "whitelist-custom-nodes*", "disable-api-nodes", "enable-manager", "enable-manager-legacy-ui",
		"disable-manager-ui", "comfy-api-base=",
	},
	"the page is the editor or that of --front-end-root, and no browser is started": {
		"auto-launch", "disable-auto-launch", "windows-standalone-build", "front-end-version=",
	},
	"contents are compared whole, not by a hash": {"default-hashing-function="},
	"the queue's file is --queue-file":           {"database-url="},
	"the log goes to standard error":             {"log-stdout", "dont-print-server"},
	"tests of ComfyUI's are --test-nodes":        {"quick-test-for-ci"},
}

// many marks a flag that takes all values up to the next flag.
const many = "many"

// addUnneeded adds the flags that mean nothing, out of the help's sight.
func addUnneeded(flags *pflag.FlagSet) {
	for _, names := range unneeded {
		for _, name := range names {
			last := name[len(name)-1]
			if name = strings.TrimRight(name, "=?*"); last == '=' {
				flags.StringArray(name, nil, "")
			} else if last == '?' || last == '*' {
				flags.StringArray(name, nil, "")
				flags.Lookup(name).NoOptDefVal = " "
			} else {
				flags.Bool(name, false, "")
			}
			if last == '*' {
				flags.SetAnnotation(name, many, nil)
			}
			flags.MarkHidden(name)
		}
	}
}

// noteUnneeded says in the log which flags had no effect, and why.
func noteUnneeded(flags *pflag.FlagSet, log *slog.Logger) {
	for why, names := range unneeded {
		for _, name := range names {
			if name = strings.TrimRight(name, "=?*"); flags.Changed(name) {
				log.Info("this flag of ComfyUI's has no effect here", "flag", "--"+name, "why", why)
			}
		}
	}
}

// spelledOut is the command line of serve with every value joined to its flag. ComfyUI's command line lets a flag's value
// be left out (--listen) or follow (--listen 0.0.0.0), and some take several; serve has no other arguments.
func spelledOut(args []string) []string {
	if len(args) == 0 || args[0] != "serve" {
		return args
	}
	var f serveFlags
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.addServe(flags)
	out := args[:1:1]
	for i := 1; i < len(args); i++ {
		out = append(out, args[i])
		name, isFlag := strings.CutPrefix(args[i], "--")
		flag := flags.Lookup(name)
		if !isFlag || flag == nil || flag.Value.Type() == "bool" {
			continue
		}
		_, takesMany := flag.Annotations[many]
		for first := true; i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") && (first || takesMany); first = false {
			if i++; first {
				out = out[:len(out)-1]
			}
			out = append(out, "--"+name+"="+args[i])
		}
	}
	return out
}
