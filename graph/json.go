package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"graphrun/graph/jsonscan"
)

// member is one key of a JSON object whose order counts.
type member struct {
	Key   string
	Value any
}

// object is a JSON object that keeps its order.
type object []member

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	err := o.write(&b)
	return b.Bytes(), err
}

// write goes into objects itself: json.Marshal would read the text of each level once more.
func (o object) write(b *bytes.Buffer) error {
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		writeText(b, m.Key)
		b.WriteByte(':')
		switch v := m.Value.(type) {
		case object:
			if err := v.write(b); err != nil {
				return err
			}
		case string:
			writeText(b, v)
		default:
			text, err := json.Marshal(v)
			if err != nil {
				return err
			}
			b.Write(text)
			if _, isFloat := v.(float64); isFloat && !bytes.ContainsAny(text, ".e") {
				b.WriteString(".0") // as in Python: ComfyUI's validated FLOATs look so
			}
		}
	}
	b.WriteByte('}')
	return nil
}

// writeText writes s as a JSON text. Most are plain, and some are long.
func writeText(b *bytes.Buffer, s string) {
	if !jsonscan.IsPlain(s) {
		text, _ := json.Marshal(s) // a text has no error
		b.Write(text)
		return
	}
	b.WriteByte('"')
	b.WriteString(s)
	b.WriteByte('"')
}

// decode reads one JSON value, numbers exactly.
func decode(data []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func short(data []byte) string {
	s := strings.TrimSpace(string(data[:min(len(data), 200)]))
	if len(s) > 40 {
		s = s[:40] + "..."
	}
	return strconv.Quote(s)
}

// number reads a JSON number: integers as int64, uint64 or *big.Int, what has a fraction or exponent as float64.
func number(n json.Number) (any, error) {
	s := string(n)
	if strings.ContainsAny(s, ".eE") {
		return strconv.ParseFloat(s, 64)
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i, nil
	}
	if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		return u, nil
	}
	if len(s) < 400 { // reading takes the square of the digits
		if i, ok := new(big.Int).SetString(s, 10); ok {
			return i, nil
		}
	}
	return nil, fmt.Errorf("%s is no number of sensible size", short([]byte(s)))
}
