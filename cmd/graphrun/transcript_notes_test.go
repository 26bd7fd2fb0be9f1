package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// What a transcript's lines do not hold: the contents of uploads, prompts that had to be running, and how its notes came to
// be. It is told here, by the shape of a note and, for steps, by the name of the scenario.

// elided are the steps of scenarios that their lines leave out: each is taken before the line with its number, counted from 0
// without what sockets heard, the last after all lines.
var elided = map[string]map[int]func(*replay){
	"s17_interrupt_running":      {1: func(r *replay) { r.ids[r.busy()] = "<prompt:1>" }, 3: (*replay).busyEnded},
	"s18_interrupt_without_body": {2: func(r *replay) { r.busy() }, 3: (*replay).busyEnded},
	"s19_queue_delete_and_clear": {1: func(r *replay) {
		r.busy()
		for i := range 4 {
			r.quiet(fmt.Sprintf("q%d", i), nil)
		}
		r.ids[r.quieted[1].id] = "<prompt:1>"
	}, 9: (*replay).busyEnded},
	"s23_view": {0: func(r *replay) {
		for _, f := range []struct{ ext, folder, content string }{
			{"png", r.run, string(r.uploaded(6))}, {"html", "", "<b>x</b>"}, {"txt", "", "plain"}, {"js", "", "1"},
		} {
			r.upload(r.run+"."+f.ext, f.folder, "input", f.content)
		}
	}},
	"s26_reconnect_while_running": {1: func(r *replay) {
		r.busy()
		r.sockets[0].conn.Close(websocket.StatusNormalClosure, "")
		<-r.sockets[0].closed
	}, 4: (*replay).busyEnded},
	"s28_queue_order": {1: func(r *replay) {
		r.busy()
		for _, q := range []struct {
			tag  string
			more object
		}{
			{"plain1", nil},
			{"plain2", nil},
			{"front1", object{"front": true}},
			{"front2", object{"front": true}},
			{"number", object{"number": r.busyNumber + 0.5}},
			{"notfront", object{"front": false}},
		} {
			r.quiet(q.tag, q.more)
		}
	}},
	"s38_file_names": {14: func(r *replay) {
		r.upload("n_16x8_00041_.png", r.run, "output", string(r.uploaded(7)))
	}},
}

// quieted is a prompt that no line holds.
type quieted struct {
	tag, id string
	number  float64
}

// unheard queues a prompt of the first socket without a line.
func (r *replay) unheard(prompt object, more object) (id string, number float64) {
	body := object{"prompt": prompt, "client_id": r.sockets[0].name}
	maps.Copy(body, more)
	text, err := json.Marshal(body)
	r.must(err)
	resp, err := http.Post(r.url+"/prompt", "application/json", bytes.NewReader(text))
	r.must(err)
	defer resp.Body.Close()
	var answer struct {
		ID     string `json:"prompt_id"`
		Number float64
	}
	r.must(json.NewDecoder(resp.Body).Decode(&answer))
	if answer.ID == "" {
		r.Fatalf("status %d for %.200s", resp.StatusCode, text)
	}
	return answer.ID, answer.Number
}

// busy queues a prompt that takes long, a chain of resizings, and waits for its fourth node.
func (r *replay) busy() string {
	const side = 768
	p := object{"1": apiNode("EmptyImage", object{"width": side, "height": side, "batch_size": 1, "color": 0x334455})}
	for i := 2; i < 262; i++ {
		p[strconv.Itoa(i)] = apiNode("ImageScale", object{"image": []any{strconv.Itoa(i - 1), 0}, "upscale_method": "bicubic", "width": side + i%2, "height": side, "crop": "disabled"})
	}
	p["9999"] = apiNode("PreviewImage", object{"images": []any{"261", 0}})
	r.busyID, r.busyNumber = r.unheard(p, nil)
	eventually(r, "the prompt runs", func() bool {
		return r.sockets[0].heardOf("executing", `"node":"4"`, r.busyID) != nil
	})
	return r.busyID
}

// busyEnded waits until the client of the long prompt has heard of its end.
func (r *replay) busyEnded() {
	last := r.sockets[len(r.sockets)-1]
	eventually(r, "the prompt ends", func() bool { return last.heardOf("executing", `"node":null`, r.busyID) != nil })
}

// quiet queues a small prompt behind the long one.
func (r *replay) quiet(tag string, more object) {
	id, number := r.unheard(object{
		"1": apiNode("EmptyImage", object{"width": 16, "height": 8, "batch_size": 1, "color": 0x102030}),
		"2": apiNode("ImageInvert", object{"image": []any{"1", 0}}),
		"3": apiNode("SaveImage", object{"images": []any{"2", 0}, "filename_prefix": r.run + "/" + tag}),
	}, more)
	r.quieted = append(r.quieted, quieted{tag, id, number})
}

// heardOf is a message of the type that holds all of the texts.
func (e *ear) heardOf(kind string, texts ...string) []byte {
	for _, m := range e.all() {
		if m.kind == websocket.MessageText && strings.Contains(string(m.data), `"type":"`+kind+`"`) &&
			!slices.ContainsFunc(texts, func(t string) bool { return !strings.Contains(string(m.data), t) }) {
			return m.data
		}
	}
	return nil
}

// upload sends a file, which has to be taken.
func (r *replay) upload(name, folder, kind, content string) {
	body, contentType := multipartBody([]any{
		[]any{"image", object{"filename": name}}, []any{"subfolder", folder}, []any{"type", kind},
	}, func(object) []byte { return []byte(content) })
	resp, err := http.Post(r.url+"/upload/image", contentType, bytes.NewReader(body))
	r.must(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		r.Fatal(name, ": status ", resp.StatusCode)
	}
}

// form is the body of a recorded upload. Of a picture the line tells the size and a digest.
func (r *replay) form(fields []any) (body []byte, contentType string) {
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // names in it are in <>
	r.must(e.Encode(fields))
	r.must(json.Unmarshal([]byte(r.actual(text.String())), &fields))
	return multipartBody(fields, func(file object) []byte {
		blob := file["blob"].(object)
		for i := range pictureFiles {
			if data := r.uploaded(i); difference(blob, r.blob(data)) == "" {
				return data
			}
		}
		r.Fatalf("no picture for %v", blob)
		return nil
	})
}

func multipartBody(fields []any, content func(file object) []byte) (body []byte, contentType string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		name, value := f.([]any)[0].(string), f.([]any)[1]
		file, is := value.(object)
		if !is {
			w.WriteField(name, value.(string))
			continue
		}
		part, _ := w.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {fmt.Sprintf(`form-data; name="%s"; filename="%s"`, name, file["filename"])}, "Content-Type": {"image/png"},
		})
		part.Write(content(file))
	}
	w.Close()
	return b.Bytes(), w.FormDataContentType()
}

// pictureFiles are the pictures of the transcripts, each of one colour, RGBA, without the bytes that all PNGs begin with. They are
// kept as files because a digest of one is recorded.
var pictureFiles = []string{
	"AAQAAAADCAYAAAC09K7GAAAAEklEQVR4nGP4z8DwHxkzEBQAAGHtF+mRbBMEAAAAAElFTkSuQmCC",                             // 4x3, 255, 0, 0, 255
	"AAQAAAADCAYAAAC09K7GAAAAEUlEQVR4nGNgYPj/HxUTEgAASgUX6XuP7L0AAAAASUVORK5CYII=",                             // 4x3, 0, 0, 255, 255
	"AAQAAAADCAYAAAC09K7GAAAACXRFWHRub3RlAGtlcHTnPr4ZAAAAEklEQVR4nGPgEpH7j4wZCAoAAGdSDsWfzwrRAAAAAElFTkSuQmCC", // 4x3, 10, 20, 30, 255
	"AAQAAAADCAYAAAC09K7GAAAAEElEQVR4nGNgYGDwRcMEBABW0wOdtBnBlQAAAABJRU5ErkJggg==",                             // 4x3, 0, 0, 0, 77
	"AAQAAAAECAYAAACp8Z5+AAAAEklEQVR4nGP4z8DwHxkzkC4AADxAH+HggXe0AAAAAElFTkSuQmCC",                             // 4x4, 255, 0, 0, 255
	"AAQAAAAECAYAAACp8Z5+AAAAD0lEQVR4nGNg+I8GSRcAACxQH+H81I9XAAAAAElFTkSuQmCC",                                 // 4x4, 0, 255, 0, 255
	"AAYAAAAFCAYAAABmWJ3mAAAAEklEQVR4nGM4kWLUgA0z0EECAL3QOAVIR98BAAAAAElFTkSuQmCC",                             // 6x5, 200, 100, 50, 128
	"AAIAAAACCAYAAABytg0kAAAAEUlEQVR4nGP4z8DwH4QZYAwAR8oH+WdZbrcAAAAASUVORK5CYII=",                             // 2x2, 255, 0, 0, 255
}

// uploaded is one of them.
func (r *replay) uploaded(i int) []byte {
	data, err := base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAA" + pictureFiles[i])
	r.must(err)
	return data
}

// note makes the observation of a note again: what kind of one it is shows in its keys.
func (r *replay) note(n object) {
	for key, observe := range observations {
		if _, is := n[key]; is {
			same(r.T, fmt.Sprint("note ", n), n, r.normal(plainJSON(r, observe(r, n)), ""))
			return
		}
	}
	r.Errorf("a note of which nobody knows how it was made: %v", n)
}

// plainJSON is a value as it comes out of JSON.
func plainJSON(r *replay, v any) any {
	text, err := json.Marshal(v)
	r.must(err)
	var out any
	r.must(json.Unmarshal(text, &out))
	return out
}

func (r *replay) get(path string) (v object) {
	getJSON(r, r.url+path, &v)
	return v
}

// entry is the history's of a prompt.
func (r *replay) entry(id string) object {
	e, _ := r.get("/history/" + id)[id].(object)
	if e == nil {
		r.Fatal("the history lacks ", id)
	}
	return e
}

func (r *replay) lastEntry() object { return r.entry(r.prompts[len(r.prompts)-1]) }

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

var observations = map[string]func(*replay, object) object{
	"origin": func(r *replay, n object) object {
		q, _ := http.NewRequest("GET", r.url+"/prompt", nil)
		port := r.url[strings.LastIndexByte(r.url, ':')+1:]
		q.Header.Set("Origin", strings.ReplaceAll(n["origin"].(string), "<port>", port))
		q.Host, _ = n["host"].(string)
		resp, err := http.DefaultClient.Do(q)
		r.must(err)
		resp.Body.Close()
		seen := maps.Clone(n)
		seen["status"] = resp.StatusCode
		return seen
	},
	"options_status": func(r *replay, _ object) object {
		got := r.http(object{"method": "OPTIONS", "path": "/prompt"}, nil)
		return object{"options_status": got["status"], "empty": got["empty"]}
	},
	"query": func(r *replay, n object) object {
		var h json.RawMessage
		getJSON(r, r.url+"/history"+n["query"].(string), &h)
		places := []int{}
		d := json.NewDecoder(bytes.NewReader(h))
		for depth := 0; ; { // in order, as a client of the recorded kind sees them
			tok, err := d.Token()
			if err != nil {
				break
			}
			switch tok := tok.(type) {
			case json.Delim:
				if depth++; tok == '}' || tok == ']' {
					depth -= 2
				}
			case string:
				if i := slices.Index(r.prompts, tok); depth == 1 && i >= 0 {
					places = append(places, i)
				}
			}
		}
		return object{"query": n["query"], "status": 200, "keys": places}
	},
	"error_types": func(r *replay, _ object) object {
		body, _ := json.Marshal(object{"prompt": object{
			"1": apiNode("ImageInvert", object{"image": []any{"2", 0}}), "2": apiNode("ImageInvert", object{"image": []any{"1", 0}}),
			"3": apiNode("PreviewImage", object{"images": []any{"1", 0}}),
		}})
		got := r.http(object{"method": "POST", "path": "/prompt"}, body)
		answer := got["json"].(object)
		types := map[string]bool{}
		for _, node := range answer["node_errors"].(object) {
			for _, e := range node.(object)["errors"].([]any) {
				types[e.(object)["type"].(string)] = true
			}
		}
		e := answer["error"].(object)
		return object{"status": got["status"], "type": e["type"], "message": e["message"], "error_types": append([]string{}, keys(types)...)}
	},
	"prompt": func(r *replay, _ object) object {
		e := r.lastEntry()
		return object{"prompt": e["prompt"].([]any)[2], "outputs": e["outputs"]}
	},
	"extra_data": func(r *replay, _ object) object {
		return object{"extra_data": r.lastEntry()["prompt"].([]any)[3]}
	},
	"prefix": func(r *replay, n object) object {
		return object{"prefix": n["prefix"], "images": r.lastEntry()["outputs"].(object)["2"].(object)["images"]}
	},
	"users_keys": func(r *replay, _ object) object {
		u := r.get("/users")
		return object{"users_keys": keys(u), "storage": u["storage"], "migrated": u["migrated"]}
	},
	"every_entry_has_the_keys": func(r *replay, _ object) object {
		whole, named := true, true
		for name, info := range r.get("/object_info") {
			for _, k := range []string{"input", "input_order", "output", "output_is_list", "output_name", "name", "display_name", "description", "python_module", "category", "output_node"} {
				_, has := info.(object)[k]
				whole = whole && has
			}
			named = named && info.(object)["name"] == name
		}
		return object{"every_entry_has_the_keys": whole, "name_equals_key": named}
	},
	"load_image_second": func(r *replay, _ object) object {
		info := r.get("/object_info/LoadImage")["LoadImage"].(object)
		in := info["input"].(object)["required"].(object)["image"].([]any)
		return object{"load_image_second": in[1], "output": info["output"]}
	},
	"model_folders": func(r *replay, _ object) object {
		var folders []string
		getJSON(r, r.url+"/models", &folders)
		return object{"model_folders": folders}
	},
	"system": func(r *replay, _ object) object {
		s := r.get("/system_stats")
		return object{"system": keys(s["system"].(object)), "device": keys(s["devices"].([]any)[0].(object))}
	},
	"logs": func(r *replay, _ object) object {
		l := r.get("/internal/logs/raw")
		return object{"logs": keys(l), "entry": keys(l["entries"].([]any)[0].(object)), "size": keys(l["size"].(object))}
	},
	"logs_is_string": func(r *replay, _ object) object {
		var text any
		getJSON(r, r.url+"/internal/logs", &text)
		_, is := text.(string)
		return object{"logs_is_string": is}
	},
	"event_keys": func(r *replay, _ object) object {
		var event struct{ Data object }
		r.must(json.Unmarshal(r.sockets[0].heardOf("execution_interrupted", r.busyID), &event))
		e := r.entry(r.busyID)
		status := e["status"].(object)
		kinds := []any{}
		for _, m := range status["messages"].([]any) {
			kinds = append(kinds, m.([]any)[0])
		}
		return object{
			"event_keys": keys(event.Data), "node_type": event.Data["node_type"], "status_str": status["status_str"],
			"completed": status["completed"], "messages": kinds, "outputs": e["outputs"],
		}
	},
	"at": func(r *replay, n object) object {
		q := r.get("/queue")
		running := q["queue_running"].([]any)
		pending := q["queue_pending"].([]any)
		slices.SortFunc(pending, func(a, b any) int { return int(a.([]any)[0].(float64) - b.([]any)[0].(float64)) })
		places, own := []int{}, []bool{}
		for _, row := range pending {
			places = append(places, slices.IndexFunc(r.quieted, func(q quieted) bool { return q.id == row.([]any)[1] }))
		}
		for _, row := range running {
			own = append(own, row.([]any)[1] == r.busyID)
		}
		return object{
			"at": n["at"], "running": own, "pending": places, "item_length": len(running[0].([]any)),
			"remaining": r.get("/prompt")["exec_info"].(object)["queue_remaining"],
		}
	},
	"deleted_in_history": func(r *replay, _ object) object {
		h, is := r.get("/history"), []bool{}
		for _, q := range r.quieted {
			is = append(is, h[q.id] != nil)
		}
		return object{"deleted_in_history": is}
	},
	"first_event": func(r *replay, _ object) object {
		e := r.sockets[len(r.sockets)-1]
		eventually(r, "what runs is told", func() bool { return len(e.all()) > 1 && e.heardOf("executing") != nil })
		var first, second struct {
			Type string
			Data object
		}
		r.must(json.Unmarshal(e.all()[0].data, &first))
		r.must(json.Unmarshal(e.heardOf("executing"), &second))
		_, isText := second.Data["node"].(string)
		return object{"first_event": first.Type, "sid": first.Data["sid"], "second_keys": keys(second.Data), "node_is_string": isText}
	},
	"numbers": func(r *replay, _ object) object {
		numbers := object{}
		for _, q := range r.quieted {
			numbers[q.tag] = q.number - r.busyNumber
			if strings.HasPrefix(q.tag, "front") {
				numbers[q.tag] = q.number + r.busyNumber
			}
		}
		return object{"numbers": numbers}
	},
	"order": func(r *replay, _ object) object {
		eventually(r, "all is done", func() bool {
			return r.get("/prompt")["exec_info"].(object)["queue_remaining"] == 0.0
		})
		time.Sleep(100 * time.Millisecond) // for the socket
		order := []string{}
		for _, m := range r.sockets[0].all() {
			var e struct {
				Type string
				Data object
			}
			json.Unmarshal(m.data, &e)
			for _, q := range r.quieted {
				if e.Type == "execution_start" && e.Data["prompt_id"] == q.id {
					order = append(order, q.tag)
				}
			}
		}
		return object{"order": order}
	},
}
