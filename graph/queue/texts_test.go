package queue

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// large is an item that does not fit a row.
func large(id string, number float64) Item {
	it := item(id, number)
	it.Prompt = json.RawMessage(fmt.Sprintf(`{"1":{"text":%q}}`, id+strings.Repeat("x", inRow)))
	it.Extra = json.RawMessage(fmt.Sprintf(`{"of":%q}`, id))
	return it
}

// files lists the texts beside the queue's file.
func files(t *testing.T, path string) string {
	t.Helper()
	var names []string
	entries, err := os.ReadDir(path + ".texts")
	must(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func same(t *testing.T, it Item, want Item) {
	t.Helper()
	if it.ID != want.ID || string(it.Prompt) != string(want.Prompt) || string(it.Extra) != string(want.Extra) {
		t.Errorf("%s came back as %s, with %d and %d bytes for %d and %d", want.ID, it.ID, len(it.Prompt), len(it.Extra), len(want.Prompt), len(want.Extra))
	}
}

// TestLargeTexts: prompts that have files of their own come back whole, also after a crash, and the files go with them.
func TestLargeTexts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q.db")
	q, _ := open(t, path, Options{Keep: 4})
	size := len(large("0", 0).Prompt) + 1000 // more than comes
	q.Expect(size)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if made, err := os.Stat(filepath.Join(path+".texts", spareName)); err == nil && made.Size() == int64(size) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("nothing was made for what is expected")
		}
	}
	for i := range 4 {
		must(t, q.Submit(large(fmt.Sprint(i), float64(i)), nil))
	}
	must(t, q.Submit(item("small", 9), nil))
	if got := files(t, path); got != "1 2 3 4" {
		t.Errorf("files %q", got)
	}
	it, _, err := q.Take()
	must(t, err)
	same(t, it, large("0", 0))
	must(t, q.Finish("0", Result{Entry: json.RawMessage(`{}`), Success: true}))
	_, _, err = q.Take() // 1 runs when the process dies
	must(t, err)

	path = crashed(t, path)
	must(t, os.WriteFile(filepath.Join(path+".texts", "77"), []byte("cut off"), 0o666)) // its row was not written any more
	must(t, os.WriteFile(filepath.Join(path+".texts", spareName), []byte("zeros"), 0o666))
	q, _ = open(t, path, Options{Keep: 4})
	if got := files(t, path); got != "1 2 3 4" {
		t.Errorf("files after a crash: %q", got)
	}
	it, _, ok, err := q.Result("0")
	if !ok {
		t.Fatal("no result", err)
	}
	same(t, it, large("0", 0))
	for i := 1; i < 4; i++ {
		it, _, err := q.Take()
		must(t, err)
		same(t, it, large(fmt.Sprint(i), float64(i)))
		must(t, q.Finish(it.ID, Result{Entry: json.RawMessage(`{}`)}))
	}
	again := large("1", 20)
	again.Extra = json.RawMessage(`{"again":true}`)
	must(t, q.Submit(again, nil)) // in place of its result
	if got := files(t, path); got != "1 3 4 6" {
		t.Errorf("files after one was replaced: %q", got)
	}
	must(t, q.Forget("2"))
	if got := files(t, path); got != "1 4 6" {
		t.Errorf("files after one was forgotten: %q", got)
	}
	for range 2 {
		it, _, err := q.Take()
		must(t, err)
		must(t, q.Finish(it.ID, Result{Entry: json.RawMessage(`{}`)}))
	}
	for i := range 3 { // a quarter more than 4 results: the oldest go
		must(t, q.Submit(item(fmt.Sprint("more", i), 30), nil))
		it, _, err := q.Take()
		must(t, err)
		must(t, q.Finish(it.ID, Result{Entry: json.RawMessage(`{}`)}))
	}
	if got := files(t, path); got != "6" {
		t.Errorf("files after the oldest results were dropped: %q", got)
	}
	must(t, os.Truncate(filepath.Join(path+".texts", "6"), 1000)) // what a loss of power leaves
	it, _, ok, err = q.Result("1")
	if !ok || string(it.Prompt) != "{}" || string(it.Extra) != "{}" {
		t.Errorf("a damaged text: %v %v, %d bytes", ok, err, len(it.Prompt))
	}
	must(t, q.ClearHistory())
	if got := files(t, path); got != "" {
		t.Errorf("files after all was cleared: %q", got)
	}
	must(t, q.Close())
}

// TestLargeInRow: a queue of a version that kept every text in its row opens, and nothing is lost.
func TestLargeInRow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q.db")
	s, err := OpenSQLite(path, false)
	must(t, err)
	s.texts.dir = "" // as before there were files
	must(t, s.Add(large("old", 1), Pending))
	must(t, s.Close())
	s, err = OpenSQLite(path, true)
	must(t, err)
	q, _, err := Open(s, Options{})
	must(t, err)
	must(t, q.Submit(large("new", 2), nil))
	for _, want := range []Item{large("old", 1), large("new", 2)} {
		it, _, err := q.Take()
		must(t, err)
		same(t, it, want)
	}
	must(t, q.Close())
}

// BenchmarkLargeCycle submits, starts and finishes an item of 5 MB.
func BenchmarkLargeCycle(b *testing.B) {
	it := item("", 0)
	it.Prompt = json.RawMessage(`{"1":"` + strings.Repeat("x", 5<<20) + `"}`)
	benchCycle(b, it)
}
