package jsonscan

import (
	"encoding/json"
	"strings"
	"testing"
)

var texts = []string{
	``, ` `, `{}`, ` [ ] `, `[1,2 , 3]`, `{"a":1,"b":[true,false,null]}`, `{"a" : {"b" : []}}`, `{"a"}`, `{"a":}`, `{a:1}`, `[1,]`, `{"a":1,}`, `[`, `{`, `{"a":1`, `[1`,
	`"x"`, `"`, `"\`, `"\u12"`, `"\u12aF"`, `"\u12ag"`, `"\x"`, `"\n\t\/\\\""`, "\"a\nb\"", "\"\xff\xfe\"", `"long text without anything special"`,
	`"long text with a \" and \\ in it, and more"`, "\"long text with a control\x01character\"", `"1234567`, `"12345678`, `"123456789"`, "\"\u2028é\x7f\"",
	`0`, `-0`, `01`, `1.`, `.5`, `1.5e`, `1e+5`, `1E-5`, `-`, `+1`, `1 2`, `tru`, `true`, `nul`, `NaN`, `1e5x`, `0x1`, `{"a":1}}`, `[[]`,
	strings.Repeat("[", 9999) + strings.Repeat("]", 9999), strings.Repeat("[", 10000) + strings.Repeat("]", 10000), strings.Repeat("[", 10001) + strings.Repeat("]", 10001),
}

func check(t *testing.T, text string) {
	t.Helper()
	if got, want := Valid([]byte(text)), json.Valid([]byte(text)); got != want {
		t.Errorf("Valid(%.60q) = %v, json.Valid says %v", text, got, want)
	}
	end := strings.IndexFunc(text, func(c rune) bool { return c < ' ' || c == '"' || c == '\\' })
	if end < 0 {
		end = len(text)
	}
	if got := StringEnd(text, 0); got != end {
		t.Errorf("StringEnd(%.60q) = %d, want %d", text, got, end)
	}
	plain := true
	for _, c := range []byte(text) { // encoding/json writes these otherwise, and U+007F as it is
		plain = plain && c >= ' ' && c < 0x80 && !strings.ContainsRune(`"\<>&`, rune(c))
	}
	if got := IsPlain(text); got != plain {
		t.Errorf("IsPlain(%.60q) = %v", text, got)
	}
	if written, _ := json.Marshal(text); plain && string(written) != `"`+text+`"` {
		t.Errorf("%.60q is plain, and encoding/json writes %.60q", text, written)
	}
}

func TestTexts(t *testing.T) {
	for _, text := range texts {
		check(t, text)
		check(t, strings.Trim(text, `"`))
	}
	for at := range 20 { // every place of a word
		for _, c := range "\"\\\x00\x1f <>&\x7f\u0080é~" {
			check(t, strings.Repeat("a", at)+string(c)+strings.Repeat("\xff", 20-at))
			check(t, strings.Repeat("a", at)+string(c)+strings.Repeat("b", 20-at))
		}
	}
}

func FuzzValid(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(check)
}
