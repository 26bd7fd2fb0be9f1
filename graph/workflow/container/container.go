// Package container finds the texts that ComfyUI, its node packs and A1111 keep in media files: the workflow, the prompt
// and A1111's parameters. The kind of a file is told by its content, never by its name.
//
// What is read and where it is kept: specs/workflow-conversion.md, section 10, and the formats' own specifications. Every
// length is checked before it is believed: a file costs at most MaxText of memory a text and time in proportion to its size.
package container

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// MaxText is the largest text that is read, in bytes, also unpacked from a compressed chunk.
const MaxText = 64 << 20

// maxParts is how many chunks, boxes, frames or pages of a file are looked at.
const maxParts = 1 << 20

// Texts are what a file carries; "" where it has none.
type Texts struct{ Workflow, Prompt, Parameters string }

// Found reports whether there is a workflow or a prompt.
func (t *Texts) Found() bool { return t.Workflow != "" || t.Prompt != "" }

// wanted reports whether a text of this name, in whatever case, is kept.
func wanted(key string) bool { return (&Texts{}).at(key) != nil }

func (t *Texts) at(key string) *string {
	switch strings.ToLower(key) {
	case "workflow":
		return &t.Workflow
	case "prompt":
		return &t.Prompt
	case "parameters":
		return &t.Parameters
	}
	return nil
}

// put keeps a text by its name; of several the first.
func (t *Texts) put(key, text string) {
	if p := t.at(key); p != nil && *p == "" {
		*p = strings.TrimRight(text, "\x00")
	}
}

// member keeps a JSON value by its name: text as it is, an object as JSON.
func (t *Texts) member(key string, value json.RawMessage) {
	var text string
	if json.Unmarshal(value, &text) == nil {
		t.put(key, text)
	} else if bytes.HasPrefix(value, []byte("{")) {
		t.put(key, string(value))
	}
}

// members keeps the members of a JSON object.
func (t *Texts) members(text []byte) {
	var object map[string]json.RawMessage
	if json.Unmarshal(text, &object) == nil {
		for key, value := range object {
			if wanted(key) {
				t.member(key, value)
			}
		}
	}
}

// comment keeps a text without a name of its own: "workflow:{...}" as ComfyUI writes EXIF, a JSON object with both as
// video packs write comments, or A1111's parameters.
func (t *Texts) comment(text string) {
	text = strings.TrimRight(text, "\x00 ")
	name, rest, _ := strings.Cut(text, ":")
	switch {
	case strings.HasPrefix(text, "{"):
		t.members([]byte(text))
	case strings.EqualFold(name, "workflow") || strings.EqualFold(name, "prompt"):
		t.put(name, rest)
	case strings.Contains(text, "\nSteps:"):
		t.put("parameters", text)
	}
}

// formats are told by the first headSize bytes. read starts at the first byte.
var formats = []struct {
	name string
	is   func(head string) bool
	read func(*source, *Texts) error
}{
	{"PNG", prefix(pngSignature), readPNG},
	{"WebP", func(h string) bool { return strings.HasPrefix(h, "RIFF") && len(h) >= 12 && h[8:12] == "WEBP" }, readWebP},
	{"JPEG", prefix("\xff\xd8\xff"), readJPEG},
	{"FLAC", prefix("fLaC"), readFLAC},
	{"Ogg", prefix("OggS"), readOgg},
	{"MP3", func(h string) bool {
		return strings.HasPrefix(h, "ID3") || len(h) > 1 && h[0] == 0xff && h[1]&0xe6 == 0xe2
	}, readID3},
	{"Matroska", prefix("\x1a\x45\xdf\xa3"), readMatroska},
	{"AVIF", isAVIF, readHEIF},
	{"MP4", isMP4, readMP4},
	{"glTF", prefix("glTF"), readGLB},
	{"safetensors", isSafetensors, readSafetensors},
	{"SVG", func(h string) bool { return strings.HasPrefix(strings.TrimLeft(h, "\uFEFF \t\r\n"), "<") }, readSVG},
}

const headSize = 32

func prefix(p string) func(string) bool {
	return func(head string) bool { return strings.HasPrefix(head, p) }
}

// File is a file whose kind is known. It is a reader of the whole file as long as Texts has not been called.
type File struct {
	Format string // "PNG", ...; "" if it is none that this package reads
	in     *source
	read   func(*source, *Texts) error
}

// Open tells the kind of a file. What is not looked at is not read where r is an io.Seeker.
func Open(r io.Reader) *File {
	f := &File{in: newSource(r)}
	head, _ := f.in.r.Peek(headSize)
	for _, format := range formats {
		if format.is(string(head)) {
			f.Format, f.read = format.name, format.read
			break
		}
	}
	return f
}

// Read implements io.Reader.
func (f *File) Read(p []byte) (int, error) { return f.in.r.Read(p) }

// Texts reads what the file carries, which may be nothing. The error is about a damaged or hostile file; what was found
// before counts.
func (f *File) Texts() (Texts, error) {
	var t Texts
	if f.read == nil {
		return t, errors.New("no known container")
	}
	err := f.read(f.in, &t)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if t.Found() {
		err = nil
	}
	return t, err
}

// asUTF8 takes text as UTF-8, as ComfyUI writes it, or else as Latin-1, as old standards have it.
func asUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}

// tooLong says that a text is longer than is read.
func tooLong(what string, n int64) error {
	return fmt.Errorf("%s: need at most %d MB, have %d MB", what, MaxText>>20, n>>20)
}
