// Package bridge carries what the runtime reports to the graph, and what the graph knows to the files that nodes write:
// neither knows the other.
package bridge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

// Progress is the call's context, whose long tasks report to the call.
func Progress(c *graph.Call) context.Context {
	return types.WithProgress(c, func(p types.Progress) { c.Progress(p.Phase, p.Step, p.Total) })
}

// Metadata is the prompt and what the client sent beside it, as the texts that saved files carry.
func Metadata(c *graph.Call) ([]picture.Text, error) {
	var text []picture.Text
	add := func(key string, doc []byte) error {
		value, err := picture.PythonJSON(doc)
		if err != nil {
			return fmt.Errorf("extra_pnginfo %s: %w", key, err)
		}
		text = append(text, picture.Text{Key: key, Value: string(value)})
		return nil
	}
	if c.Prompt != nil {
		doc, err := json.Marshal(c.Prompt)
		if err != nil {
			return nil, err
		}
		if err := add("prompt", doc); err != nil {
			return nil, err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.ExtraPNGInfo)) {
		if err := add(key, c.ExtraPNGInfo[key]); err != nil {
			return nil, err
		}
	}
	return text, nil
}

// FileSum is the SHA-256 of a file's contents, in hexadecimal: the fingerprint of nodes that read it.
func FileSum(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
