package graph

import (
	"encoding/json"
	"strings"
	"testing"
)

// A number of millions of digits is refused before anyone reads it as one.
func TestLongNumber(t *testing.T) {
	for _, n := range []string{strings.Repeat("9", 5_000_000), "-" + strings.Repeat("9", 5_000_000)} {
		if v, err := number(json.Number(n)); err == nil || len(err.Error()) > 500 {
			t.Errorf("%T, %v", v, err)
		}
	}
}
