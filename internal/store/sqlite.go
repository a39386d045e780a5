package store

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

type sqliteEngine struct{}

func (sqliteEngine) name() string { return "sqlite" }

func (sqliteEngine) uniqueViolation(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

func (sqliteEngine) retryable(error) bool { return false }

func (sqliteEngine) migrationLock() string { return "" } // the write transaction is one already

// openSQLite opens the file twice: one connection that writes, with every
// commit synced, and a few that only read beside it.
func openSQLite(path string) (*Store, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	common := url.Values{"_pragma": {"busy_timeout(10000)", "foreign_keys(1)", "journal_mode(WAL)", "synchronous(FULL)"}}
	location := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String()
	writing := url.Values{"_pragma": common["_pragma"], "_txlock": {"immediate"}}
	writes, err := sql.Open("sqlite", location+"?"+writing.Encode())
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	writes.SetMaxOpenConns(1)
	reading := url.Values{"_pragma": append([]string{"query_only(1)", "cache_size(-4000)"}, common["_pragma"]...)}
	reads, err := sql.Open("sqlite", location+"?"+reading.Encode())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), writes.Close())
	}
	reads.SetMaxOpenConns(4)
	engine := sqliteEngine{}
	return &Store{reader: reader{q: newStatements(reads)}, reads: reads, writes: writes, engine: engine,
		group: &groupCommit{db: writes, engine: engine, statements: newStatements(writes)}}, nil
}
