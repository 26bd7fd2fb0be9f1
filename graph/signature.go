package graph

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"slices"
	"strings"
)

// signature identifies what a node computes: a hash of its class, its literal inputs and its upstream signatures.
type signature [sha256.Size]byte

// sign computes the task's signature; those of its sources are known. never is a text that no other run has, which
// makes the signature of a node whose fingerprint failed equal to no other.
func (t *task) sign(e *Env, never string) {
	h := sha256.New()
	write(h, "class", t.node.Class)
	if t.spec.NotIdempotent || slices.Contains(t.spec.Hidden, "UNIQUE_ID") {
		write(h, "node", t.id)
	}
	if t.spec.Fingerprint != nil {
		literal := make([]any, len(t.in))
		for i, in := range t.in {
			literal[i] = in.literal
		}
		print, err := fingerprint(t.spec, e, literal)
		if err != nil {
			print = never + t.id
		}
		write(h, "fingerprint", print)
	}
	for i, in := range t.in {
		switch {
		case in.from != nil:
			write(h, "link", t.spec.Inputs[i].Name)
			h.Write(in.from.sig[:])
			h.Write(binary.LittleEndian.AppendUint64(nil, uint64(in.slot)))
		case in.present:
			write(h, "value", t.spec.Inputs[i].Name)
			writeValue(h, in.literal)
		}
	}
	h.Sum(t.sig[:0])
}

// fingerprint calls the node's fingerprint; a panic in it is an error.
func fingerprint(s *Spec, e *Env, in []any) (print string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("fingerprint: %v", r)
		}
	}()
	return s.Fingerprint(e, in)
}

// write hashes a text under a label so that no two lists of texts hash alike.
func write(h hash.Hash, label, text string) {
	var b [8]byte
	h.Write(append(b[:0], label...))
	binary.LittleEndian.PutUint64(b[:], uint64(len(text)))
	h.Write(b[:])
	h.Write([]byte(text))
}

// writeValue hashes a constant with its type; keys of objects in order of name.
func writeValue(h hash.Hash, v any) {
	if _, isText := v.(string); isText {
		write(h, "string", v.(string))
		return
	}
	text, err := json.Marshal(v)
	if err != nil { // only floats that JSON has not
		text = fmt.Append(nil, v)
	}
	label := "json"
	if _, isFloat := v.(float64); isFloat && !strings.ContainsAny(string(text), ".e") {
		label = "float"
	}
	write(h, label, string(text))
}
