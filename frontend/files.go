package frontend

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/labstack/echo/v4"
)

// Pictures converts for /view what Go's library does not. Decode must bound the pixels that it takes.
type Pictures interface {
	Decode(io.Reader) (image.Image, error)
	EncodeWebP(w io.Writer, m image.Image, quality int) error
}

// open opens a file inside a folder. os.Root keeps names, .. and links inside; what is no plain file is not there.
func open(dir, name string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// place finds what /view and the masks' originals name: an error answers as ComfyUI does (server.md 3).
func (s *Server) place(filename, kind, subfolder string) (dir, name string, err error) {
	for _, k := range []string{"output", "input", "temp"} {
		if bare, ok := strings.CutSuffix(filename, "["+k+"]"); ok {
			filename, kind = bare[:max(len(bare)-1, 0)], k
			break
		}
	}
	dir, known := s.Dirs.dir(kind)
	switch {
	case filename == "", strings.HasPrefix(filename, "/"), strings.Contains(filename, ".."), strings.ContainsRune(filename, 0), !known:
		return "", "", status(http.StatusBadRequest)
	case subfolder != "" && !filepath.IsLocal(filepath.FromSlash(subfolder)), strings.ContainsRune(subfolder, 0):
		return "", "", status(http.StatusForbidden)
	}
	return dir, path.Join(subfolder, path.Base(strings.ReplaceAll(filename, `\`, "/"))), nil
}

// view sends a picture, as it is or converted.
func (s *Server) view(c echo.Context) error {
	if !c.QueryParams().Has("filename") {
		return status(http.StatusNotFound)
	}
	kind := c.QueryParam("type")
	if kind == "" {
		kind = "output"
	}
	dir, name, err := s.place(c.QueryParam("filename"), kind, c.QueryParam("subfolder"))
	if err != nil {
		return err
	}
	f, err := open(dir, name)
	if err != nil {
		return status(http.StatusNotFound)
	}
	defer f.Close()
	base := path.Base(name)
	c.Response().Header().Set("Content-Disposition", `filename="`+strings.NewReplacer(`"`, `\"`, "\r", "", "\n", "").Replace(base)+`"`)
	channel := c.QueryParam("channel")
	if p := c.QueryParam("preview"); p != "" {
		return s.sendPreview(c, f, p, channel)
	}
	switch channel {
	case "rgb", "a":
		return s.sendChannel(c, f, channel)
	}
	return sendFile(c, f, viewType(base))
}

// viewType is the type of a file that anybody may have written: nothing that a browser would run as this server's page.
func viewType(name string) string {
	ext := strings.ToLower(path.Ext(name))
	if ext == ".js" { // as recorded; nosniff and no page that loads it keep it harmless
		return "application/javascript; charset=utf-8"
	}
	t, _, _ := mime.ParseMediaType(mime.TypeByExtension(ext))
	switch t {
	case "", "text/html", "text/html-sandboxed", "application/xhtml+xml", "text/javascript", "text/css", "image/svg+xml":
		return "application/octet-stream"
	}
	return t
}

// sendFile sends a file with its tag, ranges and conditions.
func sendFile(c echo.Context, f *os.File, kind string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("Content-Type", kind)
	h.Set("ETag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()))
	http.ServeContent(c.Response(), c.Request(), "", info.ModTime(), f)
	return nil
}

// decode reads a picture. Few are read at once: each may take a hundred times its file's size.
func (s *Server) decode(f io.Reader) (image.Image, error) {
	s.decoding <- struct{}{}
	defer func() { <-s.decoding }()
	if s.Pictures != nil {
		return s.Pictures.Decode(f)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	c, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if c.Width <= 0 || c.Height <= 0 || c.Width > mostPixels/c.Height {
		return nil, fmt.Errorf("need at most %d pixels, have %dx%d", mostPixels, c.Width, c.Height)
	}
	m, _, err := image.Decode(bytes.NewReader(data))
	return m, err
}

// mostPixels is what a picture that is converted may have where Config.Pictures does not say.
const mostPixels = 1 << 26

func (s *Server) sendPreview(c echo.Context, f *os.File, how, channel string) error {
	m, err := s.decode(f)
	if err != nil {
		return refusal("picture", http.StatusUnsupportedMediaType, "no picture: %v", err)
	}
	parts := strings.Split(how, ";")
	quality := 90
	if n, err := strconv.ParseUint(parts[len(parts)-1], 10, 16); err == nil {
		quality = int(min(max(n, 1), 100))
	}
	format := "webp"
	if s.Pictures == nil || parts[0] == "jpeg" && !strings.Contains(channel, "a") {
		format = "jpeg"
	}
	if format == "jpeg" || channel == "rgb" {
		m = opaque(m)
	}
	var b bytes.Buffer
	if format == "jpeg" {
		err = jpeg.Encode(&b, m, &jpeg.Options{Quality: quality})
	} else {
		err = s.Pictures.EncodeWebP(&b, m, quality)
	}
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "image/"+format, b.Bytes())
}

func (s *Server) sendChannel(c echo.Context, f *os.File, channel string) error {
	m, err := s.decode(f)
	if err != nil {
		return refusal("picture", http.StatusUnsupportedMediaType, "no picture: %v", err)
	}
	if channel == "rgb" {
		m = opaque(m)
	} else {
		m = alphaOnly(m)
	}
	var b bytes.Buffer
	if err := encodePNG(&b, m); err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "image/png", b.Bytes())
}

// encodePNG writes 8 bit RGB or RGBA by the kind of the picture: Go would write RGB for an RGBA picture that is opaque.
func encodePNG(w io.Writer, m image.Image) error {
	e := png.Encoder{CompressionLevel: png.BestSpeed}
	if n, ok := m.(*image.NRGBA); ok {
		m = translucent{n}
	}
	return e.Encode(w, m)
}

// translucent is a picture that does not say that it is opaque.
type translucent struct{ *image.NRGBA }

func (translucent) Opaque() bool { return false }

// straight is the picture with its colours not multiplied by alpha.
func straight(m image.Image) *image.NRGBA {
	if n, ok := m.(*image.NRGBA); ok {
		return n
	}
	b := m.Bounds()
	n := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(n, n.Bounds(), m, b.Min, draw.Src)
	return n
}

// opaque is the picture's colours as they are, without alpha.
func opaque(m image.Image) image.Image {
	n := straight(m)
	out := image.NewRGBA(image.Rect(0, 0, n.Rect.Dx(), n.Rect.Dy()))
	for y := range n.Rect.Dy() {
		src, dst := n.Pix[y*n.Stride:], out.Pix[y*out.Stride:]
		for x := 0; x < 4*n.Rect.Dx(); x += 4 {
			dst[x], dst[x+1], dst[x+2], dst[x+3] = src[x], src[x+1], src[x+2], 255
		}
	}
	return out
}

// alphaOnly is black with the picture's alpha.
func alphaOnly(m image.Image) image.Image {
	n := straight(m)
	out := image.NewNRGBA(image.Rect(0, 0, n.Rect.Dx(), n.Rect.Dy()))
	for y := range n.Rect.Dy() {
		for x := range n.Rect.Dx() {
			out.SetNRGBA(x, y, color.NRGBA{A: n.NRGBAAt(n.Rect.Min.X+x, n.Rect.Min.Y+y).A})
		}
	}
	return out
}

// upload is what both upload routes take.
type upload struct {
	file                 *multipart.FileHeader
	dir, subfolder, kind string
	name                 string
	overwrite            bool
	original             string
}

func (s *Server) upload(c echo.Context) (*upload, error) {
	r := c.Request()
	if err := r.ParseMultipartForm(32 << 20); err != nil {
		var tooBig *http.MaxBytesError
		var known *answer
		if errors.As(err, &tooBig) || errors.As(err, &known) {
			return nil, err
		}
		return nil, text(http.StatusInternalServerError, trouble)
	}
	f := func(name string) string { return r.FormValue(name) }
	u := &upload{subfolder: f("subfolder"), kind: f("type"), overwrite: f("overwrite") == "true" || f("overwrite") == "1", original: f("original_ref")}
	files := r.MultipartForm.File["image"]
	if len(files) == 0 {
		if _, plain := r.MultipartForm.Value["image"]; plain { // a file without a name
			return nil, text(http.StatusInternalServerError, trouble)
		}
		return nil, status(http.StatusBadRequest)
	}
	u.file = files[0]
	u.name = fullName(u.file)
	if u.kind == "" {
		u.kind = "input"
	}
	var known bool
	if u.dir, known = s.Dirs.dir(u.kind); !known {
		return nil, text(http.StatusInternalServerError, trouble)
	}
	target := filepath.FromSlash(path.Join(u.subfolder, u.name))
	if u.name == "" || strings.ContainsRune(target, 0) || !filepath.IsLocal(target) || path.IsAbs(u.subfolder) || path.IsAbs(u.name) ||
		!filepath.IsLocal(filepath.FromSlash(path.Join(".", u.subfolder))) {
		return nil, status(http.StatusBadRequest)
	}
	return u, nil
}

// fullName is a part's file name with its folders, which Go's FileHeader has cut off: a name that leads outside must be
// refused, not mended.
func fullName(f *multipart.FileHeader) string {
	if _, params, err := mime.ParseMediaType(f.Header.Get("Content-Disposition")); err == nil && params["filename"] != "" {
		return params["filename"]
	}
	return f.Filename
}

func (s *Server) uploadImage(c echo.Context) error {
	u, err := s.upload(c)
	if err != nil {
		return err
	}
	f, err := u.file.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	return s.store(c, u, data)
}

// store writes the file under a name that no other content has, and answers with it.
func (s *Server) store(c echo.Context, u *upload, data []byte) error {
	if err := os.MkdirAll(u.dir, 0o777); err != nil {
		return err
	}
	root, err := os.OpenRoot(u.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	full := filepath.FromSlash(path.Join(u.subfolder, u.name))
	if err := root.MkdirAll(filepath.Dir(full), 0o777); err != nil {
		return status(http.StatusBadRequest) // a link that leads outside, or a file in the way
	}
	name := full
	sum := sha256.Sum256(data)
	for i := 1; !u.overwrite; i++ {
		same, exists := sameContent(root, name, sum, int64(len(data)))
		if same {
			return s.stored(c, u, name)
		}
		if !exists {
			break
		}
		ext := filepath.Ext(full)
		name = fmt.Sprintf("%s (%d)%s", strings.TrimSuffix(full, ext), i, ext)
	}
	if err := writeFile(root, name, data); err != nil {
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EIO) {
			return err
		}
		return text(http.StatusBadRequest, "%v", err) // a name that the file system does not take
	}
	return s.stored(c, u, name)
}

func (s *Server) stored(c echo.Context, u *upload, name string) error {
	return send(c, map[string]string{"name": filepath.Base(name), "subfolder": u.subfolder, "type": u.kind})
}

func sameContent(root *os.Root, name string, sum [32]byte, size int64) (same, exists bool) {
	f, err := root.Open(name)
	if err != nil {
		return false, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() != size || !info.Mode().IsRegular() {
		return false, true
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return false, true
	}
	return [32]byte(h.Sum(nil)) == sum, true
}

// writeFile writes beside and renames, so that nobody sees half a file.
func writeFile(root *os.Root, name string, data []byte) error {
	// The form of the name is that of runtime/hub, which takes away what a process that died has left.
	base := filepath.Base(name)
	base = strings.ToValidUTF8(base[:min(len(base), 100)], "") // what is added must not make it too long
	beside := filepath.Join(filepath.Dir(name), fmt.Sprintf(".%s.%d-%08x.tmp", base, os.Getpid(), rand.Uint32()))
	f, err := root.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = root.Rename(beside, name)
	}
	if err != nil {
		root.Remove(beside)
	}
	return err
}

// uploadMask puts the alpha of the uploaded picture into an original and stores that.
func (s *Server) uploadMask(c echo.Context) error {
	u, err := s.upload(c)
	if err != nil {
		return err
	}
	var ref struct{ Filename, Subfolder, Type string }
	if json.Unmarshal([]byte(u.original), &ref) != nil {
		return status(http.StatusBadRequest)
	}
	if ref.Type == "" {
		ref.Type = "output"
	}
	dir, name, err := s.place(ref.Filename, ref.Type, ref.Subfolder)
	if err != nil {
		return err
	}
	original, err := open(dir, name)
	if err != nil {
		return status(http.StatusNotFound)
	}
	defer original.Close()
	source, err := io.ReadAll(io.LimitReader(original, s.MaxUpload))
	if err != nil {
		return err
	}
	base, err := s.decode(bytes.NewReader(source))
	if err != nil {
		return status(http.StatusBadRequest)
	}
	f, err := u.file.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	mask, err := s.decode(f)
	if err != nil {
		return status(http.StatusBadRequest)
	}
	out := straight(base)
	alpha := straight(mask)
	if alpha.Rect.Dx() != out.Rect.Dx() || alpha.Rect.Dy() != out.Rect.Dy() {
		return text(http.StatusBadRequest, "the mask has %dx%d pixels, the original %dx%d", alpha.Rect.Dx(), alpha.Rect.Dy(), out.Rect.Dx(), out.Rect.Dy())
	}
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			out.Pix[y*out.Stride+4*x+3] = alpha.Pix[y*alpha.Stride+4*x+3]
		}
	}
	var b bytes.Buffer
	if err := encodePNG(&b, out); err != nil {
		return err
	}
	return s.store(c, u, withTexts(b.Bytes(), source))
}

// withTexts puts the text chunks of one PNG file into another, after its header.
func withTexts(to, from []byte) []byte {
	const signature, header = 8, 8 + 25
	if len(from) < header || string(from[1:4]) != "PNG" {
		return to
	}
	var texts []byte
	for rest := from[signature:]; len(rest) >= 12; {
		n := int(binary.BigEndian.Uint32(rest))
		if n > len(rest)-12 {
			break
		}
		chunk := rest[:12+n]
		switch string(chunk[4:8]) {
		case "tEXt", "zTXt", "iTXt":
			if crc32.ChecksumIEEE(chunk[4:8+n]) == binary.BigEndian.Uint32(chunk[8+n:]) {
				texts = append(texts, chunk...)
			}
		}
		rest = rest[12+n:]
	}
	return slices.Concat(to[:header], texts, to[header:])
}

// viewMetadata is the __metadata__ of a safetensors file.
func (s *Server) viewMetadata(c echo.Context) error {
	name := c.QueryParam("filename")
	if !strings.HasSuffix(name, ".safetensors") {
		return status(http.StatusNotFound)
	}
	file, err := s.Engine.ModelPath(param(c, "folder"), name)
	if err != nil {
		return status(http.StatusNotFound)
	}
	f, err := os.Open(file)
	if err != nil {
		return status(http.StatusNotFound)
	}
	defer f.Close()
	var size uint64
	if binary.Read(f, binary.LittleEndian, &size) != nil || size > 1<<20 {
		return status(http.StatusNotFound)
	}
	var header struct {
		Metadata json.RawMessage `json:"__metadata__"`
	}
	if json.NewDecoder(io.LimitReader(f, int64(size))).Decode(&header) != nil || header.Metadata == nil {
		return status(http.StatusNotFound)
	}
	return sendJSON(c, http.StatusOK, header.Metadata)
}
