// Package jsonscan looks through JSON texts, eight bytes at a time where they are long.
package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// maxDepth is how deep objects and lists may lie in each other, as in encoding/json.
const maxDepth = 10000

const (
	each = 0x0101010101010101 // a byte, eight times
	high = 0x8080808080808080
)

// less marks each byte of x that is below c by its high bit. Marks above the lowest mean nothing; bytes from 0x80 on may
// be marked too.
func less(x uint64, c byte) uint64 { return x - uint64(c)*each }

// is marks the bytes that are c, as less does.
func is(x uint64, c byte) uint64 { return less(x^uint64(c)*each, 1) }

func isSpecial(c byte) bool { return c < ' ' || c == '"' || c == '\\' }

// StringEnd is where the first quote, backslash or control character from a place on is; the length of s if there is none.
func StringEnd[T string | []byte](text T, at int) int {
	s := bytesOf(text)
	for ; at+8 <= len(s); at += 8 {
		x := binary.LittleEndian.Uint64(s[at:])
		if found := (less(x, ' ') | is(x, '"') | is(x, '\\')) &^ x & high; found != 0 {
			return at + bits.TrailingZeros64(found)/8
		}
	}
	for at < len(s) && !isSpecial(s[at]) {
		at++
	}
	return at
}

// IsPlain reports whether encoding/json writes the text as it is, in quotes.
func IsPlain(text string) bool {
	s, at := bytesOf(text), 0
	for ; at+8 <= len(s); at += 8 {
		x := binary.LittleEndian.Uint64(s[at:])
		// " and & differ in one bit, and so do < and >.
		if (less(x, ' ')|is(x, '\\')|is(x|4*each, '&')|is(x|2*each, '>')|x)&high != 0 {
			return false
		}
	}
	for _, c := range s[at:] {
		if c >= 0x80 || isSpecial(c) || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

// bytesOf is the text, which nobody changes, as bytes.
func bytesOf[T string | []byte](text T) []byte {
	switch text := any(text).(type) {
	case string:
		return unsafe.Slice(unsafe.StringData(text), len(text))
	case []byte:
		return text
	}
	return nil
}

// Valid is json.Valid, several times as fast on long strings.
func Valid(data []byte) bool {
	at := value(data, space(data, 0), 0)
	return at >= 0 && space(data, at) == len(data)
}

// space passes white space.
func space(s []byte, at int) int {
	for at < len(s) && (s[at] == ' ' || s[at] == '\n' || s[at] == '\r' || s[at] == '\t') {
		at++
	}
	return at
}

// value is where the value that begins at a place ends; negative if there is none.
func value(s []byte, at, depth int) int {
	if at >= len(s) {
		return -1
	}
	switch s[at] {
	case '"':
		return quoted(s, at)
	case '{', '[':
		return list(s, at, depth+1)
	case 't':
		return word(s, at, "true")
	case 'f':
		return word(s, at, "false")
	case 'n':
		return word(s, at, "null")
	}
	return number(s, at)
}

func word(s []byte, at int, want string) int {
	if end := at + len(want); end <= len(s) && string(s[at:end]) == want {
		return end
	}
	return -1
}

// list passes an object or a list.
func list(s []byte, at, depth int) int {
	if depth > maxDepth {
		return -1
	}
	isObject, end := s[at] == '{', s[at]+2 // } and ] come two after { and [
	if at = space(s, at+1); at < len(s) && s[at] == end {
		return at + 1
	}
	for {
		if isObject {
			if at >= len(s) || s[at] != '"' {
				return -1
			}
			if at = quoted(s, at); at < 0 {
				return -1
			}
			if at = space(s, at); at >= len(s) || s[at] != ':' {
				return -1
			}
			at = space(s, at+1)
		}
		if at = value(s, at, depth); at < 0 {
			return -1
		}
		at = space(s, at)
		switch {
		case at < len(s) && s[at] == end:
			return at + 1
		case at >= len(s) || s[at] != ',':
			return -1
		}
		at = space(s, at+1)
	}
}

func quoted(s []byte, at int) int {
	for at++; ; {
		at = StringEnd(s, at)
		switch {
		case at >= len(s) || s[at] < ' ':
			return -1
		case s[at] == '"':
			return at + 1
		case at+1 >= len(s):
			return -1
		}
		switch s[at+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			at += 2
		case 'u':
			if at+6 > len(s) || !IsHex(s[at+2]) || !IsHex(s[at+3]) || !IsHex(s[at+4]) || !IsHex(s[at+5]) {
				return -1
			}
			at += 6
		default:
			return -1
		}
	}
}

// IsHex reports whether c is a hexadecimal digit.
func IsHex(c byte) bool { return c-'0' < 10 || (c|' ')-'a' < 6 }

func number(s []byte, at int) int {
	if at < len(s) && s[at] == '-' {
		at++
	}
	if at < len(s) && s[at] == '0' {
		at++
	} else if at = digits(s, at); at < 0 {
		return -1
	}
	if at < len(s) && s[at] == '.' {
		if at = digits(s, at+1); at < 0 {
			return -1
		}
	}
	if at < len(s) && s[at]|' ' == 'e' {
		if at++; at < len(s) && (s[at] == '+' || s[at] == '-') {
			at++
		}
		at = digits(s, at)
	}
	return at
}

// digits passes digits, at least one.
func digits(s []byte, at int) int {
	from := at
	for at < len(s) && s[at]-'0' < 10 {
		at++
	}
	if at == from {
		return -1
	}
	return at
}
