package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func item(id string, number float64) Item {
	return Item{ID: id, Number: number, Prompt: json.RawMessage(`{"1":{}}`), Extra: json.RawMessage(`{}`), Outputs: []string{"1"}}
}

func open(t *testing.T, path string, o Options) (*Queue, []Item) {
	t.Helper()
	s, err := OpenSQLite(path, false)
	if err != nil {
		t.Fatal(err)
	}
	q, lost, err := Open(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return q, lost
}

func next(t *testing.T, q *Queue) string {
	t.Helper()
	it, nothing, err := q.Take()
	if nothing != nil || err != nil {
		t.Fatal("nothing can run: ", err)
	}
	if string(it.Prompt) != `{"1":{}}` {
		t.Fatalf("item %s came back with prompt %s", it.ID, it.Prompt)
	}
	return it.ID
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// crashed is a copy of the queue's files as they are while it is open: what a process that dies leaves.
func crashed(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "q?%20 #.db")
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		must(t, err)
		must(t, os.WriteFile(to+suffix, data, 0o666))
	}
	if _, err := os.Stat(path + ".texts"); err == nil {
		must(t, os.CopyFS(to+".texts", os.DirFS(path+".texts")))
	}
	return to
}

func TestOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q.db")
	open(t, path, Options{})
	if s, err := OpenSQLite(path, false); err == nil {
		s.Close()
		t.Error("a second queue opened the file")
	}
}

// TestReopen stops at every state an item can be in, without closing, and opens the file again.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q?%20 #.db")
	q, _ := open(t, path, Options{})
	for i := range 5 {
		must(t, q.Submit(item(fmt.Sprint(i), float64(i)), nil))
	}
	if id := next(t, q); id != "0" {
		t.Fatalf("first is %s", id)
	}
	must(t, q.Finish("0", Result{Entry: json.RawMessage(`{"a":1}`), Success: true}))
	next(t, q) // 1 runs when the process dies
	path = crashed(t, path)
	q, lost := open(t, path, Options{})
	if len(lost) != 0 {
		t.Fatalf("given up after one crash: %v", lost)
	}
	if pending, running := q.Len(); pending != 4 || running != 0 {
		t.Fatalf("%d pending, %d running", pending, running)
	}
	if n := q.Number(); n != 5 {
		t.Errorf("the counter went on at %d", n)
	}
	_, r, ok, err := q.Result("0")
	if err != nil || !ok || string(r.Entry) != `{"a":1}` || !r.Success {
		t.Errorf("result %s %v %v %v", r.Entry, r.Success, ok, err)
	}
	for range 2 { // it kills the process each time
		if id := next(t, q); id != "1" {
			t.Fatalf("after the crash %s runs first", id)
		}
		path = crashed(t, path)
		q, lost = open(t, path, Options{})
	}
	if len(lost) != 1 || lost[0].ID != "1" {
		t.Fatalf("an item that killed the process three times is not given up: %v", lost)
	}
	must(t, q.Finish("1", Result{Entry: json.RawMessage(`{}`)}))
	if err := q.Finish("1", Result{}); err == nil {
		t.Error("finished twice")
	}
	items, _, err := q.History(-1, -1)
	if err != nil || len(items) != 2 || items[0].ID != "0" || items[1].ID != "1" {
		t.Errorf("history %v %v", items, err)
	}
}

func TestOrder(t *testing.T) {
	q, _ := open(t, "", Options{Max: 6})
	for _, it := range []Item{item("a", 1), item("b", 2), item("front", -3), item("c", 3), item("between", 1.5), item("b2", 2)} {
		must(t, q.Submit(it, nil))
	}
	if err := q.Submit(item("x", 9), nil); !errors.Is(err, ErrFull) {
		t.Errorf("beyond the limit: %v", err)
	}
	if err := q.Submit(item("a", 9), nil); !errors.Is(err, ErrKnown) {
		t.Errorf("known id: %v", err)
	}
	if ok, err := q.Before("c", "a"); !ok || err != nil {
		t.Errorf("before: %v %v", ok, err)
	}
	if ok, err := q.Before("front", ""); !ok || err != nil {
		t.Errorf("to the end: %v %v", ok, err)
	}
	if gone, err := q.Delete("b2", "nobody"); err != nil || len(gone) != 1 {
		t.Errorf("deleted %v %v", gone, err)
	}
	var got []string
	for range 5 {
		got = append(got, next(t, q))
	}
	if fmt.Sprint(got) != "[c a between b front]" {
		t.Errorf("order %v", got)
	}
	must(t, q.Requeue("a"))
	if id := next(t, q); id != "a" {
		t.Errorf("requeued: %s", id)
	}
}

// TestNumberAfterRestart: what comes after a restart waits behind what waited before it, whatever the store has forgotten.
func TestNumberAfterRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q.db")
	q, _ := open(t, path, Options{})
	for range 5 {
		must(t, q.Submit(item("done", float64(q.Number())), nil))
		next(t, q)
		must(t, q.Finish("done", Result{Entry: json.RawMessage(`{}`)}))
		must(t, q.ClearHistory())
	}
	must(t, q.Submit(item("waits", float64(q.Number())), nil))
	given := item("given", 1e300)
	given.Given = true
	must(t, q.Submit(given, nil))
	q, _ = open(t, crashed(t, path), Options{})
	if n := q.Number(); n != 6 {
		t.Errorf("the next number is %d, want 6", n)
	}
}

// TestInMemory: what waits does not fill the memory, and comes back from the store.
func TestInMemory(t *testing.T) {
	q, _ := open(t, "", Options{})
	large := item("", 0)
	large.Prompt, large.Parsed = json.RawMessage(`"`+strings.Repeat("x", 2<<20)+`"`), true
	for i := range 20 {
		large.ID, large.Number = fmt.Sprint(i), float64(i)
		must(t, q.Submit(large, nil))
	}
	held := 0
	for _, it := range q.pending {
		if it.Prompt != nil {
			held++
		}
	}
	if held != 3 || q.bytes != 3*large.size() {
		t.Errorf("%d of 2 MiB, with their parsed forms, are in memory, which are %d bytes", held, q.bytes)
	}
	if gone, err := q.Delete("0"); len(gone) != 1 || err != nil {
		t.Error(gone, err)
	}
	for i := range 19 {
		it, _, err := q.Take()
		if err != nil || string(it.Prompt) != string(large.Prompt) || (it.Parsed != nil) != (i < 2) {
			t.Errorf("%s: %d bytes, parsed %v, %v", it.ID, len(it.Prompt), it.Parsed, err)
		}
	}
	if q.bytes != 0 {
		t.Errorf("%d bytes are left", q.bytes)
	}
}

func TestFair(t *testing.T) {
	q, _ := open(t, "", Options{Fair: true})
	for i := range 6 {
		it := item(fmt.Sprint(i), float64(i))
		it.Client = "many"
		if i >= 4 {
			it.Client = "few"
		}
		must(t, q.Submit(it, nil))
	}
	var got []string
	for range 6 {
		got = append(got, next(t, q))
	}
	if fmt.Sprint(got) != "[0 4 1 5 2 3]" {
		t.Errorf("order %v", got)
	}
}

func TestPause(t *testing.T) {
	q, _ := open(t, "", Options{})
	q.Pause(true)
	must(t, q.Submit(item("a", 0), nil))
	_, changed, err := q.Take()
	if changed == nil {
		t.Fatalf("paused: %v", err)
	}
	go q.Pause(false)
	<-changed
	if id := next(t, q); id != "a" {
		t.Error(id)
	}
}

func TestHistory(t *testing.T) {
	q, _ := open(t, "", Options{Keep: 4})
	for i := range 6 { // a quarter more than 4 is 5
		must(t, q.Submit(item(fmt.Sprint(i), 0), nil))
		next(t, q)
		must(t, q.Finish(fmt.Sprint(i), Result{Entry: json.RawMessage(`{}`)}))
	}
	for _, c := range []struct {
		offset, limit int
		want          string
	}{{-1, -1, "[2 3 4 5]"}, {-1, 2, "[4 5]"}, {0, 2, "[2 3]"}, {3, -1, "[5]"}, {9, -1, "[]"}, {-1, 0, "[]"}} {
		items, _, err := q.History(c.offset, c.limit)
		must(t, err)
		ids := []string{}
		for _, it := range items {
			ids = append(ids, it.ID)
		}
		if fmt.Sprint(ids) != c.want {
			t.Errorf("offset %d limit %d: %v", c.offset, c.limit, ids)
		}
	}
	must(t, q.Forget("3", "nobody"))
	if ids, err := q.Done(); fmt.Sprint(ids, err) != "[2 4 5] <nil>" {
		t.Error(ids, err)
	}
	must(t, q.Submit(item("4", 0), nil)) // again, under the id of a result
	if _, _, ok, _ := q.Result("4"); ok {
		t.Error("an item that waits again is said to be done")
	}
	must(t, q.ClearHistory())
	if items, _, _ := q.History(-1, -1); len(items) != 0 {
		t.Error(items)
	}
	if pending, _ := q.Len(); pending != 1 {
		t.Error("clearing the history removed what waits")
	}
}

// BenchmarkCycle submits, starts and finishes an item.
func BenchmarkCycle(b *testing.B) { benchCycle(b, item("", 0)) }

func benchCycle(b *testing.B, it Item) {
	s, err := OpenSQLite(filepath.Join(b.TempDir(), "q.db"), false)
	if err != nil {
		b.Fatal(err)
	}
	q, _, err := Open(s, Options{})
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		it.ID, it.Number = fmt.Sprint(i), float64(i)
		if err := q.Submit(it, nil); err != nil {
			b.Fatal(err)
		}
		if _, _, err := q.Take(); err != nil {
			b.Fatal(err)
		}
		if err := q.Finish(it.ID, Result{Entry: json.RawMessage(`{}`)}); err != nil {
			b.Fatal(err)
		}
	}
}
