package queue

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"

	_ "modernc.org/sqlite" // the driver "sqlite", pure Go
)

// schema: one row an item. seq is the order of submission, done the order of finishing; of large texts see texts.
const schema = `
CREATE TABLE IF NOT EXISTS items (
	seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, client TEXT NOT NULL,
	state INTEGER NOT NULL, number REAL NOT NULL, given INTEGER NOT NULL, attempts INTEGER NOT NULL,
	prompt BLOB NOT NULL, extra BLOB NOT NULL, outputs BLOB NOT NULL,
	done INTEGER, success INTEGER, entry BLOB);
CREATE INDEX IF NOT EXISTS by_turn ON items(state, done);
`

const columns = `seq, id, client, number, given, attempts, prompt, extra, outputs`

// SQLite is a Store in one file. A statement that has returned is in the hands of the operating system: it survives the
// death of the process, and with sync the loss of power too.
type SQLite struct {
	db    *sql.DB
	texts texts
	done  int64 // the largest there is
	kept  int   // results since the oldest were dropped

	add, item, id, last, move, finish, trim, result *sql.Stmt
}

// OpenSQLite opens or makes the file; "" is one in memory, for tests and for servers that may forget.
func OpenSQLite(path string, sync bool) (*SQLite, error) {
	level := "NORMAL"
	if sync {
		level = "FULL"
	}
	name, lock, dir := ":memory:", "", ""
	if path != "" {
		// The path stays out of the query: it may hold ? and %.
		name = (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String()
		dir = path + ".texts"
		lock = "&_pragma=locking_mode(EXCLUSIVE)" // first of all: the file is one process's
	}
	db, err := sql.Open("sqlite", name+"?_pragma=busy_timeout(1000)"+lock+"&_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(4000)&_pragma=synchronous("+level+")&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // one writer; an in-memory database is its connection's
	s := &SQLite{db: db, texts: texts{dir: dir, sync: sync}}
	if err := s.prepare(); err != nil {
		db.Close()
		return nil, fmt.Errorf("queue file %s: %w (another graphrun uses it, or it is no queue, or damaged: end the other, or name another file with --queue-file)", path, err)
	}
	return s, nil
}

func (s *SQLite) prepare() error {
	if _, err := s.db.Exec(schema); err != nil {
		return err
	}
	for st, query := range map[**sql.Stmt]string{
		// A result of the same id is replaced: a client may run an id of its own again.
		&s.add:    `INSERT OR REPLACE INTO items (` + columns + `, state) VALUES (?,?,?,?,?,?,?,?,?,?)`,
		&s.item:   `SELECT ` + columns + ` FROM items WHERE id = ?`,
		&s.last:   `SELECT COALESCE(MAX(seq), 0) FROM items`,
		&s.id:     `SELECT id FROM items WHERE seq = ?`,
		&s.move:   `UPDATE items SET state = ?, number = ?, attempts = ? WHERE id = ? AND state < 2`,
		&s.finish: `UPDATE items SET state = 2, success = ?, entry = ?, done = ? WHERE id = ? AND state = 1`,
		&s.trim:   `DELETE FROM items WHERE state = 2 AND done <= (SELECT done FROM items WHERE state = 2 ORDER BY done DESC LIMIT 1 OFFSET ?)`,
		&s.result: `SELECT ` + columns + `, success, entry FROM items WHERE id = ? AND state = 2`,
	} {
		var err error
		if *st, err = s.db.Prepare(query); err != nil {
			return err
		}
	}
	if err := s.db.QueryRow(`SELECT COALESCE(MAX(done), 0), COUNT(*) FROM items WHERE state = 2`).Scan(&s.done, &s.kept); err != nil {
		return err
	}
	return s.texts.open(s.idOf)
}

// idOf is the id of a row; "" if there is none.
func (s *SQLite) idOf(seq int64) (id string, err error) {
	if err = s.id.QueryRow(seq).Scan(&id); err == sql.ErrNoRows {
		err = nil
	}
	return id, err
}

// Close closes the file.
func (s *SQLite) Close() error {
	s.texts.close()
	return s.db.Close()
}

// Expect implements Store.
func (s *SQLite) Expect(size int) { s.texts.expect(size) }

// Load implements Store.
func (s *SQLite) Load() (items []Item, states []State, submitted int64, err error) {
	if err = s.last.QueryRow().Scan(&submitted); err != nil {
		return nil, nil, 0, err
	}
	rows, err := s.db.Query(`SELECT id, client, state, number, given, attempts, outputs FROM items WHERE state < ? ORDER BY seq`, Done)
	if err != nil {
		return nil, nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var it Item
		var state State
		var outputs []byte
		if err := rows.Scan(&it.ID, &it.Client, &state, &it.Number, &it.Given, &it.Attempts, &outputs); err != nil {
			return nil, nil, 0, err
		}
		if err := json.Unmarshal(outputs, &it.Outputs); err != nil {
			return nil, nil, 0, err
		}
		items, states = append(items, it), append(states, state)
	}
	return items, states, submitted, rows.Err()
}

// Add implements Store.
func (s *SQLite) Add(it Item, state State) error {
	outputs, err := json.Marshal(it.Outputs)
	if err != nil {
		return err
	}
	prompt, extra, seq := []byte(it.Prompt), []byte(it.Extra), sql.NullInt64{}
	if s.texts.takes(it) {
		if err := s.last.QueryRow().Scan(&seq); err != nil {
			return err
		}
		seq.Int64++
		mark, err := s.texts.put(seq.Int64, it)
		if err != nil {
			return err
		}
		prompt, extra = []byte(mark), []byte("{}")
	}
	if _, err := s.add.Exec(seq, it.ID, it.Client, it.Number, it.Given, it.Attempts, prompt, extra, outputs, state); err != nil {
		if seq.Valid {
			os.Remove(s.texts.name(seq.Int64))
		}
		return err
	}
	s.texts.remove(it.ID) // of the result that it takes the place of
	if seq.Valid {
		s.texts.of[it.ID] = seq.Int64
	}
	return nil
}

func (s *SQLite) scanItem(row interface{ Scan(...any) error }, more ...any) (it Item, err error) {
	var seq int64
	var prompt, extra, outputs []byte
	if err = row.Scan(append([]any{&seq, &it.ID, &it.Client, &it.Number, &it.Given, &it.Attempts, &prompt, &extra, &outputs}, more...)...); err != nil {
		return it, err
	}
	it.Prompt, it.Extra = s.texts.get(seq, prompt, extra)
	return it, json.Unmarshal(outputs, &it.Outputs)
}

// Item implements Store.
func (s *SQLite) Item(id string) (Item, error) { return s.scanItem(s.item.QueryRow(id)) }

// Move implements Store.
func (s *SQLite) Move(id string, state State, number float64, attempts int) error {
	return one(s.move.Exec(state, number, attempts, id))
}

// Finish implements Store. The oldest results are dropped when there are a quarter more than are to be kept.
func (s *SQLite) Finish(id string, r Result, keep int) error {
	if err := one(s.finish.Exec(r.Success, []byte(r.Entry), s.done+1, id)); err != nil {
		return err
	}
	s.done++
	if s.kept++; s.kept <= keep+keep/4 {
		return nil
	}
	if _, err := s.trim.Exec(keep); err != nil {
		return err
	}
	s.kept = keep
	return s.sweep()
}

// sweep removes the texts of rows that are gone.
func (s *SQLite) sweep() error {
	for id, seq := range s.texts.of {
		found, err := s.idOf(seq)
		if err != nil {
			return err
		}
		if found == "" {
			s.texts.remove(id)
		}
	}
	return nil
}

// Remove implements Store.
func (s *SQLite) Remove(ids ...string) error {
	gone := ids
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for len(ids) > 0 {
		some := ids[:min(len(ids), 500)]
		ids = ids[len(some):]
		args := make([]any, len(some))
		for i, id := range some {
			args[i] = id
		}
		if _, err := tx.Exec(`DELETE FROM items WHERE id IN (?`+strings.Repeat(",?", len(some)-1)+`)`, args...); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.texts.remove(gone...)
	return nil
}

// Result implements Store.
func (s *SQLite) Result(id string) (Item, Result, bool, error) {
	var r Result
	var entry []byte
	it, err := s.scanItem(s.result.QueryRow(id), &r.Success, &entry)
	if err == sql.ErrNoRows {
		return it, r, false, nil
	}
	r.Entry = entry
	return it, r, err == nil, err
}

// History implements Store.
func (s *SQLite) History(offset, limit int) (items []Item, results []Result, err error) {
	query, args := `SELECT `+columns+`, success, entry FROM items WHERE state = ? ORDER BY done LIMIT ? OFFSET ?`, []any{Done, limit, max(offset, 0)}
	if offset < 0 && limit >= 0 {
		query = `SELECT ` + columns + `, success, entry FROM (SELECT ` + columns + `, success, entry, done FROM items WHERE state = ? ORDER BY done DESC LIMIT ?) ORDER BY done`
		args = []any{Done, limit}
	}
	rows, err := s.db.Query(query, args...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r Result
		var entry []byte
		it, err := s.scanItem(rows, &r.Success, &entry)
		if err != nil {
			return nil, nil, err
		}
		r.Entry = entry
		items, results = append(items, it), append(results, r)
	}
	return items, results, rows.Err()
}

// Done implements Store.
func (s *SQLite) Done() (ids []string, err error) {
	rows, err := s.db.Query(`SELECT id FROM items WHERE state = 2 ORDER BY done`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// ClearHistory implements Store.
func (s *SQLite) ClearHistory() error {
	if _, err := s.db.Exec(`DELETE FROM items WHERE state = ?`, Done); err != nil {
		return err
	}
	return s.sweep()
}

// one makes it an error if the statement changed no row.
func one(r sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		return fmt.Errorf("queue: item is not there, or in another state (%d rows, %v)", n, err)
	}
	return nil
}
