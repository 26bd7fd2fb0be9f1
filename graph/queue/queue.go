// Package queue keeps prompts, their order, their state and their results, so that none is lost when the process dies.
//
// A Queue holds the order in memory and writes every change through a Store before it tells anybody of it. What waited
// when the process died waits again; what ran runs again; what is done is done once.
package queue

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// Item is a prompt to run. Prompt, Extra and Outputs are never changed after Submit.
type Item struct {
	ID       string
	Client   string          // who gets the run's events and has a fair share of the runs; may be empty
	Number   float64         // smaller runs first
	Given    bool            // the client gave the number, which is shown with a fraction then
	Prompt   json.RawMessage // an object: node id -> node
	Extra    json.RawMessage // an object: what the client sent along
	Outputs  []string        // output nodes to run
	Attempts int             // how often a run of it began
	Parsed   any             // what the submitter has made of Prompt; lost when the item is read back from the store

	started bool // it waits, but the store has it as running already
}

// parsedSize is how many times more than its text a parsed prompt takes.
const parsedSize = 4

// size is about what an item takes in memory beside its head.
func (it *Item) size() int {
	n := len(it.Prompt) + len(it.Extra)
	if it.Parsed != nil {
		n += parsedSize * len(it.Prompt)
	}
	return n
}

// forget leaves the prompt to the store.
func (it *Item) forget() { it.Prompt, it.Extra, it.Parsed = nil, nil, nil }

// inMemory is how many bytes of prompts that wait are kept in memory; those beyond are read back from the store when they run.
const inMemory = 32 << 20

// Result is what became of an item: two JSON texts that the queue does not look into.
type Result struct {
	Entry   json.RawMessage // an object
	Success bool
}

// State of an item.
type State int

// The states of an item, in their order.
const (
	Pending State = iota
	Running
	Done
)

// Store keeps items and results. Each method is atomic: it has happened altogether or not at all when the process dies.
// Methods are called by one goroutine at a time but for Expect, History, Result and Done.
type Store interface {
	// Load returns everything that is not done, without Prompt and Extra, and the count of what was ever submitted.
	Load() (items []Item, states []State, submitted int64, err error)
	Add(Item, State) error
	// Expect says that an item of so many bytes may be added soon.
	Expect(size int)
	Item(id string) (Item, error)
	// Move changes the state, number and attempts of an item that is not done.
	Move(id string, s State, number float64, attempts int) error
	// Finish makes a running item done, and drops the oldest results now and then if there are more than keep.
	Finish(id string, r Result, keep int) error
	// Remove forgets items or results.
	Remove(ids ...string) error
	// Result is the item and what became of it; ok is false for one that is not done.
	Result(id string) (Item, Result, bool, error)
	// History lists results, oldest first: limit of them from offset on, or the last limit if offset is negative; all if
	// limit is negative.
	History(offset, limit int) ([]Item, []Result, error)
	ClearHistory() error
	// Done lists the ids of the results, oldest first.
	Done() ([]string, error)
	Close() error
}

// Errors of Submit.
var (
	ErrFull  = errors.New("the queue is full")
	ErrKnown = errors.New("an item of this id is there already")
)

// Options of a Queue. The zero value has no limit and runs by number alone.
type Options struct {
	Max      int  // pending items, 0 for any number
	Fair     bool // of items without a number of their own, the client's that has waited longest runs first
	Keep     int  // results, 0 for 10,000
	Attempts int  // after so many runs that the process did not survive an item is given up, 0 for 3
}

// Queue is the order of what waits. It is safe for concurrent use.
type Queue struct {
	mu        sync.Mutex
	store     Store
	opt       Options
	pending   []*Item // in order
	running   []*Item
	known     map[string]*Item // what waits or runs
	submitted int64
	served    map[string]int64 // by client: when it was served last, in runs
	runs      int64
	paused    bool
	idle      bool         // who runs items waits for one
	pendingN  atomic.Int64 // Len's, which is asked while the store writes
	runningN  atomic.Int64
	bytes     int           // of prompts in memory
	changed   chan struct{} // closed and replaced at every change
}

// Open takes up what the store holds: what was running waits again, in front, unless it did so too often; that is
// returned, to be finished by the caller.
func Open(s Store, o Options) (*Queue, []Item, error) {
	o.Keep, o.Attempts = cmp.Or(o.Keep, 10000), cmp.Or(o.Attempts, 3)
	items, states, submitted, err := s.Load()
	if err != nil {
		return nil, nil, err
	}
	q := &Queue{store: s, opt: o, submitted: submitted, served: map[string]int64{}, known: map[string]*Item{}, changed: make(chan struct{})}
	var lost []Item
	for i := range items {
		it := &items[i]
		q.known[it.ID] = it
		if n := math.Abs(it.Number); !it.Given && n < 1<<53 { // what comes next comes behind it, though results were dropped
			q.submitted = max(q.submitted, int64(n)+1)
		}
		switch {
		case states[i] == Running && it.Attempts >= o.Attempts:
			q.running = append(q.running, it)
			lost = append(lost, *it)
		case states[i] == Running:
			if err := s.Move(it.ID, Pending, it.Number, it.Attempts); err != nil {
				return nil, nil, err
			}
			fallthrough
		default:
			q.insert(it)
		}
	}
	q.tell()
	return q, lost, nil
}

// Close closes the store. Nothing may be called after.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.store.Close()
}

// Number is the next number of an item that has none of its own: it counts what was submitted, refused prompts included.
func (q *Queue) Number() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.submitted++
	return q.submitted - 1
}

// Expect says that an item of about so many bytes is under way.
func (q *Queue) Expect(size int) { q.store.Expect(size) }

// Submit adds an item, and calls queued, if that is not nil, once it is there and before it can run; queued may ask for Len.
// ErrFull says that there is no room, ErrKnown that the id waits or runs already.
func (q *Queue) Submit(it Item, queued func()) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.known[it.ID] != nil {
		return ErrKnown
	}
	if q.opt.Max > 0 && len(q.pending) >= q.opt.Max {
		return ErrFull
	}
	state := Pending
	if q.idle && !q.paused && len(q.pending) == 0 { // it is taken at once: one step of the store less
		state, it.Attempts, it.started = Running, 1, true
	}
	if err := q.store.Add(it, state); err != nil {
		return err
	}
	if q.bytes+it.size() > inMemory {
		it.forget()
	}
	q.bytes += it.size()
	q.known[it.ID] = &it
	q.insert(&it)
	q.count()
	if queued != nil {
		queued()
	}
	q.tell()
	return nil
}

// Take marks the next item as running and returns it. If none can run, the channel is not nil and is closed at the next
// change of the queue.
func (q *Queue) Take() (Item, <-chan struct{}, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := q.choose()
	if q.idle = i < 0; q.idle {
		return Item{}, q.changed, nil
	}
	it, err := q.start(i)
	return it, nil, err
}

// choose is the index of the pending item that runs next, or -1.
func (q *Queue) choose() int {
	if q.paused || len(q.pending) == 0 {
		return -1
	}
	best := 0
	if q.opt.Fair {
		for i, it := range q.pending {
			if b := q.pending[best]; !it.Given && !b.Given && b.Number >= 0 && it.Number >= 0 && q.served[it.Client] < q.served[b.Client] {
				best = i
			}
		}
	}
	return best
}

func (q *Queue) start(i int) (Item, error) {
	head := q.pending[i]
	it, err := q.whole(head)
	if err != nil {
		return it, err
	}
	if !head.started {
		if err := q.store.Move(head.ID, Running, head.Number, head.Attempts+1); err != nil {
			return it, err
		}
		head.Attempts++
	}
	it.Attempts, head.started = head.Attempts, false
	q.bytes -= head.size()
	head.forget()
	q.pending = slices.Delete(q.pending, i, i+1)
	q.running = append(q.running, head)
	q.runs++
	q.served[head.Client] = q.runs
	q.tell()
	return it, nil
}

// whole is an item with its prompt.
func (q *Queue) whole(head *Item) (Item, error) {
	if head.Prompt != nil {
		return *head, nil
	}
	it, err := q.store.Item(head.ID)
	it.Number = head.Number
	return it, err
}

// Finish records what became of a running item: from then on it is in the history and never runs again.
func (q *Queue) Finish(id string, r Result) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.running, func(it *Item) bool { return it.ID == id })
	if i < 0 {
		return fmt.Errorf("queue: item %q is not running", id)
	}
	if err := q.store.Finish(id, r, q.opt.Keep); err != nil {
		return err
	}
	q.running = slices.Delete(q.running, i, i+1)
	delete(q.known, id)
	q.tell()
	return nil
}

// Requeue puts a running item back in its place: its run was cut short and does not count.
func (q *Queue) Requeue(id string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.running, func(it *Item) bool { return it.ID == id })
	if i < 0 {
		return fmt.Errorf("queue: item %q is not running", id)
	}
	it := q.running[i]
	it.Attempts--
	if err := q.store.Move(id, Pending, it.Number, it.Attempts); err != nil {
		return err
	}
	q.running = slices.Delete(q.running, i, i+1)
	q.insert(it)
	q.tell()
	return nil
}

// Delete removes pending items and returns those that were there. What runs is not touched.
func (q *Queue) Delete(ids ...string) ([]string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.drop(func(it *Item) bool { return slices.Contains(ids, it.ID) })
}

// Clear removes all pending items and returns their ids.
func (q *Queue) Clear() ([]string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.drop(func(*Item) bool { return true })
}

func (q *Queue) drop(which func(*Item) bool) (gone []string, err error) {
	var kept []*Item
	for _, it := range q.pending {
		if which(it) {
			gone = append(gone, it.ID)
		} else {
			kept = append(kept, it)
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	if err := q.store.Remove(gone...); err != nil {
		return nil, err
	}
	q.pending = kept
	for _, id := range gone {
		q.bytes -= q.known[id].size()
		delete(q.known, id)
	}
	q.tell()
	return gone, nil
}

// Renumber gives a pending item another number: priority and reordering. It reports whether the item was there.
func (q *Queue) Renumber(id string, number float64) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.pending, func(it *Item) bool { return it.ID == id })
	if i < 0 {
		return false, nil
	}
	it := q.pending[i]
	if it.started { // somebody was faster than who runs it
		it.started, it.Attempts = false, 0
	}
	if err := q.store.Move(id, Pending, number, it.Attempts); err != nil {
		return false, err
	}
	q.pending = slices.Delete(q.pending, i, i+1)
	it.Number = number
	q.insert(it)
	q.tell()
	return true, nil
}

// Before puts a pending item right before another, or last if other is empty.
func (q *Queue) Before(id, other string) (bool, error) {
	q.mu.Lock()
	rest := slices.DeleteFunc(slices.Clone(q.pending), func(it *Item) bool { return it.ID == id })
	at := len(rest)
	if other != "" {
		at = slices.IndexFunc(rest, func(it *Item) bool { return it.ID == other })
	}
	if at < 0 || len(rest) == len(q.pending) {
		q.mu.Unlock()
		return false, nil
	}
	number := 0.0
	switch {
	case len(rest) == 0:
	case at == 0:
		number = rest[0].Number - 1
	case at == len(rest):
		number = rest[at-1].Number + 1
	default:
		number = (rest[at-1].Number + rest[at].Number) / 2
	}
	q.mu.Unlock()
	return q.Renumber(id, number)
}

// Pause keeps further items from running until Pause(false). What runs goes on.
func (q *Queue) Pause(on bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.paused = on
	q.tell()
}

// Paused reports whether the queue is paused.
func (q *Queue) Paused() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.paused
}

// Len counts what waits and what runs.
func (q *Queue) Len() (pending, running int) {
	return int(q.pendingN.Load()), int(q.runningN.Load())
}

// State is an item that is not done, whole, and where it stands; ok is false for one that is not there.
func (q *Queue) State(id string) (it Item, s State, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	found := q.known[id]
	if found == nil {
		return Item{}, 0, false, nil
	}
	if slices.Contains(q.running, found) {
		s = Running
	}
	it, err = q.whole(found)
	return it, s, true, err
}

// Items lists what runs and what waits, the latter in order, whole.
func (q *Queue) Items() (running, pending []Item, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := func(heads []*Item) []Item {
		list := make([]Item, 0, len(heads))
		for _, h := range heads {
			it, e := q.whole(h)
			if e != nil {
				err = e
				continue
			}
			it.Parsed = nil // the one who runs it has it
			list = append(list, it)
		}
		return list
	}
	return all(q.running), all(q.pending), err
}

// Result is the item and what became of it; ok is false for one that is not done.
func (q *Queue) Result(id string) (Item, Result, bool, error) { return q.store.Result(id) }

// History lists results as Store.History does.
func (q *Queue) History(offset, limit int) ([]Item, []Result, error) {
	return q.store.History(offset, limit)
}

// Done lists the ids of the results, oldest first.
func (q *Queue) Done() ([]string, error) { return q.store.Done() }

// Forget removes results from the history; ids that are not in it are ignored.
func (q *Queue) Forget(ids ...string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return q.known[id] != nil })
	return q.store.Remove(ids...)
}

// ClearHistory removes all results.
func (q *Queue) ClearHistory() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.store.ClearHistory()
}

// insert keeps the order: by number, then by id, as ComfyUI's heap does (server.md 2).
func (q *Queue) insert(it *Item) {
	at, _ := slices.BinarySearchFunc(q.pending, it, func(a, b *Item) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.ID, b.ID))
	})
	q.pending = slices.Insert(q.pending, at, it)
}

// count keeps what Len answers.
func (q *Queue) count() {
	q.pendingN.Store(int64(len(q.pending)))
	q.runningN.Store(int64(len(q.running)))
}

// tell wakes who waits for a change.
func (q *Queue) tell() {
	q.count()
	close(q.changed)
	q.changed = make(chan struct{})
}
