package container

import (
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"io"
)

func isSafetensors(h string) bool {
	return len(h) > 9 && binary.LittleEndian.Uint64([]byte(h)) <= 100_000_000 && h[8] == '{'
}

// readSafetensors reads the metadata in the header of a model or latent.
func readSafetensors(s *source, t *Texts) error {
	head, err := s.head(8)
	if err != nil {
		return err
	}
	header, err := s.take("the header", int64(binary.LittleEndian.Uint64(head)))
	if err != nil {
		return err
	}
	var v struct {
		Metadata json.RawMessage `json:"__metadata__"`
	}
	if err := json.Unmarshal(header, &v); err != nil {
		return err
	}
	t.members(v.Metadata)
	return nil
}

// readAsset reads the JSON of a glTF file.
func readAsset(text []byte, t *Texts) error {
	var v struct {
		Asset struct {
			Extras json.RawMessage `json:"extras"`
		} `json:"asset"`
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	t.members(v.Asset.Extras)
	return nil
}

// readSVG reads the JSON in the metadata element of a picture.
func readSVG(s *source, t *Texts) error {
	d := xml.NewDecoder(io.LimitReader(s.r, MaxText))
	d.Strict = false
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	inside := false
	var text []byte
	for {
		token, err := d.Token()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		switch x := token.(type) {
		case xml.StartElement:
			inside = x.Name.Local == "metadata"
			text = nil
		case xml.CharData:
			if inside {
				text = append(text, x...)
			}
		case xml.EndElement:
			if inside {
				t.members(text)
				return nil
			}
		}
	}
}
