// Package conditioning has the nodes that make and combine encoded prompts.
package conditioning

import (
	"os"
	"slices"
	"strings"

	"graphrun/graph"
	"graphrun/nodes/bridge"
	"graphrun/runtime/hub"
	"graphrun/types"
)

// CLIPTextEncode turns a prompt, with weights like (word:1.2), into conditioning.
type CLIPTextEncode struct {
	Text string `multiline:"true" dynamicprompts:"true"`
	CLIP types.CLIP
}

func init() {
	graph.Register[CLIPTextEncode](graph.Meta{
		Name: "CLIPTextEncode", Title: "CLIP Text Encode (Prompt)", Category: "conditioning", Uses: graph.Device,
		Description: "Encodes a prompt with the text encoder. (word:1.2) makes a word count more, (word:0.8) less, (word) is (word:1.1).",
	})
	graph.Register[CLIPSetLastLayer](graph.Meta{
		Name: "CLIPSetLastLayer", Title: "CLIP Set Last Layer", Category: "conditioning",
		Description: "Takes the prompt's encoding from an earlier layer of the text encoder: -1 is the last one, -2 the one before.",
	})
	graph.Register[ConditioningCombine](graph.Meta{
		Name: "ConditioningCombine", Title: "Conditioning (Combine)", Category: "conditioning",
		Description: "Follows both prompts: the model predicts for each, and the predictions are averaged by area and strength.",
	})
}

// Fingerprint changes with the embeddings that lie in the models folders, if the text names one. A linked text, which is
// not known yet, may do so.
func (n CLIPTextEncode) Fingerprint(e *graph.Env) (string, error) {
	f, err := graph.Service[*hub.Folders](e)
	if err != nil || n.Text != "" && !strings.Contains(strings.ToLower(n.Text), "embedding:") {
		return "", nil
	}
	var all []string
	for _, dir := range f.ModelDirs("embeddings") {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		print, err := hub.FileFingerprint(dir)
		if err != nil {
			return "", err
		}
		all = append(all, print)
	}
	return strings.Join(all, " "), nil
}

// Run encodes the text.
func (n CLIPTextEncode) Run(c *graph.Call) (types.Conditioning, error) {
	if n.CLIP.TextEncoder == nil {
		return nil, &graph.Error{
			Kind: graph.KindCustom, Input: "clip", Need: "a text encoder", Have: "a checkpoint without one",
			Hint: "load a checkpoint that carries its text encoder, or a diffusers folder",
		}
	}
	return n.CLIP.Encode(bridge.Progress(c), n.Text, n.CLIP.LastLayer)
}

// CLIPSetLastLayer chooses the layer that a text encoder's result comes from.
type CLIPSetLastLayer struct {
	CLIP            types.CLIP
	StopAtCLIPLayer int `default:"-1" min:"-24" max:"-1" step:"1"`
}

// Run returns the encoder with the layer set.
func (n CLIPSetLastLayer) Run(*graph.Call) (types.CLIP, error) {
	n.CLIP.LastLayer = n.StopAtCLIPLayer
	return n.CLIP, nil
}

// ConditioningCombine joins two lists of prompts.
type ConditioningCombine struct {
	Conditioning1 types.Conditioning `in:"conditioning_1"`
	Conditioning2 types.Conditioning `in:"conditioning_2"`
}

// Run returns the first's prompts, then the second's.
func (n ConditioningCombine) Run(*graph.Call) (types.Conditioning, error) {
	return slices.Concat(n.Conditioning1, n.Conditioning2), nil
}
