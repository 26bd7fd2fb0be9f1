package picture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// PythonJSON rewrites a JSON document as Python's json.dumps prints it: one line, ", " and ": " between parts, every
// character outside printable ASCII as a \u escape, 1.50 as 1.5 and 1e5 as 100000.0. The order of keys, integers, and
// numbers beyond float64 stay as they are.
func PythonJSON(doc []byte) ([]byte, error) {
	if !json.Valid(doc) {
		var v any
		return nil, fmt.Errorf("metadata is not JSON: %w", errors.Join(json.Unmarshal(doc, &v)))
	}
	out := make([]byte, 0, len(doc)+len(doc)/8)
	for i := 0; i < len(doc); {
		switch c := doc[i]; c {
		case ' ', '\t', '\r', '\n':
			i++
		case ',', ':':
			out = append(out, c, ' ')
			i++
		case '"':
			end := i + 1
			for doc[end] != '"' {
				if doc[end] == '\\' {
					end++
				}
				end++
			}
			out = appendPythonString(out, doc[i+1:end])
			i = end + 1
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			end := i + 1
			for end < len(doc) && strings.IndexByte("0123456789.eE+-", doc[end]) >= 0 {
				end++
			}
			out = appendPythonNumber(out, string(doc[i:end]))
			i = end
		default:
			out = append(out, c)
			i++
		}
	}
	return out, nil
}

// appendPythonNumber appends a JSON number: one with a fraction or exponent by the shortest digits that read back as the
// same float64, with an exponent below 1e-4 and from 1e16 on.
func appendPythonNumber(out []byte, s string) []byte {
	f, err := strconv.ParseFloat(s, 64)
	if !strings.ContainsAny(s, ".eE") || err != nil {
		return append(out, s...)
	}
	if size := math.Abs(f); size != 0 && (size < 1e-4 || size >= 1e16) {
		return strconv.AppendFloat(out, f, 'e', -1, 64)
	}
	start := len(out)
	out = strconv.AppendFloat(out, f, 'f', -1, 64)
	if !bytes.Contains(out[start:], []byte{'.'}) {
		out = append(out, ".0"...)
	}
	return out
}

// shortEscapes are JSON's two-character escapes, by the character they stand for.
var shortEscapes = map[uint16]byte{'"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't'}

var escaped = map[byte]uint16{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// appendPythonString appends the string whose valid JSON body is s. It goes by UTF-16 units, so that lone surrogates,
// which JSON may hold and Go strings may not, stay.
func appendPythonString(out, s []byte) []byte {
	out = append(out, '"')
	unit := func(u uint16) {
		if e, ok := shortEscapes[u]; ok {
			out = append(out, '\\', e)
		} else if u >= ' ' && u <= '~' {
			out = append(out, byte(u))
		} else {
			out = fmt.Appendf(out, `\u%04x`, u)
		}
	}
	for i := 0; i < len(s); {
		if s[i] == '\\' {
			if s[i+1] == 'u' {
				var u uint16
				for _, d := range s[i+2 : i+6] {
					u = u<<4 | hexDigit(d)
				}
				unit(u)
				i += 6
				continue
			}
			unit(escaped[s[i+1]])
			i += 2
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		for _, u := range utf16.AppendRune(nil, r) {
			unit(u)
		}
		i += n
	}
	return append(out, '"')
}

func hexDigit(d byte) uint16 {
	switch {
	case d <= '9':
		return uint16(d - '0')
	case d <= 'F':
		return uint16(d-'A') + 10
	}
	return uint16(d-'a') + 10
}
