package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"graphrun/graph"
)

// uploadOptions mark inputs that name a file of the input folder, which clients may upload.
var uploadOptions = []string{"image_upload", "animated_image_upload", "video_upload", "audio_upload", "file_upload"}

// uploadInputs brings the files of this machine that the prompt names to the server, and names them as the server stored
// them. It looks in the folders in their order; a name that none has is the server's own file.
func (r *remote) uploadInputs(ctx context.Context, p *graph.Prompt, nodes graph.Library, folders ...string) error {
	stored := map[string]string{} // by path
	for _, id := range p.IDs {
		node := p.Nodes[id]
		spec := nodes[node.Class]
		if spec == nil {
			continue
		}
		for i, in := range node.Inputs {
			name, is := in.Value.(string)
			if !is || !uploads(spec.Input(in.Name)) {
				continue
			}
			file, local := localInput(name, folders)
			if !local {
				continue
			}
			if stored[file] == "" {
				var err error
				if stored[file], err = r.upload(ctx, file, path.Dir(inputName(name))); err != nil {
					return &graph.Error{
						Kind: graph.KindNodeFailed, Node: id, Class: node.Class, Title: node.Title, Input: in.Name,
						Err: fmt.Errorf("%s could not be uploaded to %s: %w", file, r.url, err),
					}
				}
			}
			node.Inputs[i].Value = stored[file]
		}
	}
	return nil
}

// uploads reports whether an input names a file of the input folder.
func uploads(port *graph.Port) bool {
	if port == nil || port.Opts["image_folder"] != nil && port.Opts["image_folder"] != "input" {
		return false
	}
	for _, option := range uploadOptions {
		if port.Opts[option] == true {
			return true
		}
	}
	return false
}

// inputName is the name without " [input]", which says no more than what holds anyway.
func inputName(name string) string {
	return strings.TrimSuffix(strings.TrimSuffix(name, "[input]"), " ")
}

// localInput finds a file of the input folder on this machine. What a workflow names outside of the folders is not looked at.
func localInput(name string, folders []string) (file string, found bool) {
	rel := filepath.FromSlash(inputName(name))
	if !filepath.IsLocal(rel) {
		return "", false
	}
	for _, folder := range folders {
		root, err := os.OpenRoot(folder)
		if err != nil {
			continue
		}
		info, err := root.Stat(rel)
		root.Close()
		if err == nil && info.Mode().IsRegular() {
			return filepath.Join(folder, rel), true
		}
	}
	return "", false
}

// upload sends a file as POST /upload/image takes it, which is any file, and returns its name there. Nothing is overwritten:
// the server keeps one of the same content, and gives a number to another of the same name.
func (r *remote) upload(ctx context.Context, file, subfolder string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if subfolder == "." {
		subfolder = ""
	}
	body, form := io.Pipe()
	w := multipart.NewWriter(form)
	go func() {
		w.WriteField("type", "input")
		w.WriteField("subfolder", subfolder)
		part, err := w.CreateFormFile("image", filepath.Base(file))
		if err == nil {
			_, err = io.Copy(part, f)
		}
		form.CloseWithError(errors.Join(err, w.Close()))
	}()
	defer body.Close() // a server that refuses does not read to the end
	status, data, err := r.send(ctx, http.MethodPost, "/upload/image", w.FormDataContentType(), body)
	var answer struct{ Name, Subfolder string }
	switch {
	case err != nil:
		return "", err
	case status == http.StatusUnauthorized:
		return "", r.wantsToken()
	case status == http.StatusRequestEntityTooLarge:
		return "", errors.New("the server takes no file of this size: raise its --max-upload-size")
	case status != http.StatusOK:
		return "", fmt.Errorf("status %d: %s", status, graph.Clip(strings.TrimSpace(string(data))))
	}
	if err := json.Unmarshal(data, &answer); err != nil || answer.Name == "" {
		return "", fmt.Errorf("is this a ComfyUI server? it answers %s", graph.Clip(strings.TrimSpace(string(data))))
	}
	return path.Join(answer.Subfolder, answer.Name), nil
}
