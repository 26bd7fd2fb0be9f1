package queue

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	_ "modernc.org/sqlite" // the driver "sqlite", pure Go
)

// schema: one row an item. seq is the order of submission, done the order of finishing.
const schema = `
CREATE TABLE IF NOT EXISTS items (
	seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, client TEXT NOT NULL,
	state INTEGER NOT NULL, number REAL NOT NULL, given INTEGER NOT NULL, attempts INTEGER NOT NULL,
	prompt BLOB NOT NULL, extra BLOB NOT NULL, outputs BLOB NOT NULL,
	done INTEGER, success INTEGER, entry BLOB);
CREATE INDEX IF NOT EXISTS by_turn ON items(state, done);
`

const columns = `id, client, number, given, attempts, prompt, extra, outputs`

// SQLite is a Store in one file. A statement that has returned is in the hands of the operating system: it survives the
// death of the process, and with sync the loss of power too.
type SQLite struct {
	db   *sql.DB
	done int64 // the largest there is
	kept int   // results since the oldest were dropped

	add, item, move, finish, trim, result *sql.Stmt
}

// OpenSQLite opens or makes the file; "" is one in memory, for tests and for servers that may forget.
func OpenSQLite(path string, sync bool) (*SQLite, error) {
	level := "NORMAL"
	if sync {
		level = "FULL"
	}
	name, lock := ":memory:", ""
	if path != "" {
		// The path stays out of the query: it may hold ? and %.
		name = (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String()
		lock = "&_pragma=locking_mode(EXCLUSIVE)" // first of all: the file is one process's
	}
	db, err := sql.Open("sqlite", name+"?_pragma=busy_timeout(1000)"+lock+"&_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(4000)&_pragma=synchronous("+level+")&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // one writer; an in-memory database is its connection's
	s := &SQLite{db: db}
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
		&s.add:    `INSERT OR REPLACE INTO items (` + columns + `, state) VALUES (?,?,?,?,?,?,?,?,?)`,
		&s.item:   `SELECT ` + columns + ` FROM items WHERE id = ?`,
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
	return s.db.QueryRow(`SELECT COALESCE(MAX(done), 0), COUNT(*) FROM items WHERE state = 2`).Scan(&s.done, &s.kept)
}

// Close closes the file.
func (s *SQLite) Close() error { return s.db.Close() }

// Load implements Store.
func (s *SQLite) Load() (items []Item, states []State, submitted int64, err error) {
	if err = s.db.QueryRow(`SELECT COALESCE(MAX(seq), 0) FROM items`).Scan(&submitted); err != nil {
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
	if err == nil {
		_, err = s.add.Exec(it.ID, it.Client, it.Number, it.Given, it.Attempts, []byte(it.Prompt), []byte(it.Extra), outputs, state)
	}
	return err
}

func scanItem(row interface{ Scan(...any) error }, more ...any) (it Item, err error) {
	var prompt, extra, outputs []byte
	if err = row.Scan(append([]any{&it.ID, &it.Client, &it.Number, &it.Given, &it.Attempts, &prompt, &extra, &outputs}, more...)...); err != nil {
		return it, err
	}
	it.Prompt, it.Extra = prompt, extra
	return it, json.Unmarshal(outputs, &it.Outputs)
}

// Item implements Store.
func (s *SQLite) Item(id string) (Item, error) { return scanItem(s.item.QueryRow(id)) }

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
	_, err := s.trim.Exec(keep)
	if err == nil {
		s.kept = keep
	}
	return err
}

// Remove implements Store.
func (s *SQLite) Remove(ids ...string) error {
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
	return tx.Commit()
}

// Result implements Store.
func (s *SQLite) Result(id string) (Item, Result, bool, error) {
	var r Result
	var entry []byte
	it, err := scanItem(s.result.QueryRow(id), &r.Success, &entry)
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
		it, err := scanItem(rows, &r.Success, &entry)
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
	_, err := s.db.Exec(`DELETE FROM items WHERE state = ?`, Done)
	return err
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
