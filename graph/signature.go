package graph

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"

	"github.com/google/uuid"
)

// signature identifies what a node computes: a hash of its class, its literal inputs and its upstream signatures.
type signature [sha256.Size]byte

// The steps of signing, in task.signed.
const (
	unsigned uint8 = iota
	signing
	isSigned
)

// sign computes the signatures of the task and of all it needs.
func (r *run) sign(t *task) {
	if t.signed != unsigned {
		return
	}
	var few [16]*task
	stack := append(few[:0], t)
	for len(stack) > 0 {
		t := stack[len(stack)-1]
		if t.signed == unsigned {
			t.signed = signing
			for i := range t.in {
				if from := t.in[i].from; from != nil && from.signed == unsigned {
					stack = append(stack, from)
				}
			}
			continue
		}
		stack = stack[:len(stack)-1]
		if t.signed == signing {
			t.sig = r.signOne(t)
			t.signed = isSigned
		}
	}
}

// signOne hashes the task; its sources are signed, but for those on a cycle with it. Inputs are hashed in the order of
// the ports, under their names.
func (r *run) signOne(t *task) signature {
	b := appendText(r.buffer[:0], t.Class)
	nevers := r.nevers
	if t.spec.NotIdempotent {
		t.life = thisProc
	}
	if t.spec.NotIdempotent || slices.Contains(t.spec.Hidden, "UNIQUE_ID") || slices.Contains(t.spec.Hidden, "DYNPROMPT") {
		b = appendText(append(b, 'n'), t.id)
	}
	if t.spec.Fingerprint != nil {
		literals := make([]any, len(t.spec.Inputs))
		for i := range literals {
			if !t.in[i].raw {
				literals[i] = t.in[i].literal
			}
		}
		print, err := fingerprint(t.spec, r.opt.Env, literals)
		if err != nil {
			b = r.never(b)
		}
		b = appendText(append(b, 'f'), print)
		if isSum(print) {
			t.Read = print
		}
	}
	for i := range t.in {
		s := &t.in[i]
		switch {
		case s.from != nil:
			b = appendText(append(b, 'l'), s.label())
			b = binary.AppendVarint(b, int64(s.slot))
			if s.from.signed != isSigned {
				b = r.never(b)
			}
			b = append(b, s.from.sig[:]...)
			t.life = max(t.life, s.from.life)
		case s.present:
			b = appendText(append(b, 'v'), s.label())
			b = r.appendValue(b, s.literal)
		}
	}
	if r.nevers > nevers {
		t.life = thisRun
	}
	r.buffer = b
	return sha256.Sum256(b)
}

// isSum reports whether a fingerprint is a SHA-256 sum.
func isSum(print string) bool {
	if len(print) != 2*sha256.Size {
		return false
	}
	_, err := hex.DecodeString(print)
	return err == nil
}

// never appends what no other node has, in this run or another.
func (r *run) never(b []byte) []byte {
	if r.salt == "" {
		r.salt = uuid.NewString()
	}
	r.nevers++
	return binary.AppendVarint(append(append(b, '!'), r.salt...), int64(r.nevers))
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

// appendValue appends a constant with its type; keys of objects in order of name. What is no JSON value equals no other.
func (r *run) appendValue(b []byte, v any) []byte {
	switch x := v.(type) {
	case nil:
		return append(b, '0')
	case string:
		if len(x) > 64<<10 {
			return appendSum(append(b, 'S'), x)
		}
		return appendText(append(b, 's'), x)
	case bool:
		if x {
			return append(b, 't')
		}
		return append(b, 'u')
	case int64:
		return binary.AppendVarint(append(b, 'i'), x)
	case float64:
		return binary.BigEndian.AppendUint64(append(b, 'd'), math.Float64bits(x))
	}
	if !isJSONValue(v) {
		return r.never(b)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return r.never(b)
	}
	return appendText(fmt.Appendf(b, "j%T", v), string(text))
}

// appendSum appends the hash of a text that is too long to be copied.
func appendSum(b []byte, s string) []byte {
	h := sha256.New()
	var part [8 << 10]byte
	for len(s) > 0 {
		n := copy(part[:], s)
		h.Write(part[:n])
		s = s[n:]
	}
	return h.Sum(b)
}

// isJSONValue reports whether the value is one of JSON: what it is can be seen from its text.
func isJSONValue(v any) bool {
	switch x := v.(type) {
	case nil, string, bool, int, int64, uint64, float64, json.Number, *big.Int:
		return true
	case []any:
		return !slices.ContainsFunc(x, func(v any) bool { return !isJSONValue(v) })
	case map[string]any:
		for _, v := range x {
			if !isJSONValue(v) {
				return false
			}
		}
		return true
	}
	switch k := reflect.TypeOf(v).Kind(); k {
	case reflect.String, reflect.Bool:
		return true
	default:
		return k >= reflect.Int && k <= reflect.Float64 && k != reflect.Uintptr
	}
}
