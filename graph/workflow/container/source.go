package container

import (
	"bufio"
	"fmt"
	"io"
)

// source reads a file forwards.
type source struct {
	r    *bufio.Reader
	from io.Reader
	seek io.Seeker // nil where the input cannot be sought
	at   int64     // bytes consumed
	left int       // parts that may still be looked at
}

func newSource(r io.Reader) *source {
	s := &source{r: bufio.NewReader(r), from: r, left: maxParts}
	s.seek, _ = r.(io.Seeker)
	return s
}

// part counts one more chunk of the file.
func (s *source) part() error {
	if s.left--; s.left < 0 {
		return fmt.Errorf("it has more than %d parts", maxParts)
	}
	return nil
}

// head reads the n bytes before a part. It is io.EOF where the file ends before them, and counts the part.
func (s *source) head(n int) ([]byte, error) {
	b := make([]byte, n)
	k, err := io.ReadFull(s.r, b)
	s.at += int64(k)
	if err == io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("the file ends within a part's head: need %d bytes, have %d", n, k)
	}
	if err == nil {
		err = s.part()
	}
	return b, err
}

// take reads the n bytes of a part called what, which may be at most MaxText.
func (s *source) take(what string, n int64) ([]byte, error) {
	if n > MaxText || n < 0 {
		return nil, tooLong(what, n)
	}
	b, err := io.ReadAll(io.LimitReader(s.r, n)) // which grows with what is there, not with what the file says
	s.at += int64(len(b))
	if err == nil && int64(len(b)) < n {
		err = fmt.Errorf("the file ends within %s: need %d bytes, have %d", what, n, len(b))
	}
	return b, err
}

// skip passes n bytes over. Where the input can be sought, their absence shows at the next read only.
func (s *source) skip(n int64) error {
	if n < 0 {
		return fmt.Errorf("a length of %d", n)
	}
	if s.seek != nil && n > int64(s.r.Buffered())+1<<16 {
		if _, err := s.seek.Seek(n-int64(s.r.Buffered()), io.SeekCurrent); err == nil {
			s.r.Reset(s.from)
			s.at += n
			return nil
		}
		s.seek = nil // a pipe
	}
	k, err := io.CopyN(io.Discard, s.r, n)
	s.at += k
	if err == io.EOF {
		err = fmt.Errorf("the file ends too early: need %d more bytes, have %d", n, k)
	}
	return err
}
