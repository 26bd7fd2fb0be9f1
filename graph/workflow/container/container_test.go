package container

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	someWorkflow = `{"nodes": [{"id": 1, "type": "Loader"}], "links": [], "n": "\u00e9"}`
	somePrompt   = `{"1": {"class_type": "Loader", "inputs": {}}}`
	someA1111    = "a fox é\nNegative prompt: bad\nSteps: 20, Sampler: Euler a"
)

var both = Texts{Workflow: someWorkflow, Prompt: somePrompt}

func be16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func be32(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
func le32(n int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(n)) }

func join(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		case int:
			b = append(b, byte(p))
		}
	}
	return b
}

func pngChunk(kind string, body []byte) []byte {
	return join(be32(len(body)), kind, body, be32(int(crc32.ChecksumIEEE(join(kind, body)))))
}

func png(chunks ...[]byte) []byte {
	return join(pngSignature, pngChunk("IHDR", make([]byte, 13)), slices.Concat(chunks...), pngChunk("IEND", nil))
}

func packed(text string) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	io.WriteString(z, text)
	z.Close()
	return b.Bytes()
}

// tiff is EXIF data with one directory of texts, a tag each.
func tiff(order binary.AppendByteOrder, texts ...string) []byte {
	b := []byte("MM\x00*")
	if order.AppendUint16(nil, 1)[0] == 1 {
		b = []byte("II*\x00")
	}
	b = order.AppendUint16(order.AppendUint32(b, 8), uint16(len(texts)))
	at := 8 + 2 + 12*len(texts) + 4
	var values []byte
	for i, text := range texts {
		b = order.AppendUint16(order.AppendUint16(b, uint16(0x10f+i)), 2)
		b = order.AppendUint32(order.AppendUint32(b, uint32(len(text)+1)), uint32(at+len(values)))
		values = append(append(values, text...), 0)
	}
	return append(order.AppendUint32(b, 0), values...)
}

// webp has a picture of an odd size before the EXIF.
func webp(exif []byte) []byte {
	body := join("WEBP", "VP8L", le32(3), "abc", 0, "EXIF", le32(len(exif)), exif)
	return join("RIFF", le32(len(body)), body)
}

func vorbis(texts ...string) []byte {
	b := join(le32(2), "me", le32(len(texts)))
	for _, text := range texts {
		b = join(b, le32(len(text)), text)
	}
	return b
}

// ogg cuts packets into pages of at most n segments.
func ogg(n int, packets ...[]byte) (file []byte) {
	var sizes, body []byte
	page := func() {
		file = join(file, "OggS", make([]byte, 10), "\x01\x02\x03\x04", make([]byte, 8), len(sizes), sizes, body)
		sizes, body = nil, nil
	}
	for _, p := range packets {
		for end := false; !end; {
			k := min(255, len(p))
			end = k < 255
			sizes, body, p = append(sizes, byte(k)), append(body, p[:k]...), p[k:]
			if len(sizes) == n {
				page()
			}
		}
	}
	page()
	return file
}

func synchsafed(n int) []byte {
	return []byte{byte(n >> 21), byte(n >> 14 & 127), byte(n >> 7 & 127), byte(n & 127)}
}

func id3(version, flags int, frames ...[]byte) []byte {
	body := slices.Concat(frames...)
	if flags&0x80 != 0 { // a zero behind each 0xff
		body = bytes.ReplaceAll(body, []byte{0xff}, []byte{0xff, 0})
	}
	return join("ID3", version, 0, flags, synchsafed(len(body)), body, "\xff\xfb")
}

func utf16le(s string) (b []byte) {
	b = []byte{0xff, 0xfe}
	for _, r := range s {
		b = append(b, byte(r), byte(r>>8))
	}
	return b
}

func mp4Box(kind string, parts ...any) []byte {
	body := join(parts...)
	return join(be32(len(body)+8), kind, body)
}

func freeform(name, text string) []byte {
	return mp4Box("----", mp4Box("mean", be32(0), "me"), mp4Box("name", be32(0), name), mp4Box("data", be32(1), be32(0), text))
}

func ebml(id string, parts ...any) []byte {
	body := join(parts...)
	return join(id, 0x10|len(body)>>24, len(body)>>16, len(body)>>8, len(body), body)
}

func simpleTag(name, text string) []byte {
	return ebml("\x67\xc8", ebml("\x45\xa3", name), ebml("\x44\x87", text))
}

// samples are files by the format that they are told as. Those in testdata are Pillow's and ffmpeg's own.
func samples(t testing.TB) map[string][]byte {
	be, le := binary.BigEndian, binary.LittleEndian
	w, p := "workflow:"+someWorkflow, "prompt:"+somePrompt
	header := `{"__metadata__": {"prompt": ` + quoted(somePrompt) + `, "workflow": ` + quoted(someWorkflow) + `, "format": "pt"}, "t": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}`
	asset := `{"asset": {"version": "2.0", "extras": {"prompt": ` + somePrompt + `, "workflow": ` + quoted(someWorkflow) + `}}}`
	comments := vorbis("TITLE=x", "Prompt="+somePrompt, "WORKFLOW="+someWorkflow)
	keys := mp4Box("keys", be32(0), be32(2), mp4Box("mdta", "prompt"), mp4Box("mdta", "com.apple.quicktime.workflow"))
	ilst := mp4Box("ilst", mp4Box("\x00\x00\x00\x01", mp4Box("data", be32(1), be32(0), somePrompt)), mp4Box("\x00\x00\x00\x02", mp4Box("data", be32(1), be32(0), someWorkflow)))
	files := map[string][]byte{
		"PNG tEXt":        png(pngChunk("tEXt", join("prompt\x00", somePrompt)), pngChunk("tEXt", join("workflow\x00", someWorkflow))),
		"PNG comf":        png(pngChunk("IDAT", nil), pngChunk("comf", join("prompt\x00", somePrompt)), pngChunk("comf", join("workflow\x00", someWorkflow))),
		"PNG packed":      png(pngChunk("zTXt", join("prompt\x00\x00", packed(somePrompt))), pngChunk("iTXt", join("workflow\x00\x01\x00en\x00word\x00", packed(someWorkflow)))),
		"PNG eXIf":        png(pngChunk("eXIf", tiff(be, w, p))),
		"WebP":            webp(tiff(be, w, p)),
		"WebP prefix":     webp(join("Exif\x00\x00", tiff(be, w, p))),
		"WebP little":     webp(tiff(le, p, "Workflow:"+someWorkflow)),
		"JPEG":            join("\xff\xd8\xff\xff\xe1", be16(2+6+len(tiff(le, w, p))), "Exif\x00\x00", tiff(le, w, p), "\xff\xda\x00\x00"),
		"FLAC":            join("fLaC", 0, be32(34)[1:], make([]byte, 34), 0x84, be32(len(comments))[1:], comments),
		"MP3 FLAC":        join(id3(3, 0)[:10], "fLaC", 0x84, be32(len(comments))[1:], comments),
		"Ogg":             ogg(255, join("\x01vorbis", make([]byte, 23)), join("\x03vorbis", comments), []byte("sound")),
		"Ogg small pages": ogg(1, []byte("OpusHead"), join("OpusTags", comments)),
		"Ogg FLAC":        ogg(3, []byte("\x7fFLAC"), join("\x84\x00\x00\x00", comments)),
		"MP3 2.2":         id3(2, 0, join("TXX", be32(8 + len(somePrompt))[1:], "\x00prompt\x00", somePrompt), join("TXX", be32(10 + len(someWorkflow))[1:], "\x03workflow\x00", someWorkflow)),
		"MP3 2.3 UTF-16":  id3(3, 0x80, frame3("TXXX", 0, join(1, utf16le("prompt"), 0, 0, utf16le(somePrompt))), frame3("TXXX", 0x80, join(be32(99), packed("\x00workflow\x00"+someWorkflow)))),
		"MP3 2.4 comment": id3(4, 0x40, join(synchsafed(6), 0, 0), join("COMM", synchsafed(10+len(w)), 0, 0x43, 9, be32(7), 3, "eng\x00", w), frame4("TXXX", join(3, "prompt\x00", somePrompt))),
		"MP4":             join(mp4Box("ftyp", "isom"), be32(1), "mdat", make([]byte, 7), 16+3, "abc", mp4Box("moov", mp4Box("trak", "x"), mp4Box("udta", mp4Box("meta", be32(0), mp4Box("hdlr", "x"), mp4Box("ilst", freeform("prompt", somePrompt), freeform("workflow", someWorkflow))), be32(0)))),
		"MP4 QuickTime":   join(mp4Box("wide"), mp4Box("moov", mp4Box("meta", mp4Box("hdlr", "x"), keys, ilst))),
		"MP4 user data":   join(mp4Box("ftyp", "qt  "), mp4Box("moov", mp4Box("udta", mp4Box("\xa9cmt", be16(len(w)), be16(0), w), mp4Box("\xa9des", be16(len(p)), be16(0), p)))),
		"Matroska":        join(ebml("\x1a\x45\xdf\xa3", "x"), "\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff", ebml("\x1f\x43\xb6\x75", "xyz"), ebml("\x12\x54\xc3\x67", ebml("\x73\x73", simpleTag("PROMPT", somePrompt), simpleTag("WORKFLOW", someWorkflow)))),
		"safetensors":     join(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header, 0),
		"glTF":            join("glTF", le32(2), le32(20+len(asset)), le32(len(asset)), "JSON", asset),
		"SVG":             []byte(`<?xml version="1.0" encoding="latin-1"?><svg xmlns="x"><metadata><![CDATA[{"prompt": ` + somePrompt + `, "workflow": ` + someWorkflow + `}]]></metadata><path d="M0"/></svg>`),
	}
	paths, err := filepath.Glob("testdata/*.*")
	if err != nil || len(paths) == 0 {
		t.Fatal("no testdata", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := map[string]string{
			".avif": "AVIF", ".webp": "WebP", ".jpg": "JPEG", ".flac": "FLAC", ".mp3": "MP3", ".ogg": "Ogg",
			".mov": "MP4", ".mp4": "MP4", ".webm": "Matroska", ".mkv": "Matroska",
		}[filepath.Ext(path)]
		files[name+" "+filepath.Base(path)] = data
	}
	return files
}

func quoted(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }

func frame3(name string, form int, body []byte) []byte {
	return join(name, be32(len(body)), 0, form, body)
}

func frame4(name string, body []byte) []byte { return join(name, synchsafed(len(body)), 0, 0, body) }

func TestTexts(t *testing.T) {
	for name, data := range samples(t) {
		for _, r := range []io.Reader{bytes.NewReader(data), io.MultiReader(bytes.NewReader(data))} { // with and without seeking
			f := Open(r)
			if want, _, _ := strings.Cut(name, " "); f.Format != want {
				t.Errorf("%s: told as %q", name, f.Format)
				continue
			}
			want := both
			if strings.Contains(name, "a1111") {
				want = Texts{Parameters: someA1111}
			}
			texts, err := f.Texts()
			if err != nil || !same(texts, want) {
				t.Errorf("%s: %+v, %v", name, texts, err)
			}
		}
	}
}

// same compares texts but for white space in JSON, where a writer made it anew.
func same(a, b Texts) bool {
	squeeze := func(s string) string { return strings.ReplaceAll(s, " ", "") }
	return squeeze(a.Workflow) == squeeze(b.Workflow) && a.Prompt == b.Prompt && a.Parameters == b.Parameters
}

func TestOther(t *testing.T) {
	for _, text := range []string{"", "{}", "[1]", "hello", `{"free": 1}`, "\xff\xfe{\x00", "a1111\nSteps: 1"} {
		f := Open(strings.NewReader(text))
		back, err := io.ReadAll(f)
		if f.Format != "" || string(back) != text || err != nil {
			t.Errorf("%q: told as %q, read as %q, %v", text, f.Format, back, err)
		}
	}
}

// A file that ends anywhere is an error or gives what was found before, and never the text of another.
func TestCut(t *testing.T) {
	for name, data := range samples(t) {
		for n := range data {
			f := Open(bytes.NewReader(data[:n]))
			if f.Format == "" {
				continue
			}
			texts, err := f.Texts()
			if err != nil && texts.Found() {
				t.Errorf("%s cut to %d bytes: both %+v and %v", name, n, texts, err)
			}
			for have, want := range map[string]string{texts.Prompt: somePrompt, texts.Parameters: someA1111} {
				if have != "" && !strings.HasPrefix(want, have) {
					t.Errorf("%s cut to %d bytes: %q", name, n, have)
				}
			}
		}
	}
}

func TestHostile(t *testing.T) {
	bomb := packed(strings.Repeat(" ", MaxText+1))
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"PNG length":         {join(pngSignature, "\xff\xff\xff\xfftEXt", make([]byte, 40)), "need at most 64 MB, have 4095 MB"},
		"PNG bomb":           {png(pngChunk("zTXt", join("prompt\x00\x00", bomb))), "unpacks to more than 64 MB"},
		"WebP length":        {join("RIFF\x00\x00\x00\x00WEBPEXIF\xff\xff\xff\xff"), "need at most 64 MB"},
		"FLAC length":        {join("fLaC\x84\xff\xff\xff"), "ends within the comment block"},
		"ID3 bomb":           {id3(3, 0, frame3("TXXX", 0x80, join(be32(9), bomb))), "unpacks to more than 64 MB"},
		"ID3 frame":          {id3(4, 0, join("TXXX", synchsafed(1000), 0, 0)), "need 1000 bytes, have 0"},
		"MP4 short box":      {join(mp4Box("ftyp"), be32(3), "moov"), "shorter than its head"},
		"MP4 negative box":   {join(mp4Box("ftyp"), be32(1), "free\xff\xff\xff\xff\xff\xff\xff\xff"), "shorter than its head"},
		"MP4 meta":           {join(mp4Box("ftyp"), "\xff\xff\xff\xffmeta"), "need at most 64 MB"},
		"MP4 many":           {join(mp4Box("ftyp"), bytes.Repeat(mp4Box("free"), maxParts+1)), "more than"},
		"Matroska id":        {join("\x1a\x45\xdf\xa3\x80\x00"), "longer than 8 bytes"},
		"Matroska length":    {join("\x1a\x45\xdf\xa3\x80\xec\xff"), "has no length"},
		"Matroska tags":      {join("\x1a\x45\xdf\xa3\x80\x12\x54\xc3\x67\x01\x00\x00\xff\x00\x00\x00\x00"), "need at most 64 MB"},
		"Ogg streams":        {manyStreams(), "at most 16 streams"},
		"safetensors length": {join("\x00\xe0\xf5\x05\x00\x00\x00\x00{}"), "need at most 64 MB"},
		"safetensors JSON":   {join("\x02\x00\x00\x00\x00\x00\x00\x00{]"), "invalid character"},
		"glTF chunk":         {join("glTF", make([]byte, 8), le32(9), "BIN\x00"), "not JSON"},
		"SVG":                {[]byte("<svg><metadata>"), "unexpected EOF"},
	} {
		texts, err := Open(bytes.NewReader(c.data)).Texts()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v, want %s", name, texts, err, c.want)
		}
	}
	if _, err := Open(strings.NewReader("hello")).Texts(); err == nil {
		t.Error("texts of no container")
	}
}

func manyStreams() (b []byte) {
	for i := range maxStreams + 1 {
		b = join(b, "OggS", make([]byte, 10), le32(i), make([]byte, 8), 1, 1, "x")
	}
	return b
}

// fuzz holds one format's parser to its promises.
func fuzz(f *testing.F, format string) {
	for name, data := range samples(f) {
		if strings.HasPrefix(name, format) {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := Open(bytes.NewReader(data))
		if in.Format != format {
			return
		}
		texts, err := in.Texts()
		if texts.Found() && err != nil || errors.Is(err, io.EOF) {
			t.Errorf("%+v and %v", texts, err)
		}
		if len(texts.Prompt)+len(texts.Workflow) > 4*len(data)+1<<20 && len(data) < 1<<10 {
			t.Errorf("%d bytes out of %d", len(texts.Prompt)+len(texts.Workflow), len(data))
		}
	})
}

func FuzzPNG(f *testing.F)         { fuzz(f, "PNG") }
func FuzzWebP(f *testing.F)        { fuzz(f, "WebP") }
func FuzzJPEG(f *testing.F)        { fuzz(f, "JPEG") }
func FuzzFLAC(f *testing.F)        { fuzz(f, "FLAC") }
func FuzzOgg(f *testing.F)         { fuzz(f, "Ogg") }
func FuzzMP3(f *testing.F)         { fuzz(f, "MP3") }
func FuzzMP4(f *testing.F)         { fuzz(f, "MP4") }
func FuzzAVIF(f *testing.F)        { fuzz(f, "AVIF") }
func FuzzMatroska(f *testing.F)    { fuzz(f, "Matroska") }
func FuzzSafetensors(f *testing.F) { fuzz(f, "safetensors") }
func FuzzGLB(f *testing.F)         { fuzz(f, "glTF") }
func FuzzSVG(f *testing.F)         { fuzz(f, "SVG") }
